/*
 * Git's credential prompts. Git runs the program that GIT_ASKPASS names with its question as the one argument and reads the answer from
 * its standard output (gitcredentials(7)). Here that is a file of one line which starts this program under another name:
 *
 *     #!/disinto/disinto-runner askpass                  /tmp/.disinto/askpass, 0500, owned by the step's user
 *
 * It holds no value. What it may answer stands in DISINTO_GIT_AUTH: hosts and names of secrets, only of those that the step has; the value
 * comes from where the step itself finds it. So the helper can do nothing that its step could not do without it; what it adds is that
 * no URL, no command line and no configuration of git need hold a credential, and that a host that was not named gets none.
 */
#ifndef RUNNER_ASKPASS_H
#define RUNNER_ASKPASS_H

#include "vault/name.h"
#include <stdbool.h>
#include <stddef.h>

#define ASKPASS_DIR "/tmp/.disinto" /* root's, 0711: an exec tmpfs on which a step can't replace a name */
#define ASKPASS_PATH ASKPASS_DIR "/askpass"
#define ASKPASS_WORD "askpass"
#define ASKPASS_MAP "DISINTO_GIT_AUTH" /* "forge.example=GIT_TOKEN other.example:3000=OTHER_TOKEN" */
#define ASKPASS_USER "x-access-token"  /* forges that look at the token alone take any; this is the one that others want */

enum askpass_wants { ASKPASS_NOTHING, ASKPASS_USERNAME, ASKPASS_PASSWORD };

/*
 * What git asks for, and the name of the secret that the map has for exactly that host and port. Whatever could be read in two ways names
 * no host: git puts user names and paths into its question undecoded, so that one host can be made to look like another.
 */
enum askpass_wants askpass_parse(const char *question, const char *map, char ret_secret[static VAULT_SECRET_MAX + 1]);

/* The helper's main(), with the question. Returns its exit code; 1, with a sentence on standard error, when there is no answer. */
int askpass_main(const char *question);

#endif
