/*
 * The map of the dispatcher: which processes there are, what each may do, what they say to each other, and
 * where each begins. A newcomer who has read this file knows the house.
 *
 *                    parent          forks and replaces the roles; parses nothing foreign
 *                      |
 *      git ---------- core --------- keyring
 *                    /    \             :
 *                 web      engine ......:   (a pipe, made by core, that carries decrypted secrets past it)
 *
 * Every role is a process of one program, forked and not executed again. Each has exactly one socket, to core; core has
 * one to each of them and one to the parent. All messages are lib/msg.h's; their kinds stand in the table
 * below, with the direction in which alone they are accepted. A message that is not in the table, comes from the
 * wrong side, or lacks a descriptor it should carry ends the connection; the parent then replaces the role.
 *
 * Core never blocks on a send, so every other role may block on one to core, with a deadline.
 *
 * role     room                 power                                       may never
 * parent   parent.c, below      starting privileges; opens files            parse anything foreign
 * core     core/, core_role/    the spool; decides everything               reach the network, see a secret
 * git      git/                 the ops repo's credential and clone         see the identity, the Docker socket
 * keyring  keyring/             the age identity, an open descriptor        reach the network, open files
 * engine   engine/              the Docker socket                           see the identity
 * web      web/                 listening sockets, a copy of the state      see secrets, the Docker socket, the git credential
 *
 * Files of this folder itself are the parent's (main.c parent.c open.c lend.c first_token.c, and confine.c, which is what each role does first), or
 * everybody's: messages.c, the table below as code, and pulse.c, which of the others hangs. Core has two rooms. core/ decides; core_role/ is the process around it:
 * core_role.c turns; hear.c makes events of messages, effects.c carries out; spool.c identity.c boot.c transcript.c artifacts.c are what is on disk; show.c
 * tokens.c propose.c what web is told and asks; ledger.c leave.c one matter each.
 *
 * The life of an action, seen from core (core/core.h has the states): git says LANDED; core journals `claimed` with a nonce; in the company of other
 * dispatchers it says CLAIM now, and goes on when git says CLAIMED; core journals `starting` and says START; engine makes the container and says READY once its runner has checked the task; core sends SECRETS
 * (read end) to engine and DECRYPT (write end) to keyring; engine says DELIVERED; core journals `going` with a second nonce, says CLAIM again, and only
 * once that is CLAIMED says GO; engine follows (STEP, LOG) until EXITED; core writes the result and says RECORD; git says RECORDED once it is on the server;
 * core says REMOVE. With `claims: local` there is no CLAIM.
 */
#ifndef DISPATCHER_DISPATCHER_H
#define DISPATCHER_DISPATCHER_H

#include "lib/err.h"
#include "lib/msg.h"
#include "vault/config/config.h"
#include "vault/version.h"
#include <stdbool.h>

enum role { ROLE_PARENT, ROLE_CORE, ROLE_GIT, ROLE_KEYRING, ROLE_ENGINE, ROLE_WEB, N_ROLES, ROLE_ANY = N_ROLES };
const char *role_name(enum role r);
int role_parse(const char *name, enum role *ret); /* -1: no such role */

/*
 * MSG(constant, "kind", from, to, descriptors): payload. Every message about an action carries "id"; those to and from the engine carry
 * "attempt" too, and one whose attempt is not the present one is ignored. "reason" is a sentence for people. oid = 40 hex digits.
 */
/* clang-format off */
#define MESSAGES(MSG) \
	/* parent and core */ \
	MSG(ROLE_UP, "role_up", ROLE_PARENT, ROLE_CORE, 1)       /* {role}: a fresh process of that role; fd: our end of its socket */ \
	MSG(ROLE_DOWN, "role_down", ROLE_PARENT, ROLE_CORE, 0)   /* {role, reason}: it died; a ROLE_UP follows */ \
	MSG(STOP, "stop", ROLE_PARENT, ROLE_CORE, 0)             /* {fast}: TERM came, or came again (fast); {drain: true, called}: DRAINING, said to the core that replaces the one that said it */ \
	MSG(DRAINING, "draining", ROLE_CORE, ROLE_PARENT, 0)     /* {called}: an operator wants it to drain; called: on_drained is about to be called */ \
	MSG(ALIVE, "alive", ROLE_CORE, ROLE_PARENT, 0)           /* {}: once in each turn (pulse.h); without it the parent takes core for hung */ \
	MSG(KILL_ROLE, "kill_role", ROLE_CORE, ROLE_PARENT, 0)   /* {role, reason}: it hangs or talks nonsense */ \
	MSG(QUIT, "quit", ROLE_CORE, ROLE_PARENT, 0)             /* {exit_code}: end the whole dispatcher */ \
	/* git */ \
	MSG(POLL, "poll", ROLE_CORE, ROLE_GIT, 0)                /* {}: look now, not at the next interval; answered by POLLED */ \
	MSG(CLAIM, "claim", ROLE_CORE, ROLE_GIT, 0)              /* {id, attempt, nonce, mine:[nonce], action_blob, deadline: Unix seconds}: win the ledger's claim with this nonce; it may \
	                                                             take the place of no claim, of one whose nonce is in mine, or of one that a rerun made free for this attempt. Said again for a \
	                                                             claim that stands, it confirms it. git keeps trying until CLAIMED or CLAIM_LOST; a later CLAIM of the same id takes the place of one \
	                                                             that it has not answered (whose nonce is then in mine, since it may have reached the server) */ \
	MSG(CLAIMED, "claimed", ROLE_GIT, ROLE_CORE, 0)          /* {id, attempt, nonce}: it stands on the server */ \
	MSG(CLAIM_LOST, "claim_lost", ROLE_GIT, ROLE_CORE, 0)    /* {id, attempt, nonce, ok, reason}: somebody else's stands there; ok: the action is finished, its result on the server */ \
	MSG(RECORD, "record", ROLE_CORE, ROLE_GIT, 0)            /* {id, result: text of the file}: commit it, and its done entry to the ledger; git keeps trying until RECORDED */ \
	MSG(DECIDE, "decide", ROLE_CORE, ROLE_GIT, 0)            /* {ask, what: "lost"|"rerun"|"withdraw"|"backlog"|"history", id: of the first three, else null, result: text of the file for lost, else null}: \
	                                                             an operator's decision; answered by DECIDED */ \
	MSG(DECIDED, "decided", ROLE_GIT, ROLE_CORE, 0)          /* {ask, ok, reason} */ \
	MSG(PROPOSE, "propose", ROLE_CORE, ROLE_GIT, 0)          /* {ask, id, action: object, asks_secrets, may_land, may_wait, refused}: make a proposal of it, with the formula's own secrets where asks_secrets; \
	                                                             may_land: there is a slot for it, should policy let it be landed at once; may_wait: there is room among what waits for approval. \
	                                                             The same again finds the same. refused: core has a reason against it; do nothing, but say what comes before that. Answered by PROPOSED */ \
	MSG(PROPOSED, "proposed", ROLE_GIT, ROLE_CORE, 0)        /* {ask, outcome: "proposed"|"landed"|"invalid"|"busy"|"full"|"taken"|"refused"|"failed", url, reason}: proposed now or before; url: of its request, \
	                                                             where there is a forge. busy: policy lets it be landed, and may_land was false; full: it does not, and may_wait was false */ \
	MSG(PENDING, "pending", ROLE_GIT, ROLE_CORE, 0)          /* {total, pending: [{id, head, formula, context, secrets, problem, tier, by, proposed, pull: {number, url, author}|null}]}: what waits \
	                                                             for approval, at each change; of many, the first */ \
	MSG(DRAINED, "drained", ROLE_CORE, ROLE_GIT, 0)          /* {}: call on_drained, once; answered by CALLED */ \
	MSG(CALLED, "called", ROLE_GIT, ROLE_CORE, 0)            /* {ok, reason}: what became of that call; ok too where none is configured */ \
	MSG(POLLED, "polled", ROLE_GIT, ROLE_CORE, 0)            /* {ok, reason, tip, scanned, misnamed:[path], notes:[text], frozen: reason|null, overdue:[{id, dispatcher, deadline}], backlog, company}: after \
	                                                             each poll. scanned: everything landed at tip was announced. frozen: nothing new may start until an operator decides. \
	                                                             overdue: claims in the ledger past their deadline. backlog: how many actions wait for accept-backlog. company: the \
	                                                             ledger tells of another dispatcher that may be at work */ \
	MSG(LANDED, "landed", ROLE_GIT, ROLE_CORE, 0)            /* {id, commit, action_blob, action: text|null, formula_name, formula_blob, formula: text|null, \
	                                                             secrets: {NAME: {blob, age: base64}}, tier, policy_blob, approval_mode, approval_by, attempt, claimed, refuse: reason|null, wait: reason|null}: \
	                                                             landed without a result, and not claimed by another dispatcher. attempt: the one that a claim would be for. \
	                                                             claimed: one stands there for it, under our id; of this spool, or of one that is gone. \
	                                                             refuse: can be judged from the repo and is wrong */ \
	MSG(GONE, "gone", ROLE_GIT, ROLE_CORE, 0)                /* {id, ok, taken, reason}: an announced action is not waiting on the server any more. ok: a result by somebody else stands \
	                                                             there; taken: another dispatcher has claimed it, and core forgets it until it LANDED again; neither: its file was removed */ \
	MSG(CANCEL, "cancel", ROLE_GIT, ROLE_CORE, 0)            /* {id, reason}: vault/actions/<id>.cancel.json landed */ \
	MSG(RECORDED, "recorded", ROLE_GIT, ROLE_CORE, 0)        /* {id, commit}: the result is on the server */ \
	MSG(RECORD_STATE, "record_state", ROLE_GIT, ROLE_CORE, 0) /* {ok, reason, waiting}: pushing results began to fail, or works again */ \
	MSG(REPORT_STATE, "report_state", ROLE_GIT, ROLE_CORE, 0) /* {ok, reason, waiting}: telling results on the forge began to fail, or works again */ \
	MSG(REMEMBER, "remember", ROLE_GIT, ROLE_CORE, 0)        /* {state: object}: keep it on disk before acting on what comes after */ \
	MSG(REMEMBERED, "remembered", ROLE_CORE, ROLE_GIT, 0)    /* {state: object|null, incarnation, former:[incarnation]}: the last REMEMBER, first of all messages to a new git role. incarnation: \
	                                                             of this life; former: those that the ledger may still hold (empty: this spool is new) */ \
	MSG(INCARNATED, "incarnated", ROLE_GIT, ROLE_CORE, 0)    /* {ok, reason, company}: the ledger holds the incarnation; or it holds a stranger's: this spool is a copy, and the dispatcher must end */ \
	/* git, keyring, engine and web */ \
	MSG(PING, "ping", ROLE_CORE, ROLE_ANY, 0)                 /* {n}: answered by PONG with the same n, in its turn among the role's other work; a role that owes one for too long hangs */ \
	MSG(PONG, "pong", ROLE_ANY, ROLE_CORE, 0)                 /* {n}; unasked (0): a sign of life in the middle of much work */ \
	/* keyring */ \
	MSG(DECRYPT, "decrypt", ROLE_CORE, ROLE_KEYRING, 1)      /* {id, attempt, secrets: {NAME: {blob, age: base64}}}; fd: write end; gets `secret` frames, secrets_end, EOF */ \
	MSG(DECRYPTED, "decrypted", ROLE_KEYRING, ROLE_CORE, 0)  /* {id, attempt, count} */ \
	MSG(NOT_DECRYPTED, "not_decrypted", ROLE_KEYRING, ROLE_CORE, 0) /* {id, attempt, refuse, reason}: refuse true: the file is wrong; false: this dispatcher lacks something, wait */ \
	MSG(KEYRING_STATE, "keyring_state", ROLE_KEYRING, ROLE_CORE, 0) /* {ok, reason, recipients:[age1…]}: at start */ \
	/* engine */ \
	MSG(START, "start", ROLE_CORE, ROLE_ENGINE, 0)           /* {id, attempt, name, replace, claim, action, formula, image, agents, known_hosts, mounts:[{source,target}], network}: make the \
	                                                             container, bring its runner to ready. One of that name that is there already is removed first (replace), or makes it FAILED */ \
	MSG(SECRETS, "secrets", ROLE_CORE, ROLE_ENGINE, 1)       /* {id, attempt}; fd: read end of the pipe from keyring */ \
	MSG(GO, "go", ROLE_CORE, ROLE_ENGINE, 0)                 /* {id, attempt} */ \
	MSG(FOLLOW, "follow", ROLE_CORE, ROLE_ENGINE, 0)         /* {id, attempt, name}: may have passed GO in an earlier life: follow from the first byte, or say EXITED */ \
	MSG(HALT, "halt", ROLE_CORE, ROLE_ENGINE, 0)             /* {id, attempt, name, grace_seconds, kill}: TERM, then KILL after the grace; kill: at once. EXITED or FAILED follows */ \
	MSG(REMOVE, "remove", ROLE_CORE, ROLE_ENGINE, 0)         /* {id, attempt, name}: with its volumes; answered by REMOVED */ \
	MSG(ENGINE_STATE, "engine_state", ROLE_ENGINE, ROLE_CORE, 0) /* {ok, reason, version, containers:[{name, running}]}: at connect and loss, and every 30 s (own names only) */ \
	MSG(READY, "ready", ROLE_ENGINE, ROLE_CORE, 0)           /* {id, attempt, container, image}: the runner is ready; image as in the result */ \
	MSG(DELIVERED, "delivered", ROLE_ENGINE, ROLE_CORE, 0)   /* {id, attempt}: the runner was sent every secret frame; waits for GO */ \
	MSG(GOING, "going", ROLE_ENGINE, ROLE_CORE, 0)           /* {id, attempt}: the runner saw GO */ \
	MSG(OUTPUT, "output", ROLE_ENGINE, ROLE_CORE, 0)         /* {id, attempt, step, name, value}: of $DISINTO_OUTPUT, redacted */ \
	MSG(STEP, "step", ROLE_ENGINE, ROLE_CORE, 0)             /* {id, attempt, step, state, exit_code, duration_ms, cost_usd if its agent said one} */ \
	MSG(ARTIFACT, "artifact", ROLE_ENGINE, ROLE_CORE, 0)     /* {id, attempt, frame}: one of the runner's artifact frames (vault/frame.h), in their order */ \
	MSG(LOG, "log", ROLE_ENGINE, ROLE_CORE, 0)               /* {id, attempt, d}: text of the log in order, from its first byte after START and after FOLLOW */ \
	MSG(EXITED, "exited", ROLE_ENGINE, ROLE_CORE, 0)         /* {id, attempt, container, image, going, report: object|null, exit_code: int|null, oom, reason}: the container ended and its \
	                                                             log was read to the end, or it is not there (exit_code null) */ \
	MSG(FAILED, "failed", ROLE_ENGINE, ROLE_CORE, 0)         /* {id, attempt, refuse, reason}: before GO was sent; nothing ran; the container is removed. refuse: will never work; else wait */ \
	MSG(REMOVED, "removed", ROLE_ENGINE, ROLE_CORE, 0)       /* {id, attempt} */ \
	/* web */ \
	MSG(STATUS, "status", ROLE_CORE, ROLE_WEB, 0)            /* what /status and /healthz show (show.c: status), at each change */ \
	MSG(RUN, "run", ROLE_CORE, ROLE_WEB, 0)                  /* {id, state, …} one row of /actions, at each change; {id, forgotten: true}: it left the spool */ \
	MSG(WAITING, "waiting", ROLE_CORE, ROLE_WEB, 0)          /* {total, pending}: as in PENDING */ \
	MSG(ANSWER, "answer", ROLE_CORE, ROLE_WEB, 0)            /* {ask, code, body}: to ASK */ \
	MSG(LOG_FILE, "log_file", ROLE_CORE, ROLE_WEB, 1)        /* {ask}: to ASK {op: "logs" or "artifact"}; fd: the file, read-only */ \
	MSG(TOKENS, "tokens", ROLE_CORE, ROLE_WEB, 0)            /* {tokens: [{name, scope, sha256, created}]}: which open the API, at each change */ \
	MSG(ASK, "ask", ROLE_WEB, ROLE_CORE, 0)                  /* {ask: number, op: "run"|"cancel"|"logs"|"artifacts"|"show"|"lost"|"rerun", id}, {ask, op: "artifact", id, name}, {ask, op: \
	                                                             "drain"|"drained"|"backlog"|"history"|"poll", id: null}, {ask, op: "token_add"|"token_revoke", id: the token's name, scope, \
	                                                             sha256}, or {ask, op: "dispatch", id, task_id, repo, action, asks_secrets}: vault/approval/dispatch.h. drain is answered at once; drained drains too, and is answered at the end */
/* clang-format on */

enum msg_kind {
#define MSG(constant, kind, from, to, fds) MSG_##constant,
	MESSAGES(MSG)
#undef MSG
	    N_MSG_KINDS
};

/*
 * Which message of the table this is, when it may come from `from` to `to` and carries the descriptors it should. -1 otherwise, with
 * ERR_INVALID: the connection must be ended.
 */
int msg_check(const struct msg *m, enum role from, enum role to, enum msg_kind *ret, struct err *err);
/* A body with its kind set; the rest is added by the caller (json_pack format and values as in jansson). Caller owns. */
json_t *msg_new(enum msg_kind kind, const char *pack_format, ...);

/* What the parent opened before it forked; each role closes what is not its own. */
struct role_args {
	const struct config *config;
	int sock;            /* to core (core: to the parent) */
	int identity_fd;     /* keyring; -1 without one */
	int signing_fd;      /* git: signing_key_file, open; looked at only if the configuration names one */
	int spool_fd;        /* core: the folder */
	int lock_fd;         /* parent and core: as long as it is open no other dispatcher gets the spool */
	int runner_fd;       /* engine: the disinto-runner program */
	int listen_fd;       /* web: TCP; -1 when off */
	int hook_fd;         /* web: webhook_secret_file, open; -1 without one */
	int api_fd;          /* web: <spool>/api.sock */
	char *registry_auth; /* engine: its own copy of registry_auth_file; NULL: it reads that itself */
	char *known_hosts;   /* core: text of known_hosts_file, for runs; NULL without one */
	const char *only;    /* core, git: run just this action and quit (disinto run without a daemon); or NULL */
	const char *dispatcher_id;
};

/* Entry points. Each returns the process's exit code when its socket closes: a role without core has nothing to do. */
int core_role(const struct role_args *args);
int git_role(const struct role_args *args);
int keyring_role(const struct role_args *args);
int engine_role(const struct role_args *args);
int web_role(const struct role_args *args);

/* What every role does first: name, no-new-privileges, not dumpable, limits, uid, and closing what is not its own. */
int role_confine(enum role r, const struct role_args *args, struct err *err);

#endif
