/* One line of an allowed_signers file, and its patterns. */
#include "vault/ssh/allowed_signers_line.h"

#include "lib/cleanup.h"
#include "vault/name.h"
#include "vault/ssh/ssh_wire.h"
#include <string.h>
#include <strings.h>
#include <time.h>

#define BLANK " \t"

void signer_line_free(struct signer_line *l)
{
	free(l->principals);
	free(l->namespaces);
	*l = (struct signer_line){.number = 0};
}

/* One pattern of `len` characters. A star that matched too little is tried again one character further: no recursion, at worst len * strlen(name) steps. */
static bool pattern_matches(const char *pattern, size_t len, const char *name)
{
	const char *p = pattern, *end = pattern + len, *star = NULL, *back = NULL;

	while (*name) {
		if (p < end && *p == '*') {
			star = p++;
			back = name;
		} else if (p < end && (*p == '?' || *p == *name)) {
			p++;
			name++;
		} else if (star) {
			p = star + 1;
			name = ++back;
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}

bool signer_list_matches(const char *list, const char *name)
{
	bool found = false;

	for (const char *p = list;; p++) {
		size_t len = strcspn(p, ",");
		bool excludes = *p == '!';

		if (pattern_matches(p + excludes, len - excludes, name)) {
			if (excludes)
				return false;
			found = true;
		}
		p += len;
		if (!*p)
			return found;
	}
}

/* A value in double quotes, in which \" stands for a quote. *at moves behind it. */
static int take_quoted(const char **at, const char *option, char **ret, struct err *err)
{
	const char *p = *at;
	cleanup_free char *value = xmalloc(strlen(p) + 1);
	size_t len = 0;

	if (*p++ != '"')
		return err_set(err, ERR_INVALID, "%s: its value must stand in double quotes", option);
	for (; *p && *p != '"'; value[len++] = *p++)
		if (p[0] == '\\' && p[1] == '"')
			p++;
	if (!*p)
		return err_set(err, ERR_INVALID, "%s: the closing double quote is missing", option);
	value[len] = '\0';
	*at = p + 1;
	*ret = steal_ptr(&value);
	return 0;
}

static int number_at(const char *digits, size_t n)
{
	int value = 0;
	while (n-- > 0)
		value = value * 10 + (*digits++ - '0');
	return value;
}

/* YYYYMMDD[HHMM[SS]][Z] */
static int parse_time(const char *text, const char *option, int64_t *ret, struct err *err)
{
	size_t digits = strspn(text, CHARS_DIGIT);
	bool utc = strcmp(text + digits, "Z") == 0;

	if ((digits != 8 && digits != 12 && digits != 14) || (!utc && text[digits]))
		return err_set(err, ERR_INVALID, "%s: must be YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z behind it for UTC", option);
	const struct tm given = {.tm_year = number_at(text, 4) - 1900,
	                         .tm_mon = number_at(text + 4, 2) - 1,
	                         .tm_mday = number_at(text + 6, 2),
	                         .tm_hour = digits > 8 ? number_at(text + 8, 2) : 0,
	                         .tm_min = digits > 8 ? number_at(text + 10, 2) : 0,
	                         .tm_sec = digits > 12 ? number_at(text + 12, 2) : 0,
	                         .tm_isdst = -1};
	struct tm tm = given;
	time_t t = timegm(&tm);
	if (tm.tm_year != given.tm_year || tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday || tm.tm_hour != given.tm_hour ||
	    tm.tm_min != given.tm_min || tm.tm_sec != given.tm_sec)
		return err_set(err, ERR_INVALID, "%s: there is no such day or time", option);
	tm = given;
	*ret = utc ? t : mktime(&tm);
	return 0;
}

static int take_time(const char **at, const char *option, bool *has, int64_t *ret, struct err *err)
{
	cleanup_free char *text = NULL;

	if (*has)
		return err_set(err, ERR_INVALID, "%s: is there twice", option);
	*has = true;
	if (take_quoted(at, option, &text, err) < 0)
		return -1;
	return parse_time(text, option, ret, err);
}

/* Whether the option stands here, with '=' behind it where it has a value; *at moves behind that. */
static bool take_option(const char **at, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(*at, name, len) != 0)
		return false;
	*at += len;
	return true;
}

static int take_one_option(const char **at, struct signer_line *ret, struct err *err)
{
	if (take_option(at, "cert-authority")) {
		ret->authority = true;
		return 0;
	}
	if (take_option(at, "namespaces=")) {
		if (ret->namespaces)
			return err_set(err, ERR_INVALID, "namespaces: is there twice");
		return take_quoted(at, "namespaces", &ret->namespaces, err);
	}
	if (take_option(at, "valid-after="))
		return take_time(at, "valid-after", &ret->has_after, &ret->after, err);
	if (take_option(at, "valid-before="))
		return take_time(at, "valid-before", &ret->has_before, &ret->before, err);
	return err_set(err, ERR_INVALID,
	               "'%.*s' is no option; known ones are namespaces=\"…\", valid-after=\"…\", valid-before=\"…\", cert-authority",
	               (int)strcspn(*at, BLANK ",="), *at);
}

static int take_options(const char **at, struct signer_line *ret, struct err *err)
{
	for (;;) {
		if (take_one_option(at, ret, err) < 0)
			return -1;
		if (!**at || strchr(BLANK, **at))
			break;
		if (*(*at)++ != ',')
			return err_set(err, ERR_INVALID, "options must be separated by commas, without blanks");
	}
	if (ret->has_after && ret->has_before && ret->before <= ret->after)
		return err_set(err, ERR_INVALID, "valid-before is not later than valid-after");
	return 0;
}

/* Whether the word here is a kind of key. No option begins so. */
static bool is_key_kind(const char *word)
{
	static const char *const prefixes[] = {"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"};
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (strncmp(word, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* The first word, which may be quoted. */
static int take_principals(const char **at, char **ret, struct err *err)
{
	size_t len = strcspn(*at, BLANK);

	if (**at == '"') {
		if (take_quoted(at, "the list of principals", ret, err) < 0)
			return -1;
	} else {
		*ret = strndup(*at, len);
		*at += len;
	}
	if (!**ret || strstr(*ret, ",,") || **ret == ',' || (*ret)[strlen(*ret) - 1] == ',')
		return err_set(err, ERR_INVALID, "the list of principals has an empty one");
	if (**at && !strchr(BLANK, **at))
		return err_set(err, ERR_INVALID, "there must be a blank behind the list of principals");
	return 0;
}

int signer_line_parse(const char *text, struct signer_line *ret, struct err *err)
{
	const char *at = text;

	ret->after = INT64_MIN;
	ret->before = INT64_MAX;
	if (take_principals(&at, &ret->principals, err) < 0)
		return -1;
	at += strspn(at, BLANK);
	if (*at && !is_key_kind(at) && take_options(&at, ret, err) < 0)
		return -1;
	at += strspn(at, BLANK);
	if (!*at || !is_key_kind(at))
		return err_set(err, ERR_INVALID, "the key (" SSH_ED25519 " AAAA…) is missing");
	size_t kind = strcspn(at, BLANK);
	if (ret->authority)
		ret->unusable = "certificate authorities are not supported; give each signer a line with his own key";
	else if (!ssh_slice_is((struct ssh_slice){(const uint8_t *)at, kind}, SSH_ED25519))
		ret->unusable = "only keys of kind " SSH_ED25519 " are supported";
	else if (ssh_public_key_parse(at, strlen(at), &ret->key, err) < 0)
		return err_wrap(err, "the key");
	return 0;
}
