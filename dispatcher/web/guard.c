/*
 * What a request must be before anything in it is looked at. The library that reads it is lenient where proxies differ, and a request that two
 * readers take for two different ones is how a stranger's bytes get into somebody else's connection (RFC 9112 section 11.2). So: no header that could be
 * read in two ways, one way of saying how long the body is, and a connection that ends after a request with a body, so that nothing behind it is ever
 * taken for another request.
 *
 * Besides, a browser may be made to ask for what another site's page wants. No cookie is ever looked at, so such a request has no key; it is refused all the
 * same. And a name that a stranger can point at this machine (DNS rebinding) is no name of ours.
 */
#include "dispatcher/web/web.h"
#include "lib/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 255

struct seen {
	unsigned lengths, encodings, hosts, keys;
	bool strange, chunked, has_body;
	const char *host, *origin, *site, *forwarded;
};

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && (!s[i] || !strchr("!#$%&'*+-.^_`|~", s[i])))
			return false;
	return len > 0;
}

static bool is_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			return false;
	return true;
}

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value, size_t len)
{
	struct seen *s = arg;

	(void)kind;
	if (!value || !is_token(name, name_len) || !is_text(value, len)) {
		s->strange = true;
	} else if (strcasecmp(name, "Content-Length") == 0) {
		s->lengths++;
		s->has_body |= strspn(value, "0") != len;
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		s->encodings++;
		s->chunked = strcasecmp(value, "chunked") == 0;
	} else if (strcasecmp(name, "Host") == 0) {
		s->hosts++;
		s->host = value;
	} else if (strcasecmp(name, "Authorization") == 0) {
		s->keys++;
	} else if (strcasecmp(name, "Origin") == 0) {
		s->origin = value;
	} else if (strcasecmp(name, "Sec-Fetch-Site") == 0) {
		s->site = value;
	} else if (strcasecmp(name, "X-Forwarded-Host") == 0) {
		s->forwarded = value;
	}
	return MHD_YES;
}

/* NULL: it can be read in one way only. */
static const char *ambiguity(const struct seen *s)
{
	if (s->strange)
		return "a header's name or value has characters that it must not have";
	if (s->lengths + s->encodings > 1)
		return "the length of the body is said more than once";
	if (s->encodings && !s->chunked)
		return "of transfer encodings only chunked is known";
	if (s->hosts > 1)
		return "there is more than one Host";
	if (s->keys > 1)
		return "there is more than one Authorization";
	return NULL;
}

/* The name of "name:port", in lower case, without a final dot; "[::1]:80" gives "::1". -1: it is no such thing. */
static int host_name(const char *host, char ret[static HOST_MAX + 1])
{
	size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
	const char *port = host + len + (host[0] == '[' && host[len]), *from = host + (host[0] == '[');

	len -= (size_t)(from - host);
	if (len == 0 || len > HOST_MAX || (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1))))
		return -1;
	if (from[len - 1] == '.' && len > 1)
		len--;
	for (size_t i = 0; i < len; i++)
		ret[i] = (char)tolower((unsigned char)from[i]);
	ret[len] = '\0';
	return 0;
}

static bool is_address(const char *name)
{
	struct in6_addr any;

	return inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;
}

/* Addresses need no name service; nobody else can own a name without a dot; others the configuration knows. */
static bool is_our_name(const struct web *w, const char *host)
{
	char name[HOST_MAX + 1];
	const json_t *allowed;
	size_t i;

	if (host_name(host, name) < 0)
		return false;
	if (is_address(name) || !strchr(name, '.'))
		return true;
	json_array_foreach (w->args->config->allowed_hosts, i, allowed)
		if (strcasecmp(json_string_value(allowed), name) == 0)
			return true;
	return false;
}

/* An origin is "scheme://host:port", or "null". */
static bool is_origin_of(const char *origin, const char *host)
{
	const char *at = strstr(origin, "://");
	return at && host && strcasecmp(at + 3, host) == 0;
}

/* Browsers that say where a request comes from are believed first; of others a page's origin must be the name that it asked. */
static bool is_foreign(const struct seen *s)
{
	if (s->site)
		return strcmp(s->site, "same-origin") != 0 && strcmp(s->site, "none") != 0;
	return s->origin && !is_origin_of(s->origin, s->host) && !is_origin_of(s->origin, s->forwarded);
}

unsigned web_guard(struct request *q, bool local, const char **ret_why)
{
	struct seen s = {0};
	const char *why;

	MHD_get_connection_values_n(q->connection, MHD_HEADER_KIND, look, &s);
	if ((why = ambiguity(&s))) {
		*ret_why = why;
		return MHD_HTTP_BAD_REQUEST;
	}
	q->last = s.has_body || s.encodings > 0;
	if (local)
		return 0;
	if (s.host && !is_our_name(q->web, s.host)) {
		*ret_why = "this is not served under that name; the names are in allowed_hosts of the configuration";
		return MHD_HTTP_MISDIRECTED_REQUEST;
	}
	/* A link from elsewhere may lead to what is open. */
	if ((!q->route || q->route->scope != SCOPE_NONE || strcmp(q->route->method, "GET") != 0) && is_foreign(&s)) {
		*ret_why = "a page of another site may not ask for this";
		return MHD_HTTP_FORBIDDEN;
	}
	return 0;
}
