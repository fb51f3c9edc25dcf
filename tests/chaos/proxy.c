/*
 * proxy.c - see proxy.h.
 *
 * A connection belongs to the acceptor, which makes it, and joins its pumps when both have ended. A
 * pump that comes to its end stops the other one; only a half-close lets that go on for a while.
 */
#include "tests/chaos/proxy.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "tests/integration/place.h"

#define PIECE_BYTES  65536u
#define FATE_MIN_MS  100u
#define FATE_MAX_MS  4000u
#define DELAY_IN     40u /* one read in so many is passed on later */
#define DELAY_MAX_MS 30u
#define STALL_MAX_MS 3500u /* longer than `unresponsive`, sometimes */
#define LINGER_NS    (500 * SL_NS_PER_MS)

const char *proxy_fault_word(proxy_fault fault) {
    static const char *const words[] = {
#define X(name, word) word,
        PROXY_FAULT_TABLE(X)
#undef X
    };
    return words[fault];
}

static void count(proxy *p, proxy_fault fault) {
    (void)atomic_fetch_add(&p->faults[fault], 1);
}

static uint32_t below(proxy_pump *pump, uint32_t bound) {
    return sl_random_seeded_below(&pump->random, bound);
}

/* In pieces of hardly any, some, or all bytes. */
static bool pass_on_split(proxy_pump *pump, const uint8_t *bytes, size_t length) {
    static const uint32_t ceilings[] = {3, 100, 5000, PIECE_BYTES, PIECE_BYTES, PIECE_BYTES};
    proxy_connection *c = pump->connection;
    uint32_t ceiling = ceilings[below(pump, SL_ARRAY_COUNT(ceilings))];
    uint32_t small_left = 50; /* few bytes at a time, for a while */
    while (length > 0) {
        size_t piece = 1 + below(pump, small_left > 0 ? ceiling : PIECE_BYTES);
        piece = piece < length ? piece : length;
        if (!wire_write(pump->to, &c->stop, bytes, piece)) {
            return false;
        }
        small_left -= small_left > 0;
        bytes += piece;
        length -= piece;
        if (length > 0) {
            count(c->proxy, PROXY_SPLIT);
        }
    }
    return true;
}

/* What comes to every connection in the end. false: it is over. */
static bool meet_fate(proxy_pump *pump, const uint8_t *bytes, size_t length) {
    proxy_connection *c = pump->connection;
    proxy_fault fate = c->fate;
    c->fate_ns = SL_CLOCK_NEVER;
    if (fate == PROXY_HALF_CLOSE && !wire_half_close(pump->to)) {
        fate = PROXY_STALL;
    }
    count(c->proxy, fate);
    switch (fate) {
    case PROXY_STALL:
        return !wire_stop_wait(&c->stop, (1 + below(pump, STALL_MAX_MS)) * SL_NS_PER_MS) &&
               wire_write(pump->to, &c->stop, bytes, length);
    case PROXY_HALF_CLOSE:
        (void)wire_stop_wait(&c->stop, LINGER_NS);
        return false;
    case PROXY_TRUNCATE:
        (void)wire_write(pump->to, &c->stop, bytes, below(pump, (uint32_t)length));
        return false;
    default:
        return false;
    }
}

static bool pass_on(proxy_pump *pump, const uint8_t *bytes, size_t length) {
    proxy_connection *c = pump->connection;
    (void)atomic_fetch_add(&c->proxy->bytes, length);
    if (!atomic_load(&c->proxy->is_faulty)) {
        return wire_write(pump->to, &c->stop, bytes, length);
    }
    if (pump == &c->pumps[c->fate_pump] && place_now_ns() >= c->fate_ns) {
        return meet_fate(pump, bytes, length);
    }
    if (below(pump, DELAY_IN) == 0) {
        count(c->proxy, PROXY_DELAY);
        if (wire_stop_wait(&c->stop, (1 + below(pump, DELAY_MAX_MS)) * SL_NS_PER_MS)) {
            return false;
        }
    }
    return pass_on_split(pump, bytes, length);
}

static void run_pump(void *context) {
    proxy_pump *pump = context;
    proxy_connection *c = pump->connection;
    uint8_t bytes[PIECE_BYTES];
    size_t length;
    do {
        length = wire_read(pump->from, &c->stop, bytes, sizeof(bytes));
    } while (length > 0 && pass_on(pump, bytes, length));
    wire_stop_set(&c->stop);
    /* The last one closes: who is at the other end sees it at once. */
    if (atomic_fetch_sub(&c->running, 1) == 1) {
        wire_close(&c->client);
        wire_close(&c->broker);
    }
}

/* ---- the acceptor ---- */

static void reap(proxy_connection *c) {
    sl_thread_join(&c->pumps[0].thread);
    sl_thread_join(&c->pumps[1].thread);
    wire_stop_deinit(&c->stop);
    c->is_used = false;
}

/* A place for a connection; ends those that are over. */
static proxy_connection *find_place(proxy *p) {
    proxy_connection *found = NULL;
    for (uint32_t i = 0; i < PROXY_CONNECTIONS_MAX; i++) {
        proxy_connection *c = &p->all[i];
        if (c->is_used && atomic_load(&c->running) == 0) {
            reap(c);
        }
        found = found == NULL && !c->is_used ? c : found;
    }
    EXPECT(found != NULL && "connections end");
    return found;
}

static void start(proxy *p, wire client, wire broker) {
    static const proxy_fault fates[] = {PROXY_STALL, PROXY_HALF_CLOSE, PROXY_TRUNCATE,
                                        PROXY_DROP};
    proxy_connection *c = find_place(p);
    c->proxy = p;
    c->is_used = true;
    c->client = client;
    c->broker = broker;
    c->fate = fates[sl_random_seeded_below(&p->random, SL_ARRAY_COUNT(fates))];
    c->fate_pump = sl_random_seeded_below(&p->random, 2);
    c->fate_ns = place_now_ns() +
                 (FATE_MIN_MS + sl_random_seeded_below(&p->random, FATE_MAX_MS)) * SL_NS_PER_MS;
    wire_stop_init(&c->stop);
    atomic_store(&c->running, 2);
    (void)atomic_fetch_add(&p->connections, 1);
    for (uint32_t i = 0; i < 2; i++) {
        proxy_pump *pump = &c->pumps[i];
        pump->connection = c;
        pump->from = i == 0 ? &c->client : &c->broker;
        pump->to = i == 0 ? &c->broker : &c->client;
        sl_random_seeded_init(&pump->random, sl_random_seeded_u64(&p->random));
        EXPECT(sl_thread_start(&pump->thread, "pump", run_pump, pump) == 0);
    }
}

static void run_acceptor(void *context) {
    proxy *p = context;
    wire client;
    wire broker;
    while (wire_accept(&p->listener, &p->stop, &client)) {
        if (wire_connect(p->broker, &broker)) {
            start(p, client, broker);
        } else {
            wire_close(&client); /* no broker: the client finds that out */
        }
    }
}

void proxy_start(proxy *p, const char *endpoint, const char *broker, uint64_t seed) {
    (void)snprintf(p->broker, sizeof(p->broker), "%s", broker);
    sl_random_seeded_init(&p->random, seed);
    wire_listen(&p->listener, endpoint);
    wire_stop_init(&p->stop);
    EXPECT(sl_thread_start(&p->acceptor, "acceptor", run_acceptor, p) == 0);
}

void proxy_set_faulty(proxy *p, bool is_faulty) {
    atomic_store(&p->is_faulty, is_faulty);
}

void proxy_stop(proxy *p) {
    wire_stop_set(&p->stop);
    sl_thread_join(&p->acceptor);
    for (uint32_t i = 0; i < PROXY_CONNECTIONS_MAX; i++) {
        if (p->all[i].is_used) {
            wire_stop_set(&p->all[i].stop);
            reap(&p->all[i]);
        }
    }
    wire_unlisten(&p->listener);
    wire_stop_deinit(&p->stop);
}
