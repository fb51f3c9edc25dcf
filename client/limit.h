/*
 * limit.h - which limit of this process it was for which the system refused a descriptor, a thread
 * or a process, in words. limit_posix.c, limit_win.c.
 */
#ifndef SLUICE_CLIENT_LIMIT_H
#define SLUICE_CLIENT_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* os_error is what the system said, 0 if that is not known any more. false: nothing is known, and
 * ret_detail stays. Any thread; takes no lock and waits for nothing. */
bool client_limit_explain(uint32_t os_error, char *ret_detail, size_t size);

#endif
