/*
 * Between the engine role and a real Docker Engine: passes everything on, but for the requests that a test wants to go wrong.
 */
#ifndef TESTS_ENGINE_PROXY_H
#define TESTS_ENGINE_PROXY_H

enum fault {
	FAULT_NONE,
	FAULT_ERROR,      /* answered with status 500; the engine hears nothing of it */
	FAULT_DROP,       /* the connection ends; the engine hears nothing of it */
	FAULT_DROP_AFTER, /* the engine did it, and the connection ends before its answer */
	FAULT_HALF,       /* the engine did it, and the connection ends in its answer's middle */
	FAULT_HANG,       /* nothing happens until the other side gives up; the engine hears nothing of it */
	N_FAULTS,
};

/* The proxy's own socket, below a folder of its own. Ends with the process that started it. */
extern char proxy_path[64];
void proxy_start(const char *engine_socket);
void proxy_stop(void);

/* The next `times` requests whose line holds `part` ("POST /v1.41/containers/") and `also` fail like this; replaces what was set before. */
void proxy_fault(enum fault kind, const char *part, const char *also, int times);
/* How many have. */
int proxy_failed(void);

/* From now on the engine is asked for `to` wherever the role asks for `from`: as long as that, and both short. "": for nothing else. */
void proxy_change(const char *from, const char *to);

#endif
