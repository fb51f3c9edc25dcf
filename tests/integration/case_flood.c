/*
 * case_flood.c - a client that uses all its credits, all the time: 1,024 operations and 16 MiB, in
 * 512 pairs with a write and a read of 16 KiB each, started again as soon as they end. Another
 * client's null RPC on the same worker does not become slow: its p99 stays within twice that on a
 * worker without this load, while the flooder and the peers that it has are at work, too.
 *
 * For the flooder keeps the processors busy, which are two or three here, and a bystander's threads
 * and its broker's wait for them whatever the broker does; what the flooded worker adds is the
 * broker's doing. Each round has a window alone on the machine, too; the ratio to that is printed
 * and not judged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "tests/integration/flood.h"
#include "tests/integration/pings.h"
#include "tests/integration/versus.h"

#define PAIRS       512u
#define PAIRS_WINE  64u /* each open and close there is a round trip to its one server process */
#define BYTES       (16u * 1024) /* of a read or write: 16 MiB in all */
#define RATIO_MAX   2.0
#define LINE_BYTES  16

/* ---- the client ---- */

typedef struct flood flood;

typedef struct flood_end {
    flood *flood;
    sluice_handle handle;
    bool is_writer;
    uint8_t bytes[BYTES];
} flood_end;

struct flood {
    sluice_session *session;
    uint32_t pairs;
    sl_atomic_bool is_flooding;
    sl_atomic_u32 writing; /* writes under way; reads always are */
    sl_atomic_u64 count;
    sl_event still;
    flood_end ends[PAIRS][2];
};

static void start(flood_end *end);

static void on_done(void *user, sluice_operation *operation, const sluice_result *result) {
    flood_end *end = user;
    flood *f = end->flood;
    (void)operation;
    EXPECT(result->status == SLUICE_OK || result->status == SLUICE_ECANCELED);
    (void)atomic_fetch_add(&f->count, 1);
    if (result->status == SLUICE_ECANCELED) {
        return; /* the session is being closed, with the reads that wait */
    }
    if (!end->is_writer || atomic_load(&f->is_flooding)) {
        start(end);
    } else if (atomic_fetch_sub(&f->writing, 1) == 1) {
        sl_event_set(&f->still);
    }
}

static void start(flood_end *end) {
    sluice_session *session = end->flood->session;
    int32_t status =
        end->is_writer
            ? sluice_write_start(session, end->handle, end->bytes, BYTES, SLUICE_NO_TIMEOUT,
                                 on_done, end, NULL)
            : sluice_read_start(session, end->handle, end->bytes, BYTES, 0, SLUICE_NO_TIMEOUT,
                                on_done, end, NULL);
    /* ECLOSED: the session is being closed, and this read ended before its turn came. */
    EXPECT(status == SLUICE_OK || (status == SLUICE_ECLOSED && !end->is_writer));
}

static void open_pairs(flood *f) {
    for (uint32_t i = 0; i < f->pairs; i++) {
        sluice_result pair = {.size = sizeof(pair)};
        EXPECT(sluice_pair(f->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
        for (uint32_t k = 0; k < 2; k++) {
            f->ends[i][k].flood = f;
            f->ends[i][k].handle = pair.handles[k];
            f->ends[i][k].is_writer = k == 1;
        }
        start(&f->ends[i][0]);
    }
}

static void go(flood *f) {
    atomic_store(&f->count, 0);
    atomic_store(&f->is_flooding, true);
    atomic_store(&f->writing, f->pairs);
    for (uint32_t i = 0; i < f->pairs; i++) {
        start(&f->ends[i][1]);
    }
    while (atomic_load(&f->count) < (uint64_t)4 * f->pairs) { /* all are under way, in turns */
        sl_thread_yield();
    }
    printf("flooding\n");
}

static void halt(flood *f) {
    atomic_store(&f->is_flooding, false);
    EXPECT(sl_event_wait_until(&f->still, place_now_ns() + PROCESS_PATIENCE_NS));
    printf("still, %llu operations\n", (unsigned long long)atomic_load(&f->count));
}

int flood_run(const char *endpoint) {
    static flood f;
    char line[LINE_BYTES];
    sluice_session_info info = {.size = sizeof(info)};
    EXPECT(sl_event_init(&f.still) == 0);
    f.pairs = process_is_wine() ? PAIRS_WINE : PAIRS;
    f.session = place_open(endpoint, "flood");
    open_pairs(&f);
    EXPECT(sluice_session_get_info(f.session, &info) == SLUICE_OK);
    printf("ready, session %llu\n", (unsigned long long)info.session_id);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (line[0] == 'g') {
            go(&f);
        } else {
            halt(&f);
        }
    }
    EXPECT(sluice_session_close(f.session) == SLUICE_OK);
    sl_event_deinit(&f.still);
    return 0;
}

/* ---- the test ---- */

typedef struct scene {
    process flooder;
    uint32_t samples;
    pings_pair bystanders;
    versus judged; /* on the flooded worker, by on the other one */
    double alone_ratios[VERSUS_ROUNDS];
} scene;

static void measure_round(scene *s, uint32_t round) {
    pings_window alone = pings_measure(s->bystanders.beside, s->samples, NULL, NULL);
    process_tell(&s->flooder, "go\n");
    (void)process_until(&s->flooder, "flooding");
    pings_pair_windows w = pings_measure_pair(&s->bystanders, s->samples, NULL, NULL);
    process_tell(&s->flooder, "halt\n");
    const char *done = process_until(&s->flooder, "still, ");
    versus_add(&s->judged, w.beside.p99_ns, w.apart.p99_ns);
    s->alone_ratios[round] = w.beside.p99_ns / alone.p99_ns;
    printf("round %2u: p50 and p99 in us: alone %6.1f %7.1f; on the other worker %6.1f %7.1f; on "
           "the flooded one %6.1f %7.1f; %.*s of the flooder\n",
           round + 1, alone.p50_ns / 1e3, alone.p99_ns / 1e3, w.apart.p50_ns / 1e3,
           w.apart.p99_ns / 1e3, w.beside.p50_ns / 1e3, w.beside.p99_ns / 1e3,
           (int)strcspn(done, "\r\n"), done);
}

void case_flood(place *at) {
    static scene s;
    uint32_t rounds = versus_rounds();
    s.samples = versus_samples(at->is_long);
    s.judged.what = "p99 of a null RPC on the flooded worker, by that on the other one";
    s.judged.bound = RATIO_MAX;
    place_start_broker(at, 2, NULL);
    const char *words[] = {at->endpoint, NULL};
    place_start_role(&s.flooder, "flood", words);
    const char *number = process_until(&s.flooder, "ready, session ");
    pings_open(at, strtoull(number, NULL, 10), &s.bystanders);
    for (uint32_t i = 0; i < rounds; i++) {
        measure_round(&s, i);
    }
    printf("by that alone on the machine: %.2f times (not judged)\n",
           sl_stats_spread(s.alone_ratios, rounds).median);
    EXPECT(versus_judge(&s.judged, at->is_long));
    process_continue_input(&s.flooder);
    EXPECT(process_wait(&s.flooder, PROCESS_PATIENCE_NS) && s.flooder.exit_code == 0);
    process_deinit(&s.flooder);
    pings_close(&s.bystanders);
    place_stop_broker(at);
}
