/*
 * proxy.h - a faulty proxy on the pipe between a client and its broker: it cuts the bytes into
 * pieces anywhere, delays them, lets a direction stand still, closes one half, ends in the middle
 * of a frame, and breaks off. It never alters a byte.
 *
 * Threads: an acceptor, and two a connection, one for each direction. A connection has one *fate*,
 * drawn when it is made, which comes at a time of its own. While the proxy is not faulty it passes
 * everything on at once, and fates wait.
 */
#ifndef SLUICE_TESTS_CHAOS_PROXY_H
#define SLUICE_TESTS_CHAOS_PROXY_H

#include "base/random.h"
#include "base/thread.h"
#include "tests/chaos/wire.h"

#define PROXY_CONNECTIONS_MAX 64u

/* X(name, word): what it has done */
#define PROXY_FAULT_TABLE(X) \
    X(SPLIT, "pieces") \
    X(DELAY, "delays") \
    X(STALL, "standstills") \
    X(HALF_CLOSE, "half-closes") \
    X(TRUNCATE, "truncations") \
    X(DROP, "break-offs")

typedef enum proxy_fault {
#define X(name, word) PROXY_##name,
    PROXY_FAULT_TABLE(X)
#undef X
    PROXY_FAULTS
} proxy_fault;

const char *proxy_fault_word(proxy_fault fault);

typedef struct proxy_pump {
    struct proxy_connection *connection;
    wire *from;
    wire *to;
    sl_thread thread;
    sl_random_seeded random;
} proxy_pump;

typedef struct proxy_connection {
    struct proxy *proxy;
    bool is_used;           /* the acceptor's */
    sl_atomic_u32 running;  /* pumps */
    wire client, broker;
    wire_stop stop;
    proxy_pump pumps[2];
    proxy_fault fate;
    uint32_t fate_pump;     /* which direction it strikes */
    uint64_t fate_ns;       /* not before */
} proxy_connection;

typedef struct proxy {
    char broker[256]; /* endpoints */
    wire_listener listener;
    wire_stop stop;
    sl_thread acceptor;
    sl_random_seeded random;
    sl_atomic_bool is_faulty;
    sl_atomic_u64 connections;
    sl_atomic_u64 bytes;
    sl_atomic_u64 faults[PROXY_FAULTS];
    proxy_connection all[PROXY_CONNECTIONS_MAX];
} proxy;

void proxy_start(proxy *p, const char *endpoint, const char *broker, uint64_t seed);
void proxy_set_faulty(proxy *p, bool is_faulty);
/* Breaks off all connections. */
void proxy_stop(proxy *p);

#endif
