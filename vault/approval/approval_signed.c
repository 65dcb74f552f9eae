/* Approval in the mode `signed`. See approval_signed.h. */
#include "vault/approval/approval_signed.h"

#include "lib/cleanup.h"
#include "vault/name.h"
#include "vault/ops/landing.h"
#include <string.h>

#define KEY "Disinto-Approve: "

/* What stands for a file in its line: an action's id, else the path. An id has no '/', so the two can't be confused. Caller frees. */
static char *subject_of(const char *path)
{
	static const char folder[] = VAULT_ACTIONS "/";
	char id[VAULT_ID_MAX + 1];

	if (strncmp(path, folder, sizeof(folder) - 1) == 0 && vault_file_kind(path + sizeof(folder) - 1, id) == VAULT_FILE_ACTION)
		return xstrdup(id);
	return xstrdup(path);
}

void approval_line(const char *path, const git_oid *blob, struct buf *ret)
{
	cleanup_free char *subject = subject_of(path);

	buf_addf(ret, KEY "%s %s\n", subject, git_oid_tostr_s(blob));
}

/* Lines for one subject in a message. */
struct lines {
	size_t n;
	const char *value; /* of the last one, behind the subject and its blank; not terminated */
	size_t len;
	bool in_last_paragraph;
};

static struct lines find_lines(const char *message, const char *subject)
{
	cleanup_free char *begin = xasprintf(KEY "%s ", subject);
	size_t begin_len = strlen(begin);
	struct lines found = {.n = 0};
	bool blank_before = false;

	for (const char *line = message; *line;) {
		size_t len = strcspn(line, "\n");
		bool blank = strspn(line, " \t\r") >= len;

		/* Text behind an empty line begins another paragraph. */
		if (blank_before && !blank)
			found.in_last_paragraph = false;
		blank_before = blank;
		if (len >= begin_len && memcmp(line, begin, begin_len) == 0)
			found = (struct lines){found.n + 1, line + begin_len, len - begin_len, true};
		line += len + (line[len] == '\n');
	}
	return found;
}

static int check_message(const char *message, const char *subject, const git_oid *blob, struct err *err)
{
	struct lines l = find_lines(message, subject);
	cleanup_free char *value = strndup(l.n ? l.value : "", l.len);
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), blob);
	if (l.n == 0)
		return err_set(err, ERR_INVALID, "its message has no line \"" KEY "%s %s\"", subject, hex);
	if (l.n > 1)
		return err_set(err, ERR_INVALID, "its message has %zu lines \"" KEY "%s …\"; exactly one is allowed", l.n, subject);
	if (strcmp(value, hex) != 0)
		return err_set(err, ERR_INVALID, "its message approves %s of %s, not %s",
		               vault_matches(value, CHARS_ALNUM, CHARS_ALNUM, 64) ? value : "something else", subject, hex);
	if (!l.in_last_paragraph)
		return err_set(err, ERR_INVALID, "the line \"" KEY "%s …\" does not stand in the last paragraph of its message", subject);
	return 0;
}

/* A merge of three or more has bytes from more sides than anybody looks at. */
static int check_parents(git_repository *repo, const git_oid *oid, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;

	int rc = git_commit_lookup(&commit, repo, oid);
	if (rc < 0) {
		git_err(err, rc, "commit %.10s", git_oid_tostr_s(oid));
		return err_wrap(err, "the history can't be read");
	}
	if (git_commit_parentcount(commit) > 2)
		return err_set(err, ERR_INVALID, "commit %.10s: is a merge of %u commits; at most 2 are allowed", git_oid_tostr_s(oid),
		               git_commit_parentcount(commit));
	return 0;
}

static int check_commit(git_repository *repo, const struct approval_file *file, const struct allowed_signers *signers,
                        const struct signing_clock *clock, char **ret_by, struct err *err)
{
	cleanup_signed_commit struct signed_commit commit = SIGNED_COMMIT_INIT;
	cleanup_free char *subject = subject_of(file->path);
	cleanup_free char *by = NULL;

	if (check_parents(repo, file->commit, err) < 0 || commit_signature_check(repo, file->commit, signers, clock, &commit, &by, err) < 0)
		return -1;
	if (check_message(commit.payload.data + commit.message, subject, file->blob, err) < 0)
		return err_wrap(err, "commit %.10s", git_oid_tostr_s(file->commit));
	*ret_by = steal_ptr(&by);
	return 0;
}

static int check(git_repository *repo, const struct approval_file *file, const struct allowed_signers *signers,
                 const struct signing_clock *clock, char **ret_by, struct err *err)
{
	int landed = landed_at(repo, file->commit, file->path, file->blob, err);

	if (landed < 0)
		return -1;
	if (!landed)
		return err_set(err, ERR_INVALID, "commit %.10s: did not bring these bytes", git_oid_tostr_s(file->commit));
	return check_commit(repo, file, signers, clock, ret_by, err);
}

int approval_signed(git_repository *repo, const struct approval_file *file, const struct allowed_signers *signers,
                    const struct signing_clock *clock, char **ret_by, struct err *err)
{
	if (check(repo, file, signers, clock, ret_by, err) < 0)
		return err_wrap(err, "%s: is not approved", file->path);
	return 0;
}

int approval_signed_landed(git_repository *repo, const struct approval_file *file, const struct allowed_signers *signers,
                           const struct signing_clock *clock, char **ret_by, struct err *err)
{
	if (check_commit(repo, file, signers, clock, ret_by, err) < 0)
		return err_wrap(err, "%s: is not approved", file->path);
	return 0;
}
