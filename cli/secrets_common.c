/*
 * Secrets in the ops repo, opened and sealed.
 */
#include "cli/owner.h"
#include "cli/secrets.h"
#include "cli/sign.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>

#define RECIPIENTS_MAX 65536
#define IDENTITY_MAX 65536
#define SUFFIX ".age"

int secrets_recipients(const struct repo *r, const git_oid *commit, struct age_recipients *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (repo_file(r, commit, VAULT_RECIPIENTS, RECIPIENTS_MAX, &text, err) < 0)
		return err_wrap(err, "recipients");
	if (recipients_approved(r, commit, err) < 0)
		return -1;
	return age_recipients_parse(text.data, text.len, VAULT_RECIPIENTS, ret, err);
}

int secrets_identities(const struct config *config, const char *path, struct age_identities **ret, struct err *err)
{
	cleanup_guarded unsigned char *text = NULL;
	cleanup_fd int fd = -1;
	const char *file = path ? path : config->identity_file;
	size_t len;

	if (!file)
		return err_set(err, ERR_NOT_FOUND, "%s: identity_file is not set; name the age identity that opens the secrets",
		               config->file);
	if (owner_secret_open(file, &fd, err) < 0 || read_hidden(fd, IDENTITY_MAX, &text, &len, err) < 0)
		return path ? -1 : err_wrap(err, "identity_file");
	return age_identities_parse((const char *)text, len, file, ret, err);
}

int secrets_tree(const struct repo *r, const git_oid *commit, git_tree **ret, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;

	*ret = NULL;
	if (git_repo_tree(r->git, commit, VAULT_SECRETS, ret, &why) == 0 || why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

char *secrets_name_of(const char *file)
{
	size_t len = strlen(file), tail = strlen(SUFFIX);
	cleanup_free char *name = xstrdup(file);

	if (len <= tail || strcmp(file + len - tail, SUFFIX) != 0)
		return NULL;
	name[len - tail] = '\0';
	return vault_is_secret(name) ? steal_ptr(&name) : NULL;
}

int secrets_open(const struct repo *r, const git_oid *commit, const struct age_identities *ids, const char *name, unsigned char **ret,
                 size_t *ret_len, struct err *err)
{
	cleanup_free char *path = vault_secret_path(name);
	cleanup_buf struct buf file = BUF_INIT;

	if (repo_file(r, commit, path, OPS_SECRET_MAX_BYTES, &file, err) < 0)
		return -1;
	return age_decrypt(ids, name, file.data, file.len, SECRET_MAX_BYTES, ret, ret_len, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

int secrets_verify(const struct repo *r, const git_oid *commit, const struct age_identities *ids, const char *name,
                   const unsigned char *value, size_t len, struct err *err)
{
	cleanup_guarded unsigned char *back = NULL;
	cleanup_err struct err why = ERR_INIT;
	size_t back_len = 0;

	if (secrets_open(r, commit, ids, name, &back, &back_len, &why) < 0) {
		bool not_for_us = why.code == ERR_DENIED;
		err_move(err, &why);
		return err_wrap(err, "read back%s",
		                not_for_us ? ": identity_file would not open what is encrypted to " VAULT_RECIPIENTS
		                             "; add its recipient there, or the new identity to identity_file"
		                           : "");
	}
	if (back_len != len || sodium_memcmp(back, value, len) != 0)
		return err_set(err, ERR_FAIL, "read back: " VAULT_SECRETS "/%s.age does not hold the value that was put there", name);
	return 0;
}

void sealed_free(struct sealed *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free((char *)(uintptr_t)s->v[i].path);
		free((char *)(uintptr_t)s->v[i].content);
	}
	free(s->v);
	*s = (struct sealed){NULL, 0};
}

static void put(struct sealed *s, char *path, char *content, size_t len)
{
	s->v = xrealloc(s->v, (s->n + 1) * sizeof(*s->v));
	s->v[s->n++] = (struct git_change){path, content, len};
}

int sealed_add(struct sealed *s, const struct age_recipients *to, const char *name, const unsigned char *value, size_t len, struct err *err)
{
	struct buf file = BUF_INIT;

	if (age_encrypt(to, name, value, len, &file, err) < 0) {
		buf_free(&file);
		return err_wrap(err, "%s", name);
	}
	len = file.len;
	put(s, vault_secret_path(name), buf_steal(&file), len);
	return 0;
}

void sealed_remove(struct sealed *s, const char *name)
{
	put(s, vault_secret_path(name), NULL, 0);
}

int sealed_commit(const struct sealed *s, const struct repo *r, const char *message, git_oid *ret, struct err *err)
{
	cleanup_git(git_signature) git_signature *author = NULL;

	if (repo_author(&author, err) < 0)
		return -1;
	const struct landing_commit commit = {&r->tip, 1, s->v, s->n, author, message, r->config->approval.minimum == APPROVAL_SIGNED};
	return commit_landing(r->git, &commit, ret, err);
}
