/*
 * Named points at which the tests let a process die (tests/torture). In every other build they are nothing at all: their arguments are
 * not even evaluated.
 *
 * A point stands before and after everything that leaves a trace outside of the process: a write of the spool, a message, a push, a call of the
 * engine. Its name (a printf format) says what is about to happen, or has just happened; the role's name comes before it by itself.
 */
#ifndef LIB_CRASH_H
#define LIB_CRASH_H

#ifdef DISINTO_CRASH
/* Dies here, alone or with the whole dispatcher, if the environment says so: see tests/torture/crash.c. */
__attribute__((format(printf, 1, 2))) void crash_point(const char *name, ...);
#define CRASH_POINT(...) crash_point(__VA_ARGS__)
#else
#define CRASH_POINT(...) ((void)0)
#endif

#endif
