/*
 * main.c - the development's table: the engine beside a hand-written loop, and all rows of
 * `sluice bench`, with what each should be at most. How they are measured:
 * client/cli/bench/bench.h; what the aims mean: docs/bench.md.
 */
#include <string.h>

#include "base/check.h"
#include "client/cli/os.h"
#include "client/cli/out.h"
#include "loops.h"

#define LOOP(name_, what_, work_, model_, flight_) \
    .name = (name_), .what = (what_), .subject = &loops_##model_, .model = &loops_raw, \
    .work = (work_), .mode = BENCH_POLL, .flight = (flight_), .bytes = LOOPS_BLOCK_BYTES, \
    .one_only = true

static const bench_case cases[] = {
    {LOOP("engine-control", "no engine: the hand-written loop beside itself", BENCH_LOOP_ECHO, raw,
          1)},
    {LOOP("engine-pingpong", "64 bytes there and back on one connection, both ends in one loop",
          BENCH_LOOP_ECHO, engine, 1)},
    {LOOP("engine-flight-64", "... on 64 connections, one message in flight on each",
          BENCH_LOOP_ECHO, engine, BENCH_FLIGHT)},
    {LOOP("engine-bulk-64k", "64 KiB blocks one way on one connection", BENCH_LOOP_BULK, engine,
          1)},
    {LOOP("engine-cancel", "cancels one pending read and submits it again; 1 other pending",
          BENCH_LOOP_CANCEL, engine, 2)},
    {LOOP("engine-cancel-1000", "... with 1,000 others pending", BENCH_LOOP_CANCEL, engine, 1001)},
    {LOOP("engine-cancel-9000", "... with 9,000", BENCH_LOOP_CANCEL, engine, 9001)},
};

/* On one processor, which is the stricter topology; docs/bench.md says where they come from. */
static const struct {
    const char *name;
    bench_mode mode;
    double most;
} aims[] = {
    {"engine-pingpong", BENCH_POLL, 1.05},
    {"engine-flight-64", BENCH_POLL, 1.10},
    {"engine-cancel", BENCH_POLL, 1.10},
    {"engine-cancel-1000", BENCH_POLL, 1.10},
    {"engine-cancel-9000", BENCH_POLL, 1.10},
    {"null", BENCH_INLINE, 1.15},
    {"write", BENCH_INLINE, 1.25},
    {"read", BENCH_INLINE, 1.25},
    {"echo", BENCH_INLINE, 1.20},
    {"in-flight-64", BENCH_INLINE, 2.0},
    {"cancel", BENCH_INLINE, 1.2},
};

static double aim(const bench_case *what, bench_topology topology) {
    for (size_t i = 0; topology == BENCH_ONE && i < SL_ARRAY_COUNT(aims); i++) {
        if (aims[i].mode == what->mode && strcmp(aims[i].name, what->name) == 0) {
            return aims[i].most;
        }
    }
    return 0;
}

int main(int count, char **argv) {
    static const bench_program program = {
        .name = "yardsticks",
        .about =
            "The engine beside a hand-written loop, and the broker beside bare models of the same\n"
            "work, in one run; with aims. docs/bench.md says what each row means, docs/lab what\n"
            "was measured where.\n"
            "\n"
            "Examples:\n"
            "  yardsticks                              everything on one processor\n"
            "  yardsticks --case engine                the engine's rows alone\n"
            "  yardsticks --topology two-processors    with one for the broker\n"
            "  yardsticks --case engine-flight --only subject --rounds 1 --units 100000\n"
            "                                          under perf or callgrind\n",
        .more = cases,
        .more_count = SL_ARRAY_COUNT(cases),
        .aim = aim,
        .enter = loops_enter,
        .calls = loops_calls};
    int first = count > 1 && strcmp(argv[1], "bench") == 0 ? 2 : 1; /* as a far process is called */
    os_prepare();
    loops_prepare();
    int code = bench_main(&program, count - first, argv + first);
    return !out_end() && code == CLI_EXIT_OK ? CLI_EXIT_FOUND : code;
}
