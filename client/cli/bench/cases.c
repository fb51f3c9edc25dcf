/*
 * cases.c - the rows of `sluice bench`, and the first part of the development's table.
 *
 * The first ones compare bare models with each other: they say what another design could reach, and
 * what the ratio of two alike is ("control").
 */
#include "base/check.h"
#include "client/cli/bench/bench.h"

#define KIB 1024u
#define MIB (1024u * KIB)

#define ROW(name_, what_, way, base, work_, mode_) \
    .name = (name_), .what = (what_), .subject = &(way), .model = &(base), .work = (work_), \
    .mode = (mode_)
#define MODEL(name, what, way, base) ROW(name, what, way, base, BENCH_ECHO, BENCH_SYNC)
#define SHARED(name, what, size) \
    { ROW(name, what, bench_shared, bench_copy, BENCH_BULK_OUT, BENCH_SYNC), .bytes = (size) }
#define CALL(name, what, work, mode, base) ROW(name, what, bench_broker, base, work, mode)
#define BULK(name, work, size, says_) \
    {CALL(name "-1", "blocks of that size, one at a time; model: a process that only copies", \
          work, BENCH_INLINE, bench_copy), \
     .bytes = (size), .flight = 1}, \
        {CALL(name "-8", "... eight in flight", work, BENCH_INLINE, bench_copy), .bytes = (size), \
         .flight = 8}, \
    { \
        CALL(name, "... by calls that wait", work, BENCH_SYNC, bench_copy), \
            .bytes = (size), .flight = 1, .says = (says_) \
    }

const bench_case bench_cases[] = {
    {MODEL("control", "a ping-pong beside another: what alike means", bench_ping_pong,
           bench_ping_pong)},
    {MODEL("relay", "no Sluice: 64 bytes through a bare relay process and back; model: without it",
           bench_relay, bench_ping_pong)},
    {MODEL("ring", "no Sluice: shared memory and a partner that spins", bench_ring,
           bench_ping_pong),
     .spins = true},
    SHARED("shared-4k", "no Sluice: blocks in shared memory, small messages on a socket", 4 * KIB),
    SHARED("shared-64k", "", 64 * KIB),
    SHARED("shared-1m", "", MIB),

    {CALL("null", "a call that does nothing; model: 64 bytes to a process and back", BENCH_PING,
          BENCH_INLINE, bench_ping_pong),
     .says = "An asynchronous call costs {ratio} bare round trips between two processes ({time}\n"
             "here), if its callback runs inline."},
    {CALL("null", "", BENCH_PING, BENCH_THREAD, bench_ping_pong)},
    {CALL("null", "", BENCH_PING, BENCH_POLL, bench_ping_pong)},
    {CALL("null", "", BENCH_PING, BENCH_SYNC, bench_ping_pong),
     .says = "A call that waits costs {ratio} bare round trips ({time}): the calling thread and\n"
             "the library's hand over to each other."},
    {CALL("write", "64 bytes into a pipe; model: as null", BENCH_WRITE, BENCH_INLINE,
          bench_ping_pong)},
    {CALL("write", "", BENCH_WRITE, BENCH_SYNC, bench_ping_pong)},
    {CALL("read", "64 bytes that are there; model: as null", BENCH_READ, BENCH_INLINE,
          bench_ping_pong)},
    {CALL("read", "", BENCH_READ, BENCH_SYNC, bench_ping_pong)},
    {CALL("echo", "a message to another process and its answer; model: a bare relay process",
          BENCH_ECHO, BENCH_INLINE, bench_relay),
     .says = "A message to another process and its answer take {ratio} times as long as through a\n"
             "process that does nothing but pass them on ({time})."},
    {CALL("echo", "", BENCH_ECHO, BENCH_SYNC, bench_relay)},
    {CALL("in-flight-64",
          "write and read of a pipe, 64 pipes at a time; model: the two system calls", BENCH_PAIRS,
          BENCH_INLINE, bench_calls),
     .flight = BENCH_FLIGHT,
     .says = "With 64 calls in flight a write and a read take {time} together, {ratio} times the\n"
             "two system calls alone."},
    {CALL("paced-1000", "a null call each millisecond: p50; model: a ping-pong each millisecond",
          BENCH_PACED, BENCH_SYNC, bench_ping_pong),
     .stretch = 8},
    {CALL("read-1000", "read with 1,000 other handles open; model: without them", BENCH_READ,
          BENCH_INLINE, bench_alone),
     .others = 1000},
    {CALL("read-9000", "... with 9,000", BENCH_READ, BENCH_INLINE, bench_alone), .others = 9000,
     .says = "With 9,000 other handles open a call takes {ratio} times as long as with none."},
    {CALL("cancel",
          "a read pending in the broker, from its cancel to its end; model: the null call",
          BENCH_CANCEL, BENCH_INLINE, bench_null),
     .says = "A cancel is confirmed after {ratio} calls' time ({time})."},
    {CALL("cancel-1000", "... with 1,000 other reads pending; model: with none", BENCH_CANCEL,
          BENCH_INLINE, bench_alone),
     .others = 1000, .others_pending = true},
    {CALL("cancel-9000", "... with 9,000", BENCH_CANCEL, BENCH_INLINE, bench_alone), .others = 9000,
     .others_pending = true, .says = "With 9,000 others pending it takes {ratio} times as long."},

    BULK("out-4k", BENCH_BULK_OUT, 4 * KIB, NULL),
    BULK("out-64k", BENCH_BULK_OUT, 64 * KIB,
         "Blocks of 64 KiB go out at {rate}; each takes {ratio} times as long as through a\n"
         "process that does nothing but copy."),
    BULK("out-1m", BENCH_BULK_OUT, MIB, NULL),
    BULK("in-4k", BENCH_BULK_IN, 4 * KIB, NULL),
    BULK("in-64k", BENCH_BULK_IN, 64 * KIB,
         "They come in at {rate}; each takes {ratio} times as long."),
    BULK("in-1m", BENCH_BULK_IN, MIB, NULL),

    {ROW("open", "a session with a broker that runs; model: a bare connection and one message",
         bench_sessions, bench_connect, BENCH_OPEN, BENCH_SYNC),
     .says = "Opening a session with a broker that runs takes {time}."},
    {ROW("open-private", "a session with a broker of its own; model: a process that ends at once",
         bench_sessions, bench_process, BENCH_OPEN_OWN, BENCH_SYNC),
     .stretch = 2,
     .says = "Opening one with a private broker takes {time}, {ratio} times what starting a\n"
             "process takes."},
};
const unsigned bench_case_count = SL_ARRAY_COUNT(bench_cases);
