/*
 * wire.h - the system's pipes as they are, for the proxy: no library, no engine between.
 * wire_posix.c: sockets of a path. wire_win.c: named pipes.
 *
 * Every wait ends when `stop` is set, which stays set. One thread reads a wire and one writes it.
 */
#ifndef SLUICE_TESTS_CHAOS_WIRE_H
#define SLUICE_TESTS_CHAOS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wire_stop {
    uint64_t os_event;
} wire_stop;

void wire_stop_init(wire_stop *stop);
void wire_stop_deinit(wire_stop *stop);
void wire_stop_set(wire_stop *stop);
/* Waits for a while; true = it was set. */
bool wire_stop_wait(wire_stop *stop, uint64_t time_ns);

typedef struct wire {
    uint64_t os_handle;
    uint64_t os_events[2]; /* Windows: of reads, of writes */
} wire;

typedef struct wire_listener {
    uint64_t os_handle; /* Windows: the instance that waits for a client */
    uint64_t os_event;
    char name[256];
} wire_listener;

void wire_listen(wire_listener *listener, const char *name);
void wire_unlisten(wire_listener *listener);
/* false: stop is set. */
bool wire_accept(wire_listener *listener, wire_stop *stop, wire *ret_wire);
/* false: nobody listens there now. */
bool wire_connect(const char *name, wire *ret_wire);
/* How many bytes; 0 = the end, an error, or stop. */
size_t wire_read(wire *w, wire_stop *stop, uint8_t *bytes, size_t size);
/* All of them; false = not so. */
bool wire_write(wire *w, wire_stop *stop, const uint8_t *bytes, size_t length);
/* The other side reads the end of file and may go on writing. false: there is no such thing. */
bool wire_half_close(wire *w);
void wire_close(wire *w);

#endif
