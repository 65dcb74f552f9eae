/* Folders of a test's own, which go with it, however it ends. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

/*
 * As mkdtemp(3). Tests remove their folders by themselves; what is left when the process is gone, killed or failed in its setup, a second process removes,
 * which waits for that from the first call on. NULL: errno says why.
 */
char *scratch_dir(char *template);

#endif
