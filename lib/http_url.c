#include "lib/http_url.h"
#include "lib/http.h"
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

static void cleanup_url(CURLU *const *u)
{
	curl_url_cleanup(*u);
}
static void cleanup_curl_string(char *const *s)
{
	curl_free(*s);
}

#define cleanup_curlu __attribute__((cleanup(cleanup_url)))
#define cleanup_curl_str __attribute__((cleanup(cleanup_curl_string)))

char *url_without_user(const char *url)
{
	cleanup_curlu CURLU *u = curl_url();
	cleanup_curl_str char *text = NULL;
	if (!u || curl_url_set(u, CURLUPART_URL, url, 0) || curl_url_set(u, CURLUPART_USER, NULL, 0) ||
	    curl_url_set(u, CURLUPART_PASSWORD, NULL, 0) || curl_url_get(u, CURLUPART_URL, &text, 0))
		return NULL;
	return xstrdup(text);
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	cleanup_curl_str char *x = NULL;
	cleanup_curl_str char *y = NULL;
	return curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK && curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	       strcasecmp(x, y) == 0;
}

bool url_same_place(const char *base, const char *url)
{
	cleanup_curlu CURLU *a = curl_url();
	cleanup_curlu CURLU *b = curl_url();
	return a && b && curl_url_set(a, CURLUPART_URL, base, 0) == CURLUE_OK && curl_url_set(b, CURLUPART_URL, url, 0) == CURLUE_OK &&
	       same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) && same_part(a, b, CURLUPART_PORT);
}

char *http_escape(const char *s)
{
	static const char unreserved[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	struct buf b = BUF_INIT;
	for (; *s; s++) {
		if (strchr(unreserved, *s))
			buf_addc(&b, *s);
		else
			buf_addf(&b, "%%%02X", (unsigned)(unsigned char)*s);
	}
	return buf_steal(&b);
}
