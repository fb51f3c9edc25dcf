/*
 * runtime_posix.h - a folder that a test has for itself as its XDG_RUNTIME_DIR, and the places of
 * private brokers in it.
 */
#ifndef SLUICE_TESTS_CLIENT_RUNTIME_POSIX_H
#define SLUICE_TESTS_CLIENT_RUNTIME_POSIX_H

#define RUNTIME_PATH_BYTES 64

extern char runtime_path[RUNTIME_PATH_BYTES];

/* 0: it is made, and in the environment. */
int runtime_make(const char *test_name);
/* 0: there was nothing in it but the folder of private brokers, which was empty. */
int runtime_remove(void);

/* How many places there are in it. */
unsigned runtime_count(void);

#endif
