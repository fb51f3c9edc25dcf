/*
 * place_main.c - the command line of a program with cases and roles, and the watchdog of a case.
 */
#include <stdio.h>
#include <string.h>

#include "tests/integration/place.h"

typedef struct watchdog {
    sl_event is_over;
    uint64_t deadline_ns;
} watchdog;

/* A wait that never ends is named, and leaves no process behind. */
static void run_watchdog(void *context) {
    watchdog *w = context;
    EXPECT(sl_event_wait_until(&w->is_over, w->deadline_ns) && "the case ends in time");
}

static int run_case(const place_case *it, const char *sluiced, bool is_long) {
    static place at;
    watchdog w;
    sl_thread thread;
    at.sluiced = sluiced;
    at.is_long = is_long;
    process_endpoint(at.endpoint, sizeof(at.endpoint), 0);
    uint64_t start_ns = place_now_ns();
    w.deadline_ns = sl_clock_after_ns(start_ns,
                                      it->limit_s * (is_long ? 10 : 1) * SL_NS_PER_S);
    EXPECT(sl_event_init(&w.is_over) == 0);
    EXPECT(sl_thread_start(&thread, "watchdog", run_watchdog, &w) == 0);
    it->run(&at);
    sl_event_set(&w.is_over);
    sl_thread_join(&thread);
    sl_event_deinit(&w.is_over);
    printf("%s: passed in %.1f s\n", it->name, (double)(place_now_ns() - start_ns) / 1e9);
    return 0;
}

int place_main(const place_case *cases, size_t case_count, int count, char **words) {
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* read by the process that started us */
    if (count > 2 && strcmp(words[1], "role") == 0) {
        return place_run_role(count - 2, words + 2);
    }
    bool is_long = count == 4 && strcmp(words[3], "--long") == 0;
    for (size_t i = 0; i < case_count && count >= 3; i++) {
        if (strcmp(words[1], cases[i].name) == 0 && (count == 3 || is_long)) {
            return run_case(&cases[i], words[2], is_long);
        }
    }
    (void)fprintf(stderr, "CASE SLUICED [--long]; CASE is one of:\n");
    for (size_t i = 0; i < case_count; i++) {
        (void)fprintf(stderr, "  %s\n", cases[i].name);
    }
    return 2;
}
