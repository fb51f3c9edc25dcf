/*
 * streams_test.c - every interleaving of the state machines of streams, both sides against each
 * other, within the bounds of each scenario (writes_scenarios.c, reads_scenarios.c).
 *
 *   streams_test [small|ci|full]               the scenarios of that size; ci without a word
 *   streams_test only NAME                     one of them
 *   streams_test repeat NAME PATH              one path, told step by step (a failing run says how)
 *   streams_bugs bugs                          each planted bug must be found by the CI size
 *   streams_bugs bug BUG [...]                 the same as above with that bug
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/model/streams.h"

#define PATH_BYTES (CHOICES_MAX * 4u)

int world_planted; /* the bug that is switched on (streams_bugs.txt); 0 = none */

static const streams_direction *const directions[] = {&streams_writes, &streams_reads};
static search s;
static const char *running = "";

/* A check has failed: says how to see it again. */
static void on_abort(int signal_number) {
    char path[PATH_BYTES];
    (void)signal(signal_number, SIG_DFL);
    choices_text(&s.choices, path, sizeof(path));
    fprintf(stderr, "\nafter %llu states: repeat %s \"%s\"\n",
            (unsigned long long)s.choices.seen_count, running, path);
    fflush(stderr);
}

static void explore(uint64_t *states, uint64_t *paths) {
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    s.paths = s.moves = s.rests = 0;
    s.deepest = 0;
    search_all(&s);
    double seconds = (double)(sl_clock_now_ns(sl_clock_system()) - start_ns) / (double)SL_NS_PER_S;
    printf("%-22s %9llu states %10llu paths %10llu moves %8llu at rest, longest %3u, %6.1f s\n",
           running, (unsigned long long)s.choices.seen_count, (unsigned long long)s.paths,
           (unsigned long long)s.moves, (unsigned long long)s.rests, s.deepest, seconds);
    fflush(stdout);
    *states += s.choices.seen_count;
    *paths += s.paths;
}

/* Those of a size, or the one of that name. */
static void explore_size(streams_size size, const char *only, uint64_t *states, uint64_t *paths) {
    for (unsigned d = 0; d < SL_ARRAY_COUNT(directions); d++) {
        for (unsigned i = 0; i < directions[d]->count; i++) {
            streams_size its_size = STREAMS_CI;
            running = directions[d]->select(i, &s, &its_size);
            if (its_size == size && (only == NULL || strcmp(only, running) == 0)) {
                explore(states, paths);
            }
        }
    }
}

/* The small ones first. false: there is none. */
static bool explore_all(streams_size size, const char *only) {
    uint64_t states = 0;
    uint64_t paths = 0;
    for (streams_size each = STREAMS_SMALL; each <= size; each++) {
        explore_size(each, only, &states, &paths);
    }
    printf("%llu states, %llu paths, complete\n", (unsigned long long)states,
           (unsigned long long)paths);
    return states > 0;
}

static bool repeat(const char *name, const char *path) {
    for (unsigned d = 0; d < SL_ARRAY_COUNT(directions); d++) {
        for (unsigned i = 0; i < directions[d]->count; i++) {
            streams_size size;
            running = directions[d]->select(i, &s, &size);
            if (strcmp(running, name) == 0 && choices_parse(&s.choices, path)) {
                directions[d]->be_loud();
                search_path(&s);
                puts("ok");
                return true;
            }
        }
    }
    return false;
}

static bool run(int count, char **words) {
    static const char *const sizes[] = {"small", "ci", "full"};
    if (count == 0) {
        return explore_all(STREAMS_CI, NULL);
    }
    if (count == 2 && strcmp(words[0], "only") == 0) {
        return explore_all(STREAMS_FULL, words[1]);
    }
    if (count == 3 && strcmp(words[0], "repeat") == 0) {
        return repeat(words[1], words[2]);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(sizes) && count == 1; i++) {
        if (strcmp(words[0], sizes[i]) == 0) {
            return explore_all((streams_size)i, NULL);
        }
    }
    return false;
}

int main(int argc, char **argv) {
    (void)signal(SIGABRT, on_abort);
    choices_init(&s.choices);
    if (argc == 2 && strcmp(argv[1], "bugs") == 0) {
        return streams_find_bugs(argv[0]);
    }
    int used = 1;
    if (argc > 2 && strcmp(argv[1], "bug") == 0) {
        world_planted = streams_bug_number(argv[2]);
        used = 3;
    }
    if ((used == 3 && world_planted == 0) || !run(argc - used, argv + used)) {
        fputs("small, ci or full; only NAME; repeat NAME PATH; bug BUG before these; or bugs\n",
              stderr);
        return 2;
    }
    choices_deinit(&s.choices);
    return 0;
}
