/*
 * load.h - what a client of the chaos test does: calls whose outcomes are checked, on threads of
 * their own (lanes), while this process is halted and killed, its broker too, and its connection
 * cut. load.c runs the lanes and talks to the driver; lane_*.c are the lanes.
 *
 * Every call is watched (watch.c): when it went in, by when it must be back, and what it may end
 * with. What must not be is said in a line that begins with "WRONG", which the driver counts.
 */
#ifndef SLUICE_TESTS_CHAOS_LOAD_H
#define SLUICE_TESTS_CHAOS_LOAD_H

#include "base/random.h"
#include "client/cli/out.h"
#include "client/include/sluice/sluice.h"
#include "tests/integration/place.h"

#define LOAD_STATUSES    PLACE_STATUSES
#define LOAD_LANES       6u
#define LOAD_NAME_BYTES  320u
#define LOAD_STREAM_MAX  (256u * 1024) /* one write's bytes at most */
/* For what takes no time where nothing disturbs. */
#define LOAD_OPEN_NS     (3 * SL_NS_PER_S)
/* A call without a deadline ends when its stream does, its broker goes or falls silent. */
#define LOAD_HANG_NS     (20 * SL_NS_PER_S)

typedef struct load load;

/* One call at a time, or an asynchronous one. Under the load's lock. */
typedef struct load_watch {
    const char *what;
    uint64_t since_ns; /* 0 = in no call */
    uint64_t timeout_ns;
    uint64_t halted_ns; /* of the load, and wait_ns, when the call began */
    bool is_told;
} load_watch;

typedef struct load_lane {
    load *load;
    const char *name;
    void (*run)(struct load_lane *lane);
    sl_thread thread;
    sl_random_seeded random;
    load_watch watch;
    void *state; /* the lane's own */
} load_lane;

struct load {
    const char *endpoint;
    const char *peer_base; /* client N listens at "pipe:BASE-N" */
    uint32_t number;       /* ours */
    uint32_t clients;
    uint64_t seed;
    sluice_session *session;
    sl_atomic_bool is_stopping; /* the lanes end as soon as they can */
    load_lane lanes[LOAD_LANES];
    /* What has come of it. */
    sl_atomic_u64 ok;         /* calls that did what they were asked */
    sl_atomic_u64 ended;      /* all calls */
    sl_atomic_u64 bytes;      /* read and checked */
    sl_atomic_u64 lost;       /* calls that the loss of the broker ended */
    sl_atomic_u64 streams;    /* read to their end and compared */
    sl_atomic_u64 latest_ns;  /* behind its deadline, halts taken off */
    sl_atomic_u64 wrong;
    /* How long this process did not run: halted, or without a processor. */
    sl_mutex lock; /* this and the watches */
    uint64_t tick_ns;
    uint64_t halted_ns;
    uint64_t wait_ns; /* meter.h */
};

/* ---- watch.c ---- */

/* Many times a second, from one thread: sees that time has passed without us. */
void load_tick(load *l);

/* Says what must not be. */
void load_wrong(load *l, const char *format, ...) OUT_LIKE_PRINTF(2, 3);

void load_begin(load *l, load_watch *watch, const char *what, uint64_t timeout_ns);
/* The same status, after a look at the time it took and at whether it may be at all. */
int32_t load_end(load *l, load_watch *watch, int32_t status);
/* Is it inside its call for longer than any may be? Said once. */
void load_look(load *l, load_watch *watch);

/* The broker is gone, or was: the handles are stale. */
bool load_is_loss(int32_t status);

/* ---- what lanes share ---- */

/* Where a byte has its place: at `position` of the stream `key`. */
uint8_t load_byte(uint32_t key, uint64_t position);
void load_fill(uint32_t key, uint64_t position, uint8_t *bytes, size_t length);
/* false, and said: another byte is there. */
bool load_check(load_lane *lane, uint32_t key, uint64_t position, const uint8_t *bytes,
                uint64_t length);

uint32_t load_below(load_lane *lane, uint32_t bound);
/* Any of: hardly any, some, much; 1 to max. */
uint32_t load_some_bytes(load_lane *lane, uint32_t max);
uint64_t load_some_timeout(load_lane *lane);
bool load_goes_on(const load_lane *lane);
/* Behind a call that found no broker. */
void load_rest(load_lane *lane);
void load_add(sl_atomic_u64 *counter, uint64_t value);

int32_t load_close(load_lane *lane, sluice_handle handle);
/* A pair, or both ends of a TCP connection: [0] reads what [1] writes. `*listener` is the lane's,
 * 0 = none yet. */
int32_t load_open_ends(load_lane *lane, sluice_handle *listener, sluice_handle ret_ends[2]);

/* ---- the lanes ---- */

typedef struct load_stream load_stream;
load_stream *load_stream_create(void);
void load_stream_destroy(load_stream *stream);
void load_run_writer(load_lane *lane); /* lane_stream.c; state: a stream that both share */
void load_run_reader(load_lane *lane);
void load_run_racer(load_lane *lane);  /* lane_race.c */
void load_run_server(load_lane *lane); /* lane_peer.c */
void load_run_visitor(load_lane *lane);
void load_run_pinger(load_lane *lane);

/* The role: its exit code. Words: ENDPOINT BASE NUMBER CLIENTS SEED */
int load_run_role(int count, char **words);

#endif
