/*
 * waitable.h - something that an application's event loop can wait on: an eventfd, or a
 * manual-reset event. waitable_posix.c, waitable_win.c. Set and unset from any thread.
 */
#ifndef SLUICE_CLIENT_WAITABLE_H
#define SLUICE_CLIENT_WAITABLE_H

#include <stdint.h>

/* SLUICE_OK, EOSLIMIT. Starts unset. */
int client_waitable_open(uint64_t *ret_waitable);
void client_waitable_close(uint64_t waitable);
void client_waitable_set(uint64_t waitable);
void client_waitable_unset(uint64_t waitable);

#endif
