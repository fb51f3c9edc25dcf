/*
 * flood_test.c - a stranger who is refused again and again does not fill the log: a few lines, and
 * exactly how many were left out. On the simulator.
 *
 *     flood_test [REFUSALS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/broker/rig.h"

#define BOB       2002u
#define MALLORY   2003u
#define WORKERS   2u
#define LOG_BYTES (1u << 20)
#define LINES     100u

static char log_text[LOG_BYTES];
static size_t log_length;

static bool on_line(void *context, const char *line, size_t length) {
    (void)context;
    EXPECT(log_length + length < LOG_BYTES);
    memcpy(log_text + log_length, line, length);
    log_length += length;
    return true;
}

int main(int argc, char **argv) {
    unsigned refusals = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200000;
    test_rig rig;
    sim_options sim;
    sl_log *sink = NULL;
    engine_identity allow;
    unsigned lines;
    sl_log_options log = {.allocator = sl_allocator_system(),
                          .clock = sl_clock_utc(),
                          .ring_records = 4096,
                          .level = SL_LOG_INFO,
                          .write = on_line};
    EXPECT(sl_log_create(&log, &sink) == SLUICE_OK);
    sim_options_gentle(&sim, 1);
    engine_identity_uid(&allow, BOB);
    rig_options options = {.sim = &sim,
                           .worker_count = WORKERS,
                           .log = sink,
                           .access = "0666",
                           .allow = &allow,
                           .allow_count = 1};
    rig_open(&rig, &options);
    sim_engine_become(rig.engine, MALLORY, MALLORY);
    for (unsigned i = 0; i < refusals; i++) {
        raw_client *c = client_connect(&rig);
        client_close(c);
    }
    sim_engine_become(rig.engine, BOB, BOB);
    raw_client *bob = client_open(&rig);
    client_close(bob);
    rig_await_empty(&rig);
    rig_close(&rig);
    EXPECT(sl_log_stop(sink));
    uint64_t told = rig_count_records(log_text, "client refused text=\"uid 2003\"", &lines);
    printf("%u refusals, %u lines, %u bytes\n", (unsigned)told, lines, (unsigned)log_length);
    EXPECT(lines < LINES && log_length < LINES * 200);
    EXPECT(told == refusals);
    EXPECT(sl_log_destroy(sink));
    puts("ok");
    return 0;
}
