#include "vault/name.h"
#include "lib/buf.h"
#include <string.h>

#define BRANCH_MAX 256
#define REPO_MAX 256

bool vault_matches(const char *s, const char *first, const char *rest, size_t max)
{
	size_t len = strnlen(s, max + 1);

	return len > 0 && len <= max && strchr(first, s[0]) && strspn(s, rest) == len;
}

bool vault_is_id(const char *s)
{
	return vault_matches(s, CHARS_LOWER CHARS_DIGIT, CHARS_LOWER CHARS_DIGIT "_-", VAULT_ID_MAX);
}

bool vault_is_secret(const char *s)
{
	return vault_matches(s, CHARS_UPPER, CHARS_UPPER CHARS_DIGIT "_", VAULT_SECRET_MAX);
}

bool vault_is_input(const char *s)
{
	return vault_matches(s, CHARS_LOWER, CHARS_LOWER CHARS_DIGIT "_", VAULT_INPUT_MAX);
}

bool vault_is_artifact(const char *s)
{
	return vault_matches(s, CHARS_ALNUM "_", CHARS_ALNUM "._+-", VAULT_ARTIFACT_MAX);
}

bool vault_is_branch(const char *s)
{
	size_t len = strnlen(s, BRANCH_MAX + 1);

	return vault_matches(s, CHARS_ALNUM "_", CHARS_ALNUM "._/-", BRANCH_MAX) && !strstr(s, "..") && !strstr(s, "//") &&
	       !strstr(s, "/.") && !strstr(s, ".lock/") && s[len - 1] != '/' && s[len - 1] != '.' &&
	       (len < 5 || strcmp(s + len - 5, ".lock") != 0);
}

bool vault_is_repo(const char *s)
{
	static const char chars[] = CHARS_ALNUM "._-";
	size_t owner = strspn(s, chars), name = s[owner] == '/' ? strspn(s + owner + 1, chars) : 0;

	return owner > 0 && name > 0 && !s[owner + 1 + name] && owner + 1 + name <= REPO_MAX && strcmp(s + owner, "/.") != 0 &&
	       strcmp(s + owner, "/..") != 0 && strncmp(s, "./", 2) != 0 && strncmp(s, "../", 3) != 0;
}

bool vault_is_step_variable(const char *s)
{
	static const char *const names[] = {
	    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "GIT_ASKPASS", "GIT_TERMINAL_PROMPT", "GIT_SSH_COMMAND"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(s, names[i]) == 0)
			return true;
	return strncmp(s, "INPUT_", 6) == 0 || strncmp(s, "DISINTO_", 8) == 0 || strncmp(s, "GIT_CONFIG_", 11) == 0;
}

/* Copies what stands before `suffix` when the name ends with it and the rest is an id. */
static bool id_before(const char *name, const char *suffix, char ret_id[static VAULT_ID_MAX + 1])
{
	size_t len = strlen(name), tail = strlen(suffix);
	char id[VAULT_ID_MAX + 1];

	if (len <= tail || len - tail > VAULT_ID_MAX || strcmp(name + len - tail, suffix) != 0)
		return false;
	memcpy(id, name, len - tail);
	id[len - tail] = '\0';
	if (!vault_is_id(id))
		return false;
	memcpy(ret_id, id, sizeof(id));
	return true;
}

enum vault_file vault_file_kind(const char *name, char ret_id[static VAULT_ID_MAX + 1])
{
	/* An id has no dots, so at most one of the suffixes leaves one: x.result.json is never an action. */
	if (id_before(name, ".json", ret_id))
		return VAULT_FILE_ACTION;
	if (id_before(name, ".result.json", ret_id))
		return VAULT_FILE_RESULT;
	if (id_before(name, ".cancel.json", ret_id))
		return VAULT_FILE_CANCEL;
	return strcmp(name, ".gitkeep") == 0 ? VAULT_FILE_KEEP : VAULT_FILE_MISNAMED;
}

char *vault_action_path(const char *id)
{
	return xasprintf(VAULT_ACTIONS "/%s.json", id);
}

char *vault_result_path(const char *id)
{
	return xasprintf(VAULT_ACTIONS "/%s.result.json", id);
}

char *vault_cancel_path(const char *id)
{
	return xasprintf(VAULT_ACTIONS "/%s.cancel.json", id);
}

char *vault_formula_path(const char *name)
{
	return xasprintf(VAULT_FORMULAS "/%s.yaml", name);
}

char *vault_secret_path(const char *name)
{
	return xasprintf(VAULT_SECRETS "/%s.age", name);
}
