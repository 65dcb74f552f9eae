/* URLs of git repositories, as git itself takes them apart. */
#include "lib/cleanup.h"
#include "lib/git_transport.h"

#include <ctype.h>
#include <string.h>

void git_address_free(struct git_address *a)
{
	free(a->shown);
	free(a->user);
	free(a->host);
	free(a->port);
	free(a->path);
	*a = (struct git_address){0};
}

/* The part of the URL that names user and password becomes "user:***". */
static char *without_password(const char *url)
{
	const char *authority = strstr(url, "://");
	if (!authority)
		return xstrdup(url);
	authority += 3;
	size_t len = strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', len);
	const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
	if (!colon)
		return xstrdup(url);
	return xasprintf("%.*s***%s", (int)(colon + 1 - url), url, at);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies len bytes, percent sequences decoded. NULL where one stands for a control character. */
static char *decode(const char *s, size_t len)
{
	cleanup_buf struct buf out = BUF_INIT;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)s[i];
		if (c == '%' && i + 2 < len && hex_digit(s[i + 1]) >= 0 && hex_digit(s[i + 2]) >= 0) {
			c = hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return NULL;
		buf_addc(&out, (char)c);
	}
	return buf_steal(&out);
}

/* [user@]host[:port] with an IPv6 host in brackets. */
static int parse_authority(const char *s, size_t len, bool with_port, struct git_address *a, struct err *err)
{
	const char *end = s + len;
	const char *at = memrchr(s, '@', len);
	if (at) {
		a->user = decode(s, (size_t)(at - s));
		s = at + 1;
	}
	const char *close = *s == '[' ? memchr(s, ']', (size_t)(end - s)) : NULL;
	const char *host = close ? s + 1 : s;
	const char *colon = with_port ? memchr(close ? close : s, ':', (size_t)(end - (close ? close : s))) : NULL;
	const char *host_end = close ? close : colon ? colon : end;
	a->host = decode(host, (size_t)(host_end - host));
	if (colon && colon + 1 < end)
		a->port = decode(colon + 1, (size_t)(end - colon - 1));
	if (!a->host || !*a->host || (at && !a->user))
		return err_set(err, ERR_INVALID, "the host is missing or has control characters");
	if (a->host[0] == '-' || (a->user && a->user[0] == '-'))
		return err_set(err, ERR_INVALID, "a host or user must not begin with '-'");
	if (a->port && (strspn(a->port, "0123456789") != strlen(a->port) || strlen(a->port) > 5))
		return err_set(err, ERR_INVALID, "the port must be a number");
	return 0;
}

/* ssh://, git:// and file:// */
static int parse_url(const char *rest, struct git_address *a, struct err *err)
{
	const char *slash = strchr(rest, '/');
	if (!slash)
		return err_set(err, ERR_INVALID, "the path is missing");
	if (a->scheme == GIT_SCHEME_LOCAL && slash != rest && strncmp(rest, "localhost/", 10) != 0)
		return err_set(err, ERR_INVALID, "a file URL names no host: write file:///path");
	if (a->scheme != GIT_SCHEME_LOCAL && parse_authority(rest, (size_t)(slash - rest), true, a, err) < 0)
		return -1;
	if (a->scheme == GIT_SCHEME_SSH && slash[1] == '~')
		slash++;
	a->path = decode(slash, strlen(slash));
	return a->path ? 0 : err_set(err, ERR_INVALID, "the path has control characters");
}

static int parse_any(const char *url, struct git_address *a, struct err *err)
{
	static const struct {
		const char *prefix;
		enum git_scheme scheme;
	} schemes[] = {{"ssh://", GIT_SCHEME_SSH},   {"git+ssh://", GIT_SCHEME_SSH}, {"ssh+git://", GIT_SCHEME_SSH},
	               {"git://", GIT_SCHEME_GIT},   {"file://", GIT_SCHEME_LOCAL},  {"http://", GIT_SCHEME_HTTP},
	               {"https://", GIT_SCHEME_HTTP}};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t len = strlen(schemes[i].prefix);
		if (strncmp(url, schemes[i].prefix, len) != 0)
			continue;
		a->scheme = schemes[i].scheme;
		return a->scheme == GIT_SCHEME_HTTP ? 0 : parse_url(url + len, a, err);
	}
	if (strstr(url, "://"))
		return err_set(err, ERR_INVALID, "unknown scheme; known are http, https, ssh, git and file");
	const char *colon = strchr(url, ':');
	const char *slash = strchr(url, '/');
	if (colon && (!slash || colon < slash)) {
		a->scheme = GIT_SCHEME_SSH;
		a->path = decode(colon + 1, strlen(colon + 1));
		if (!a->path || !*a->path)
			return err_set(err, ERR_INVALID, "the path is missing or has control characters");
		return parse_authority(url, (size_t)(colon - url), false, a, err);
	}
	a->scheme = GIT_SCHEME_LOCAL;
	a->path = *url == '/' ? xstrdup(url) : xasprintf("./%s", url);
	return *url ? 0 : err_set(err, ERR_INVALID, "it is empty");
}

int git_address_parse(const char *url, struct git_address *ret, struct err *err)
{
	cleanup_git_address struct git_address a = {.shown = without_password(url)};
	if (parse_any(url, &a, err) < 0)
		return err_wrap(err, "%s", a.shown);
	*ret = a;
	a = (struct git_address){0};
	return 0;
}
