/*
 * place_win.c - see place.h. A name below \\.\pipe\; who may connect is the pipe's DACL, set by the
 * broker.
 */
#include "client/place.h"

#include <stdio.h>

int client_place_make(client_place *ret_place, const uint64_t random[2], uint64_t deadline_ns,
                      char *ret_detail, size_t detail_size, uint32_t *ret_os_error) {
    (void)deadline_ns; /* a name is no place that could be silent */
    (void)ret_detail;  /* there is always one */
    (void)detail_size;
    *ret_os_error = 0;
    ret_place->folder = -1;
    (void)snprintf(ret_place->endpoint, sizeof(ret_place->endpoint),
                   "\\\\.\\pipe\\sluice-private-%016llx%016llx", (unsigned long long)random[0],
                   (unsigned long long)random[1]);
    return SLUICE_OK;
}

void client_place_clear(client_place *place) {
    place->endpoint[0] = '\0';
}

void client_place_leave(client_place *place) {
    place->endpoint[0] = '\0';
}
