/*
 * main.c - the conformance suite's command line. One program, every backend (see --help).
 *
 * cmocka groups and reports, on this thread, which never touches the engine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine/rig.h"

#define CASES_MAX 64

static const t_suite *const suites[] = {
    &suite_streams, &suite_eof,    &suite_cancel,   &suite_close,  &suite_race,
    &suite_accept,  &suite_socket, &suite_errors,   &suite_limits, &suite_messages,
    &suite_many,    &suite_memory, &suite_identity, &suite_listen, &suite_inside,
    &suite_openers,
#if defined(T_UNAUDITED)
    &suite_port,    &suite_names,
#endif
};

static const char usage[] =
    "engine_conformance: the engine's contract (engine/engine.h), tested on one backend\n"
    "  --backend NAME       epoll, iocp or sim; default: this platform's\n"
    "  --test NAME          only this group or test; \"smoke\" = the fast ones of every group\n"
    "  --seed N             repeats a run of the random tests; default: from the clock\n"
    "  --scale full|ci|wine|tsan  how often; default: ci, or what this build runs under\n"
    "  --list               groups and tests\n"
    "  --help               this\n";

static bool is_wanted(const t_options *options, const t_suite *suite, const t_case *test_case) {
    if ((test_case->flags & T_CHILD) != 0) {
        return false;
    }
    if (options->test == NULL || strcmp(options->test, suite->name) == 0 ||
        strcmp(options->test, test_case->name) == 0) {
        return true;
    }
    return strcmp(options->test, "smoke") == 0 && (test_case->flags & T_SMOKE) != 0;
}

static void run_in_cmocka(void **ref_state) {
    t_run_case(*ref_state);
}

/* Returns how many tests failed; adds to *ret_count how many ran. */
static int run_suite(const t_options *options, const t_suite *suite, unsigned *ret_count) {
    struct CMUnitTest tests[CASES_MAX];
    unsigned count = 0;
    memset(tests, 0, sizeof(tests));
    for (unsigned i = 0; i < suite->count && count < CASES_MAX; i++) {
        const t_case *test_case = &suite->cases[i];
        if (is_wanted(options, suite, test_case)) {
            union {
                const t_case *in;
                void *out;
            } pass = {.in = test_case}; /* cmocka's initial_state is not const */
            tests[count].name = test_case->name;
            tests[count].test_func = run_in_cmocka;
            tests[count].initial_state = pass.out;
            count++;
        }
    }
    *ret_count += count;
    return count == 0 ? 0 : _cmocka_run_group_tests(suite->name, tests, count, NULL, NULL);
}

static void list_tests(void) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(suites); i++) {
        for (unsigned j = 0; j < suites[i]->count; j++) {
            if ((suites[i]->cases[j].flags & T_CHILD) == 0) {
                unsigned flags = suites[i]->cases[j].flags;
                printf("%s %s%s%s\n", suites[i]->name, suites[i]->cases[j].name,
                       (flags & T_SMOKE) != 0 ? " [smoke]" : "",
                       (flags & T_THREADED) != 0 ? " [threads]" : "");
            }
        }
    }
}

static int run_child(const char *name) {
    for (unsigned i = 0; i < suite_child.count; i++) {
        if (strcmp(suite_child.cases[i].name, name) == 0) {
            return t_run_scene(&suite_child.cases[i]);
        }
    }
    fprintf(stderr, "no scene %s\n", name);
    return 2;
}

static bool take_option(t_options *options, const char *name, const char *value) {
    if (strcmp(name, "--backend") == 0) {
        options->is_sim = strcmp(value, "sim") == 0;
        options->backend = options->is_sim ? &engine_backend_sim : engine_backend_find(value);
        return options->backend != NULL;
    }
    if (strcmp(name, "--test") == 0) {
        options->test = value;
        return true;
    }
    if (strcmp(name, "--child") == 0) {
        options->child = value;
        return true;
    }
    if (strcmp(name, "--seed") == 0) {
        char *end = NULL;
        options->seed = strtoull(value, &end, 0);
        return *value != '\0' && *end == '\0';
    }
    if (strcmp(name, "--scale") == 0) {
        for (unsigned i = 0; t_scale_names[i] != NULL; i++) {
            if (strcmp(value, t_scale_names[i]) == 0) {
                options->scale = i;
                return true;
            }
        }
    }
    return false;
}

/* An index into t_scale_names. */
static unsigned default_scale(void) {
#if defined(__SANITIZE_THREAD__)
    return 3;
#else
    return os_is_wine() ? 2 : 1;
#endif
}

static int run_all(const t_options *options) {
    int failed = 0;
    unsigned count = 0;
    print_message("backend %s on %s, seed %llu\n", engine_backend_name(options->backend), os_name(),
                  (unsigned long long)options->seed);
    t_print_scale();
    t_warm_up(rig_warm_up);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(suites); i++) {
        failed += run_suite(options, suites[i], &count);
    }
    if (count == 0) {
        fprintf(stderr, "no test or group %s (see --list)\n", options->test);
        return 2;
    }
    print_message("backend %s: %u tests, %d failed\n", engine_backend_name(options->backend), count,
                  failed);
    return failed == 0 ? 0 : 1;
}

int main(int argument_count, char **arguments) {
    t_options options = {.program = arguments[0]};
    options.backend = engine_backend_find(NULL);
    options.seed = sl_clock_now_ns(sl_clock_system());
    options.scale = default_scale();
    for (int i = 1; i < argument_count; i += 2) {
        if (strcmp(arguments[i], "--help") == 0) {
            printf("%s", usage);
            return 0;
        }
        if (strcmp(arguments[i], "--list") == 0) {
            list_tests();
            return 0;
        }
        if (i + 1 == argument_count || !take_option(&options, arguments[i], arguments[i + 1])) {
            fprintf(stderr, "bad option %s\n%s", arguments[i], usage);
            return 2;
        }
    }
    os_start();
    t_harness_init(&options);
    int code = options.child != NULL ? run_child(options.child) : run_all(&options);
    os_stop();
    fflush(stdout);
    fflush(stderr);
    if (code != 0) {
        os_exit_now(code); /* threads of failed tests are parked: no exit handlers */
    }
    return code;
}
