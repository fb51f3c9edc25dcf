/*
 * race.h - random submits, cancels, completions and closes over many streams, and a model that
 * knows what may come out of each.
 *
 * A conn is a stream with two ends and one lane per direction. The lane is the model: it knows
 * every write (race_model.c) and accepts exactly the byte streams that the writes' outcomes
 * allow. An actor drives the ends that belong to its worker (race_actor.c); with one actor both
 * ends are its own, with two they are on different threads. What two threads share: lanes (a
 * mutex each), conn->open_ends and the race's counters.
 */
#ifndef SLUICE_TESTS_ENGINE_RACE_H
#define SLUICE_TESTS_ENGINE_RACE_H

#include "base/list.h"
#include "tests/engine/rig.h"

#define RACE_CONNS     12
#define RACE_DEPTH     3 /* requests pending per end and direction */
#define RACE_READ_MAX  16384u
#define RACE_WRITE_MAX (160u << 10) /* more than a pipe holds by default */
#define RACE_GUARD     32           /* poisoned bytes behind each buffer */
#define RACE_READS     160          /* request records per actor; a free one is quarantined */
#define RACE_WRITES    96
#define LANE_WRITES    256 /* writes whose bytes were not all received */
#define LANE_STATES    64
#define LANE_ROOM      (2u << 20) /* received and not yet judged: less than what can be under way */

/* ---- the model of one direction: race_model.c ------------------------------------------------ */

typedef struct lane_write {
    uint32_t length;
    uint32_t done;
    uint32_t in_doubt;
    bool is_final;
} lane_write;

/* "The next byte is byte `at` of write `number`." Several are possible after a write in doubt. */
typedef struct lane_state {
    uint64_t number;
    uint32_t at;
} lane_state;

typedef struct lane {
    sl_mutex mutex;
    uint32_t salt; /* a new pattern for every life of the conn */
    uint64_t next; /* number of the next write */
    lane_write writes[LANE_WRITES];
    lane_state states[LANE_STATES];
    unsigned state_count;
    uint8_t *unjudged;
    size_t unjudged_length;
    uint64_t received;
    uint64_t possible; /* bytes that may be out: done and in doubt */
    uint64_t doubtful; /* writes with bytes in doubt */
    bool eof;          /* the reader saw the end of the file */
    int write_error;
} lane;

void lane_init(lane *l);
void lane_deinit(lane *l);
void lane_reset(lane *l, uint32_t salt);
bool lane_has_room(lane *l);
/* Registers a write before it is submitted, and fills in its bytes; returns its number. */
uint64_t lane_begin_write(lane *l, uint8_t *bytes, uint32_t length);
/* It was refused: it never was. Only for the newest. */
void lane_forget_write(lane *l, uint64_t number);
void lane_end_write(lane *l, uint64_t number, uint32_t done, uint32_t in_doubt);
void lane_receive(lane *l, const uint8_t *bytes, size_t length);
/* write_error: how the last failed write of the same end ended, for the report of a loss. */
void lane_receive_eof(lane *l, int write_error);
/* Bytes may be out that were never received: a close then resets a TCP connection. */
bool lane_is_unread(lane *l);
/* Both ends are closed: is what was received whole, as far as that was promised? With
 * `may_be_cut` it need not be (Wine, race_actor.c). Returns false when it was cut. */
bool lane_finish(lane *l, bool may_be_cut);

/* ---- actors: race_actor.c -------------------------------------------------------------------- */

typedef struct race_request {
    sl_list link; /* in pool->free or end->reads/writes */
    struct race_end *end;
    engine_request_id id;
    engine_kind kind;
    bool pending;
    bool cancel_asked;
    uint8_t *buffer;
    uint32_t length;
    uint64_t write_number;
} race_request;

typedef struct race_end {
    struct race_conn *conn;
    engine_handle *handle; /* NULL = not open */
    lane *out;
    lane *in;
    sl_list reads; /* pending, oldest first */
    sl_list writes;
    unsigned read_count;
    unsigned write_count;
    bool closing;
    bool half_closing;
    bool ended_in;
    bool ended_out;
    int write_error; /* the last write's that was not OK or ECANCELED */
} race_end;

typedef struct race_conn {
    race_end ends[2];
    lane lanes[2]; /* lanes[0]: from ends[1] to ends[0] */
    sl_atomic_u32 open_ends;
    sl_atomic_u32 is_dirty; /* was open: its lanes are to be judged */
} race_conn;

typedef struct race_tally {
    uint64_t submitted;
    uint64_t completed;
    uint64_t races;          /* requests that met a cancel or a close */
    uint64_t outcomes[2][3]; /* of those: [read, write][success, aborted, another error] */
    uint64_t stale_cancels;
    uint64_t closes;
    uint64_t opens;
    uint64_t bytes;
    uint64_t doubtful;
    uint64_t cut; /* lanes that Wine cut without a word */
} race_tally;

typedef struct race {
    stream_kind kind;
    uint64_t wanted;
    sl_atomic_u64 races;
    race_conn conns[RACE_CONNS];
    _Atomic(race_conn *) opening; /* two actors: the client connects, the server has not accepted */
} race;

typedef struct race_actor {
    race *race;
    rig *r;
    sl_random_seeded random;
    unsigned first_end; /* drives ends first_end .. last_end of every conn */
    unsigned last_end;
    sl_list free_reads;
    sl_list free_writes;
    race_request *reads;
    race_request *writes;
    uint8_t *memory;
    engine_request_id stale;
    engine_handle *listener; /* the server of two actors: an accept is always pending */
    engine_request_id accept;
    race_tally tally;
} race_actor;

race *race_create(stream_kind kind, uint64_t wanted);
void race_destroy(race *old_race);
void race_actor_init(race_actor *actor, race *shared, rig *r, unsigned first_end, unsigned last_end,
                     uint64_t seed);
void race_actor_deinit(race_actor *actor);

/* An end of a conn is open. */
void race_end_open(race_actor *actor, race_end *end, engine_handle *handle);
/* Polls once, for at most 1 ms if `wait`, and handles what came. */
void race_actor_poll(race_actor *actor, bool wait);
/* Some random actions on the actor's ends; false when there was nothing to act on. */
bool race_actor_act(race_actor *actor);
/* Brings the actor's ends to their close: ends[1] closes, ends[0] reads to the end first. */
void race_actor_drain(race_actor *actor);
bool race_actor_has_open_ends(const race_actor *actor);
/* A conn with both ends closed: judged, and ready for a new life. */
void race_conn_recycle(race_actor *actor, race_conn *conn);

#endif
