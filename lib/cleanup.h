/*
 * Cleanup attributes: a resource is released where its variable goes out of scope. Ownership leaves a
 * function only through steal_ptr() or steal_fd().
 */
#ifndef LIB_CLEANUP_H
#define LIB_CLEANUP_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_fd_(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_file_(FILE *const *f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_json_(json_t *const *j)
{
	json_decref(*j);
}

#define cleanup_free __attribute__((cleanup(cleanup_free_)))
#define cleanup_fd __attribute__((cleanup(cleanup_fd_))) /* initialise to -1 */
#define cleanup_file __attribute__((cleanup(cleanup_file_)))
#define cleanup_json __attribute__((cleanup(cleanup_json_)))

static inline void *steal_ptr_(void *p)
{
	void **pp = p;
	void *v = *pp;
	*pp = NULL;
	return v;
}

/* Takes the pointer out of a variable that cleans up. */
#define steal_ptr(p) ((__typeof__(*(p)))steal_ptr_(p))

static inline int steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

#endif
