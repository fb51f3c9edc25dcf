/*
 * selftest.c - the command `sluice selftest`: the checks, one after another, and what came of them.
 * See selftest.h. A check that needs load runs a program of its own (the conformance suite, this
 * tool's hangtest): what hangs there is ended from here, and said.
 */
#include "client/cli/selftest.h"

#include <sluice/sluice.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "client/cli/args.h"
#include "client/cli/commands.h"
#include "client/cli/out.h"
#include "client/cli/session.h"

#define PROGRAM_LIMIT_S 3600u /* a program of a check that takes longer hangs */
#define CALL_NS         (10 * SL_NS_PER_S)

static const char about[] =
    "Tries what only a real Windows kernel can certify, for the administrator of this machine:\n"
    "races of cancel, completion and close; that nobody else gets into a broker's pipe; that the\n"
    "service comes back. Run it elevated: what needs that is skipped otherwise.\n"
    "It starts brokers of its own, and installs and removes a service of its own name\n"
    "(sluice-selftest-...); a broker or service that is there is not touched.\n"
    "\n"
    "Each check: passed, FAILED, skipped (with the reason), or not certified: it was tried, but\n"
    "on Wine or Linux, whose answer says nothing about Windows.\n"
    "\n"
    "Exit code: 0 = every check passed; 1 = one failed; 4 = none failed, but some were skipped or\n"
    "cannot be certified here (always so on Wine and Linux); 2 = wrong usage.\n";

void selftest_say(selftest_result *result, selftest_outcome outcome, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    result->outcome = outcome;
    (void)vsnprintf(result->why, sizeof(result->why), format, arguments);
    va_end(arguments);
}

/* ---- checks that run a program ---- */

static void run_program(const selftest_place *place, const char *path, const char *const *words,
                        selftest_result *ret_result) {
    int code = selftest_run(path, words, PROGRAM_LIMIT_S, place->is_verbose);
    if (code < 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "%s could not be run, or did not end", path);
    } else if (code > 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "exit code %d of: %s %s %s", code, path, words[0],
                     words[1] != NULL ? words[1] : "");
    } else {
        selftest_say(ret_result, SELFTEST_PASSED, "%s", "");
    }
}

static void conform(const selftest_place *place, const char *group, selftest_result *ret_result) {
    char path[SELFTEST_PATH_BYTES];
    if (!selftest_find(place->tests_path, "engine_conformance", "../tests/engine", path)) {
        selftest_say(ret_result, SELFTEST_SKIPPED,
                     "no engine_conformance beside this program: --tests DIR");
        return;
    }
    const char *const words[] = {"--test", group, "--scale", place->scale, NULL};
    run_program(place, path, words, ret_result);
}

static void check_races(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "race", ret_result);
}

static void check_cancel(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "cancel", ret_result);
}

static void check_close(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "close", ret_result);
}

static void check_accept(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "accept", ret_result);
}

static void check_zero_byte(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "zero_byte_read", ret_result);
}

static void check_writes(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "write_tells_the_truth", ret_result);
}

static void check_reset(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "eof", ret_result);
}

static void check_identity(const selftest_place *place, selftest_result *ret_result) {
    conform(place, "identity", ret_result);
}

static void hangtest(const selftest_place *place, const char *scenario,
                     selftest_result *ret_result) {
    char path[SELFTEST_PATH_BYTES];
    if (!selftest_find(NULL, "sluice", ".", path)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "this program does not find itself");
        return;
    }
    const char *words[SELFTEST_WORDS_MAX] = {"hangtest",     "--scenario",      scenario,
                                             "--iterations", place->iterations, "--private"};
    if (place->broker_path != NULL) {
        words[6] = "--broker";
        words[7] = place->broker_path;
    }
    run_program(place, path, words, ret_result);
}

static void check_broker_race(const selftest_place *place, selftest_result *ret_result) {
    hangtest(place, "close-race", ret_result);
}

static void check_apc(const selftest_place *place, selftest_result *ret_result) {
    hangtest(place, "mixed", ret_result);
}

static void check_killed(const selftest_place *place, selftest_result *ret_result) {
    char path[SELFTEST_PATH_BYTES];
    char broker[SELFTEST_PATH_BYTES];
    if (!selftest_find(place->tests_path, "integration", "../tests/integration", path)) {
        selftest_say(ret_result, SELFTEST_SKIPPED,
                     "no program integration beside this program: --tests DIR");
        return;
    }
    if (place->broker_path == NULL && !selftest_find(NULL, "sluiced", ".", broker)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "no sluiced beside this program: --broker PATH");
        return;
    }
    const char *const words[] = {"client_killed",
                                 place->broker_path != NULL ? place->broker_path : broker, NULL};
    run_program(place, path, words, ret_result);
}

/* ---- checks with a session ---- */

static sluice_session *the_session; /* with the private broker, while the checks run */

static void check_listener(const selftest_place *place, selftest_result *ret_result) {
    char address[96];
    char pipe[128];
    selftest_place with_pipe = *place;
    sluice_result result = {.size = sizeof(result)};
    unsigned long long number = sl_clock_now_ns(sl_clock_system());
    (void)snprintf(address, sizeof(address), "pipe:sluice-selftest-listener-%llu", number);
    (void)snprintf(pipe, sizeof(pipe), "\\\\.\\pipe\\%s", address + strlen("pipe:"));
    if (selftest_system() != NULL && strcmp(selftest_system(), "Linux") == 0) {
        selftest_ask(SELFTEST_PIPE_ACCESS, place, ret_result);
        return;
    }
    int32_t status = sluice_listen(the_session, address, 0, CALL_NS, &result);
    if (status != SLUICE_OK) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "cannot listen: %s %.100s",
                     sluice_status_name(status), result.detail);
        return;
    }
    with_pipe.pipe = pipe;
    selftest_ask(SELFTEST_PIPE_ACCESS, &with_pipe, ret_result);
    (void)sluice_close(the_session, result.handles[0], CALL_NS, NULL);
}

/* For selftest_access_win.c, in a process of its own. */
static int visit(const char *endpoint, const char *pipe) {
    char address[SELFTEST_PATH_BYTES];
    sluice_session *session = NULL;
    sluice_result result = {.size = sizeof(result)};
    const session_choice choice = {.client_name = "sluice selftest visit", .endpoint = endpoint};
    int32_t opened = session_open("selftest", &choice, &session);
    if (opened != SLUICE_OK) { /* who has less than the broker is not let in at all */
        return opened == SLUICE_EACCESS ? SELFTEST_VISIT_REFUSED : CLI_EXIT_NOBROKER;
    }
    (void)snprintf(address, sizeof(address), "pipe:%s", pipe);
    int32_t status = sluice_connect(session, address, CALL_NS, &result);
    (void)sluice_session_close(session);
    return status == SLUICE_OK        ? SELFTEST_VISIT_OPENED
           : status == SLUICE_EACCESS ? SELFTEST_VISIT_REFUSED
                                      : CLI_EXIT_FOUND;
}

typedef struct selftest_check {
    const char *name;
    const char *what;           /* for people */
    selftest_question question; /* of the system; or NOTHING, and: */
    void (*run)(const selftest_place *place, selftest_result *ret_result);
} selftest_check;

/* In the order of the list in docs/testing.md, which a test compares. */
static const selftest_check checks[] = {
    {"kernel-races", "cancel against completion: NPFS, AFD and AcceptEx", SELFTEST_NOTHING,
     check_races},
    {"kernel-cancel", "a cancel's three outcomes, early, late and twice", SELFTEST_NOTHING,
     check_cancel},
    {"kernel-close", "closing with I/O pending", SELFTEST_NOTHING, check_close},
    {"accept-close", "closing a listener with standing ConnectNamedPipes", SELFTEST_NOTHING,
     check_accept},
    {"write-truth", "a cancelled write's bytes: within done and in_doubt", SELFTEST_NOTHING,
     check_writes},
    {"zero-byte-read", "reads of no bytes leave the data there", SELFTEST_NOTHING, check_zero_byte},
    {"reset", "ends of files and resets are told as what they are", SELFTEST_NOTHING, check_reset},
    {"broker-races", "closing pipes under load, through a broker", SELFTEST_NOTHING,
     check_broker_race},
    {"apc-hang", "a cancel while the application's thread is in synchronous I/O", SELFTEST_NOTHING,
     check_apc},
    {"client-killed", "1,000 pending reads of a killed client", SELFTEST_NOTHING, check_killed},
    {"pipe-first-instance", "nobody can become the first server of a name in use",
     SELFTEST_FIRST_INSTANCE, NULL},
    {"pipe-other-user", "another user cannot open a broker's pipe", SELFTEST_OTHER_USER, NULL},
    {"pipe-low-integrity", "a process of low integrity cannot either", SELFTEST_LOW_INTEGRITY,
     NULL},
    {"pipe-new-instance", "another user cannot make an instance of it", SELFTEST_NEW_INSTANCE,
     NULL},
    {"pipe-remote", "nobody can over the network", SELFTEST_REMOTE, NULL},
    {"peer-identity", "who is at the other end, asked of the kernel", SELFTEST_NOTHING,
     check_identity},
    {"peer-token", "the broker takes us for who our token says", SELFTEST_TOKEN, NULL},
    {"peer-filtered", "the broker opens no more for a program than that could by itself",
     SELFTEST_FILTERED, NULL},
    {"pipe-access", "a broker's pipe lets in its user alone, read back from the system",
     SELFTEST_ENDPOINT_ACCESS, NULL},
    {"pipe-listener", "so does a pipe on which it listens for a client", SELFTEST_NOTHING,
     check_listener},
    {"service-account", "the service runs under its virtual account", SELFTEST_SERVICE_ACCOUNT,
     NULL},
    {"service-restart", "killed, the service comes back", SELFTEST_SERVICE_RESTART, NULL},
    {"service-preshutdown", "the service is told before a shutdown, with its time",
     SELFTEST_PRESHUTDOWN, NULL},
    {"service-log", "the service's log goes to no folder that somebody else planted",
     SELFTEST_SERVICE_LOG, NULL},
    {"service-program", "no service is installed from where others can change its program",
     SELFTEST_SERVICE_PROGRAM, NULL},
};

/* ---- the command ---- */

typedef struct selftest_options {
    const char *only;
    const char *tests_path;
    const char *broker_path;
    const char *scale;
    uint64_t iterations;
    bool is_list;
    bool is_verbose;
    bool json;
} selftest_options;

static void list(void) {
    out_text text = {0};
    for (size_t i = 0; i < SL_ARRAY_COUNT(checks); i++) {
        out_print(&text, "%-20s %s\n", checks[i].name, checks[i].what);
    }
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

static bool is_known(const char *name) {
    for (size_t i = 0; i < SL_ARRAY_COUNT(checks); i++) {
        if (strcmp(checks[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void run_check(const selftest_check *check, const selftest_place *place,
                      selftest_result *ret_result) {
    const char *system = selftest_system();
    *ret_result = (selftest_result){.outcome = SELFTEST_PASSED};
    if (check->question != SELFTEST_NOTHING) {
        selftest_ask(check->question, place, ret_result);
    } else {
        check->run(place, ret_result);
    }
    if (system != NULL && ret_result->outcome == SELFTEST_PASSED) {
        selftest_say(ret_result, SELFTEST_NOT_CERTIFIED, "%s", system);
    } else if (system != NULL && ret_result->outcome == SELFTEST_FAILED &&
               check->question != SELFTEST_NOTHING) { /* what it does not have, it cannot fail */
        char why[SELFTEST_WHY_BYTES];
        memcpy(why, ret_result->why, sizeof(why));
        selftest_say(ret_result, SELFTEST_NOT_CERTIFIED, "%s: %.180s", system, why);
    }
}

static const char *outcome_name(selftest_outcome outcome) {
    static const char *const names[] = {"passed", "FAILED", "skipped", "not certified"};
    return names[outcome];
}

static void report(const selftest_options *options, const selftest_result *results,
                   const bool *was_run, const unsigned *counts) {
    out_text text = {0};
    out_json json;
    if (options->json) {
        out_json_init(&json, &text);
        out_json_object(&json, NULL);
        out_json_string(&json, "system", selftest_system() != NULL ? selftest_system() : "Windows");
        out_json_array(&json, "checks");
    }
    for (size_t i = 0; i < SL_ARRAY_COUNT(checks) && options->json; i++) {
        if (was_run[i]) {
            out_json_object(&json, NULL);
            out_json_string(&json, "name", checks[i].name);
            out_json_string(&json, "what", checks[i].what);
            out_json_string(&json, "outcome", outcome_name(results[i].outcome));
            out_json_string(&json, "why", results[i].why);
            out_json_end_object(&json);
        }
    }
    if (options->json) {
        out_json_end_array(&json);
        for (unsigned i = 0; i <= SELFTEST_NOT_CERTIFIED; i++) {
            static const char *const members[] = {"passed", "failed", "skipped", "not_certified"};
            out_json_u64(&json, members[i], counts[i]);
        }
        out_json_end_object(&json);
    } else if (options->only == NULL) {
        out_print(&text, "\n%u passed, %u failed, %u skipped, %u not certified\n", counts[0],
                  counts[1], counts[2], counts[3]);
    }
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

static int run_all(const selftest_options *options, const selftest_place *place) {
    static selftest_result results[SL_ARRAY_COUNT(checks)];
    static bool was_run[SL_ARRAY_COUNT(checks)];
    unsigned counts[SELFTEST_NOT_CERTIFIED + 1] = {0};
    for (size_t i = 0; i < SL_ARRAY_COUNT(checks); i++) {
        if (options->only != NULL && strcmp(options->only, checks[i].name) != 0) {
            continue;
        }
        run_check(&checks[i], place, &results[i]);
        was_run[i] = true;
        counts[results[i].outcome]++;
        if (!options->json) { /* each at once: some take long */
            out_say("%-20s %-14s %s%s%s\n", checks[i].name, outcome_name(results[i].outcome),
                    checks[i].what, results[i].why[0] != '\0' ? ": " : "", results[i].why);
        }
    }
    report(options, results, was_run, counts);
    if (counts[SELFTEST_FAILED] > 0) {
        return CLI_EXIT_FOUND;
    }
    bool is_sure = counts[SELFTEST_SKIPPED] + counts[SELFTEST_NOT_CERTIFIED] == 0;
    return is_sure ? CLI_EXIT_OK : CLI_EXIT_UNCERTAIN;
}

static int run_with_broker(const selftest_options *options) {
    char iterations[24];
    sluice_session *session = NULL;
    sluice_session_info info = {.size = sizeof(info)};
    sluice_broker_info broker = {.size = sizeof(broker)};
    const session_choice choice = {
        .client_name = "sluice selftest", .is_private = true, .broker_path = options->broker_path};
    (void)snprintf(iterations, sizeof(iterations), "%llu", (unsigned long long)options->iterations);
    int32_t status = session_open("selftest", &choice, &session);
    if (status != SLUICE_OK) {
        return session_exit_code(status);
    }
    (void)sluice_session_get_info(session, &info);
    status = sluice_broker_status(session, CALL_NS, &broker);
    if (status != SLUICE_OK) { /* who we are to it is compared, and may use the service */
        out_complain("selftest: the broker's status: %s\n", sluice_status_name(status));
        (void)sluice_session_close(session);
        return CLI_EXIT_NOBROKER;
    }
    const selftest_place place = {.endpoint = info.endpoint,
                                  .broker_path = options->broker_path,
                                  .user = broker.user,
                                  .tests_path = options->tests_path,
                                  .scale = options->scale,
                                  .iterations = iterations,
                                  .is_verbose = options->is_verbose};
    the_session = session;
    int code = run_all(options, &place);
    (void)sluice_session_close(session);
    return code;
}

int command_selftest(int count, char **argv) {
    static const char *const scales[] = {"full", "ci", "wine", "tsan", NULL};
    selftest_options options = {.scale = "ci", .iterations = 2000};
    const args_option table[] = {
        {"list", NULL, ARGS_FLAG, &options.is_list, 0, 0, NULL, "the checks, and do nothing"},
        {"only", "NAME", ARGS_TEXT, &options.only, 0, 0, NULL, "this check only"},
        {"scale", "SIZE", ARGS_CHOICE, &options.scale, 0, 0, scales,
         "of the races: full (an hour), ci (default; minutes), wine, tsan (small)"},
        {"iterations", "N", ARGS_COUNT, &options.iterations, 1, 1000000000, NULL,
         "pipes of each of the hangtest's 10 workers (default: 2,000)"},
        {"tests", "DIR", ARGS_TEXT, &options.tests_path, 0, 0, NULL,
         "where the programs engine_conformance and integration are\n"
         "(default: beside this one, or where a build puts them)"},
        {"broker", "PATH", ARGS_TEXT, &options.broker_path, 0, 0, NULL,
         "the sluiced to start (default: the one beside this program)"},
        {"verbose", NULL, ARGS_FLAG, &options.is_verbose, 0, 0, NULL,
         "what the programs of the checks say, too"},
        {"json", NULL, ARGS_FLAG, &options.json, 0, 0, NULL, "as JSON"},
    };
    static const args_rule rules[] = {{"list", ARGS_EXCLUDES, NULL}};
    const args_command command = {
        .name = "sluice selftest",
        .synopsis = "[OPTION...]",
        .about = about,
        .options = table,
        .option_count = SL_ARRAY_COUNT(table),
        .rules = rules,
        .rule_count = SL_ARRAY_COUNT(rules),
    };
    if (count == 3 && strcmp(argv[0], SELFTEST_VISIT) == 0) {
        return visit(argv[1], argv[2]);
    }
    args_verdict verdict = args_parse(&command, count, argv);
    if (verdict != ARGS_RUN) {
        return verdict == ARGS_SHOWN ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    if (options.is_list) {
        list();
        return CLI_EXIT_OK;
    }
    if (options.only != NULL && !is_known(options.only)) {
        out_complain("sluice selftest: no such check: %s (see: sluice selftest --list)\n",
                     options.only);
        return CLI_EXIT_USAGE;
    }
    return run_with_broker(&options);
}
