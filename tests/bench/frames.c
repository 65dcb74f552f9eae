/*
 * What a dispatcher would say to a runner, all of it at once: a task of one step, secrets, GO.
 *
 *   frames SCRIPT SECRETS
 *
 * SECRETS random tokens of 40 characters, which the action names and the step does not get to see.
 */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/frame.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_BYTES 20

static json_t *names(int n)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		char *name cleanup_free = xasprintf("TOKEN_%d", i);
		json_array_append_new(list, json_string(name));
	}
	return list;
}

static void add_secrets(struct buf *out, int n)
{
	for (int i = 0; i < n; i++) {
		unsigned char bytes[TOKEN_BYTES];
		char token[2 * TOKEN_BYTES + 1];
		char *name cleanup_free = xasprintf("TOKEN_%d", i);

		randombytes_buf(bytes, sizeof(bytes));
		sodium_bin2hex(token, sizeof(token), bytes, sizeof(bytes));
		frame_add_secret(out, name, (const unsigned char *)token, strlen(token));
	}
	buf_addf(out, "{\"t\":\"secrets_end\",\"count\":%d}\n", n);
}

int main(int argc, char **argv)
{
	struct buf out cleanup_buf = BUF_INIT;

	if (argc != 3 || sodium_init() < 0)
		return 2;
	int n = (int)strtol(argv[2], NULL, 10);
	json_t *task cleanup_json = json_pack("{s:{s:s, s:s, s:s, s:o}, s:{s:s, s:[{s:s, s:s, s:[]}]}, s:{}}", "action", "id", "bench",
	                                      "formula", "bench", "context", "bench", "secrets", names(n), "formula", "name", "bench",
	                                      "steps", "id", "only", "run", argv[1], "secrets", "agents");
	char *text cleanup_free = json_dumps(task, JSON_COMPACT);

	frame_add_task(&out, text);
	add_secrets(&out, n);
	buf_adds(&out, "{\"t\":\"go\",\"claim\":\"bench\"}\n");
	return fd_write_all(STDOUT_FILENO, out.data, out.len, NULL) < 0;
}
