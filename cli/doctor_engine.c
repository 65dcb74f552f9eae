/*
 * What doctor looks at on the Docker Engine.
 */
#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include "lib/docker.h"
#include "lib/file.h"
#include "lib/http.h"
#include "vault/redact/redact.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALL_MS 15000
#define CLOCK_BOUND_S 30
#define SHOWN_MAX 5 /* secrets that are named for one container */

/* GET of a path without the API's version. 0: it was answered by 200, with the text and, where asked for, the JSON. */
static int get(const struct doctor *d, const char *path, struct buf *text, json_t **ret, struct err *err)
{
	cleanup_free char *whole = xasprintf("%s%s", d->engine_prefix, path);
	const struct http_request request = {.method = "GET", .path = whole, .timeout_ms = CALL_MS};
	cleanup_http_response struct http_response response = HTTP_RESPONSE_INIT;
	cleanup_http_client struct http_client *http =
	    http_client_new(&(struct http_options){.unix_socket = d->config.docker_host, .base_url = "http://docker"});

	if (http_send(http, &request, &response, err) < 0)
		return -1;
	if (response.status != 200)
		return err_set(err, response.status == 404 ? ERR_NOT_FOUND : ERR_FAIL, "%s answers %ld", path, response.status);
	if (text)
		buf_add(text, response.body.data, response.body.len);
	if (!ret)
		return 0;
	*ret = json_loadb(response.body.data, response.body.len, 0, NULL);
	return *ret ? 0 : err_set(err, ERR_INVALID, "%s: its answer is no JSON", path);
}

/* Without these a formula's limits would be words. */
static void look_at_limits(struct doctor *d, const json_t *info)
{
	static const struct {
		const char *key, *what;
	} limits[] = {{"MemoryLimit", "memory"}, {"SwapLimit", "swap"}, {"PidsLimit", "processes"}, {"CpuCfsQuota", "processor time"}};

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		if (json_is_false(json_object_get(info, limits[i].key)))
			doctor_finding(d, "engine",
			               "enable the kernel's control group for it (on Debian: cgroup_enable=memory swapaccount=1)",
			               "it can't limit %s of a container", limits[i].what);
}

static void look_at_image(struct doctor *d)
{
	cleanup_free char *name = http_escape(d->config.runner_image);
	cleanup_free char *path = xasprintf("/images/%s/json", name);
	cleanup_err struct err why = ERR_INIT;

	if (get(d, path, NULL, NULL, &why) == 0)
		doctor_ok(d, "image", "%s is there", d->config.runner_image);
	else
		doctor_note(d, "image", "%s is not on the engine; a formula that names no image has it pulled first",
		            d->config.runner_image);
}

void doctor_engine(struct doctor *d)
{
	static const char mend[] = "start Docker, or correct docker_host; the engine role's user needs the socket's group";
	cleanup_json json_t *version = NULL;
	cleanup_json json_t *info = NULL;
	cleanup_err struct err why = ERR_INIT;

	if (get(d, "/version", NULL, &version, &why) == 0)
		docker_prefix(version, d->engine_prefix);
	if (!version || get(d, "/info", NULL, &info, &why) < 0) {
		doctor_finding(d, "engine", mend, "%s", err_msg(&why));
		return;
	}
	size_t before = d->n_findings;
	look_at_limits(d, info);
	if (d->n_findings == before)
		doctor_ok(d, "engine", "version %s answers on %s", text_of(version, "Version"), d->config.docker_host);
	look_at_image(d);
}

/* Seconds that the engine is ahead of us. */
static bool engine_clock(const struct doctor *d, int64_t *ret_ahead)
{
	cleanup_json json_t *info = NULL;
	struct tm tm = {0};

	if (get(d, "/info", NULL, &info, NULL) < 0 || !text_of(info, "SystemTime"))
		return false;
	const char *end = strptime(text_of(info, "SystemTime"), "%Y-%m-%dT%H:%M:%S", &tm);
	long offset = 0;
	if (!end)
		return false;
	end += strcspn(end, "Z+-");
	/* RFC 3339: the local time and how far it is ahead of UTC. */
	if (*end == '+' || *end == '-')
		offset =
		    (*end == '-' ? -1 : 1) * (strtol(end + 1, NULL, 10) * 3600 + (strlen(end) >= 6 ? strtol(end + 4, NULL, 10) * 60 : 0));
	*ret_ahead = (int64_t)timegm(&tm) - offset - now_wall_ms() / 1000;
	return true;
}

void doctor_clock(struct doctor *d)
{
	int64_t ahead;
	bool server = doctor_server_clock(d, &ahead);

	if (!server && !engine_clock(d, &ahead)) {
		doctor_note(d, "clock", "neither the git server nor the engine tells the time");
		return;
	}
	const char *who = server ? "the git server" : "the engine";
	if (llabs((long long)ahead) > CLOCK_BOUND_S)
		doctor_finding(d, "clock",
		               "run a time service (systemd-timesyncd, chrony): claims, tokens and certificates are judged by the clock",
		               "this machine is %lld s %s %s", llabs((long long)ahead), ahead > 0 ? "behind" : "ahead of", who);
	else
		doctor_ok(d, "clock", "within %d s of %s", CLOCK_BOUND_S, who);
}

/* Adds a secret of the tip, if it can be opened here. */
static void add_secret(struct doctor *d, const char *name, struct redactor *to, size_t *n)
{
	cleanup_guarded unsigned char *value = NULL;
	cleanup_err struct err why = ERR_INIT;
	size_t len = 0;

	if (secrets_open(&d->repo, &d->repo.tip, d->ids, name, &value, &len, &why) < 0) {
		doctor_finding(d, "identity",
		               "`disinto secrets rotate` where it can be opened, with this site's recipient in vault/recipients.txt", "%s",
		               err_msg(&why));
	} else if (len >= SECRET_MIN_BYTES) {
		redactor_add(to, name, value, len);
		++*n;
	}
}

/* Every secret that can be opened here, and how many. Caller frees. */
static struct redactor *open_secrets(struct doctor *d, size_t *ret_n)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	struct redactor *all = redactor_new();

	*ret_n = 0;
	secrets_tree(&d->repo, &d->repo.tip, &tree, NULL);
	for (size_t i = 0; tree && i < git_tree_entrycount(tree); i++) {
		cleanup_free char *name = secrets_name_of(git_tree_entry_name(git_tree_entry_byindex(tree, i)));

		if (name)
			add_secret(d, name, all, ret_n);
	}
	redactor_build(all);
	return all;
}

/* Says which secrets stand in a text that was searched. */
static void tell_hits(struct doctor *d, const char *container, const char *masked)
{
	static const char mark[] = "[redacted:";
	size_t n = 0;

	for (const char *at = masked; n < SHOWN_MAX && (at = strstr(at, mark)); n++) {
		at += strlen(mark);
		doctor_finding(
		    d, "inspect",
		    "whoever may use the socket reads it: take it out of that container's environment or arguments, and change its value",
		    "the value of %.*s stands in docker inspect of %s", (int)strcspn(at, "]"), at, container);
	}
}

static void search(struct doctor *d, const struct redactor *secrets, const char *container, const struct buf *text)
{
	struct redact_stream *stream = redact_stream_new(secrets);
	cleanup_buf struct buf masked = BUF_INIT;

	redact_feed(stream, text->data, text->len, &masked);
	redact_end(stream, &masked);
	redact_stream_free(stream);
	if (masked.len != text->len || memcmp(masked.data, text->data, text->len) != 0)
		tell_hits(d, container, masked.data);
}

/* Our own containers get no environment but the path, whatever the secrets are. */
static void look_at_environment(struct doctor *d, const char *container, const json_t *config)
{
	const json_t *one;
	size_t i;

	if (!text_of(json_object_get(config, "Labels"), "disinto.dispatcher"))
		return;
	json_array_foreach (json_object_get(config, "Env"), i, one) {
		const char *text = json_string_value(one);

		if (text && strncmp(text, "PATH=", 5) != 0 && strchr(text, '='))
			doctor_finding(d, "inspect", "no dispatcher makes such a container: find out who did",
			               "%s has %.*s in its environment", container, (int)strcspn(text, "="), text);
	}
}

static void look_at_container(struct doctor *d, const struct redactor *secrets, const json_t *listed)
{
	const char *id = text_of(listed, "Id"), *name = json_string_value(json_array_get(json_object_get(listed, "Names"), 0));
	cleanup_free char *path = xasprintf("/containers/%s/json", id ? id : "");
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_json json_t *all = NULL;

	/* One that has gone meanwhile shows nothing any more. */
	if (!id || get(d, path, &text, &all, NULL) < 0)
		return;
	name = name && *name == '/' ? name + 1 : id;
	search(d, secrets, name, &text);
	look_at_environment(d, name, json_object_get(all, "Config"));
}

void doctor_inspect(struct doctor *d)
{
	cleanup_json json_t *list = NULL;
	const json_t *one;
	size_t i, n = 0, before = d->n_findings;

	if (get(d, "/containers/json?all=1", NULL, &list, NULL) < 0)
		return; /* the engine's finding */
	if (!d->ids || !d->has_repo) {
		doctor_note(d, "inspect", "without identity and ops repo there are no values to look for in docker inspect");
		return;
	}
	struct redactor *secrets = open_secrets(d, &n);
	json_array_foreach (list, i, one)
		look_at_container(d, secrets, one);
	redactor_free(secrets);
	if (d->n_findings == before)
		doctor_ok(d, "inspect", "%zu secrets stand in docker inspect of none of %zu containers", n, json_array_size(list));
}
