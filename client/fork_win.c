/*
 * fork_win.c - see fork.h. Windows has no fork.
 */
#include "client/fork.h"

void client_fork_watch(void) {
}

uint64_t client_fork_generation(void) {
    return 1;
}
