/*
 * hangtest.c - the command `sluice hangtest`: options, and the order of things. See hang.h.
 */
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/commands.h"
#include "client/cli/hang.h"
#include "client/cli/os.h"
#include "client/cli/out.h"
#include "client/cli/session.h"

static const char about[] =
    "Does what hangs Windows programs, over and over, and counts what comes of it.\n"
    "\n"
    "Each worker repeats: make a pipe; one thread writes \"hi\" until its end is closed, one\n"
    "reads until then, a third waits 1 ms and closes the reader and then the writer while both\n"
    "are busy (the workload of Go's TestPipeIOCloseRace, golang/go#64482). Every call is\n"
    "watched: one that does not return is reported with its age.\n"
    "\n"
    "  --via broker   through sluiced: must pass, always\n"
    "  --via direct   inside this process, with synchronous pipes and CancelIoEx as in the\n"
    "                 original: on a real Windows it may get stuck, and you see the thread and\n"
    "                 its age. Linux and Wine do not have the disease.\n"
    "  --scenario mixed   a thread issues an overlapped receive on a socket, then blocks in the\n"
    "                 read of a pipe; the receive is cancelled from another thread.\n"
    "\n"
    "Examples:\n"
    "  sluice hangtest --private --iterations 2000\n"
    "  sluice hangtest --via direct --scenario mixed --patience 10s\n"
    "\n"
    "Exit code: 0 = nothing hung, nothing came twice or not at all, nothing was left in the\n"
    "broker; 1 = something did (the lines that must be 0 say what); 3 = no broker, or it was\n"
    "lost; 5 = interrupted (Ctrl-C). With 3 and 5 nothing was wrong until then.\n";

static args_verdict parse(hang_options *options, int count, char **argv) {
    static const char *const vias[] = {"broker", "direct", NULL};
    static const char *const scenarios[] = {"close-race", "mixed", NULL};
    static const char *const calls[] = {"both", "sync", "async", NULL};
    static const char *const deliveries[] = {"thread", "inline", NULL};
    const args_option table[] = {
        {"workers", "N", ARGS_COUNT, &options->workers, 1, HANG_WORKERS_MAX, NULL,
         "pipes at a time, each with three threads (default: 10)"},
        {"iterations", "N", ARGS_COUNT, &options->iterations, 1, 1000000000, NULL,
         "pipes of each worker, one after another (default: 100,000,\n"
         "with 10 workers a million pipes: some 3.5 minutes)"},
        {"via", "WAY", ARGS_CHOICE, &options->via, 0, 0, vias, "broker (default) or direct"},
        {"scenario", "NAME", ARGS_CHOICE, &options->scenario, 0, 0, scenarios,
         "close-race (default) or mixed"},
        {"calls", "KIND", ARGS_CHOICE, &options->calls, 0, 0, calls,
         "sync, async, or both in turn (default)"},
        {"delivery", "MODE", ARGS_CHOICE, &options->delivery, 0, 0, deliveries,
         "where callbacks run: thread (default) or inline"},
        {"patience", "TIME", ARGS_DURATION, &options->patience_ns, SL_NS_PER_S,
         24 * 3600 * SL_NS_PER_S, NULL, "a call that takes longer is stuck (default: 30s)"},
        SESSION_OPTIONS(options->endpoint, options->broker_user, options->broker_path,
                        options->is_private),
        {"json", NULL, ARGS_FLAG, &options->json, 0, 0, NULL, "the figures as JSON"},
    };
    /* The direct way has no broker, no asynchronous calls and no callbacks. */
    static const args_rule rules[] = {
        {"private", ARGS_EXCLUDES, "via=direct"},
        {"endpoint", ARGS_EXCLUDES, "via=direct"},
        {"broker", ARGS_EXCLUDES, "via=direct"},
        {"broker-user", ARGS_EXCLUDES, "via=direct"},
        {"delivery", ARGS_EXCLUDES, "via=direct"},
        {"calls", ARGS_EXCLUDES, "via=direct"},
        {"delivery", ARGS_EXCLUDES, "calls=sync"}, /* no call of it has a callback */
        SESSION_RULES,
    };
    const args_command command = {
        .name = "sluice hangtest",
        .synopsis = "[OPTION...]",
        .about = about,
        .options = table,
        .option_count = SL_ARRAY_COUNT(table),
        .rules = rules,
        .rule_count = SL_ARRAY_COUNT(rules),
    };
    return args_parse(&command, count, argv);
}

int command_hangtest(int count, char **argv) {
    static hang_test test;
    test.options = (hang_options){.workers = 10,
                                  .iterations = 100000,
                                  .via = "broker",
                                  .scenario = "close-race",
                                  .calls = "both",
                                  .delivery = "thread",
                                  .patience_ns = 30 * SL_NS_PER_S};
    args_verdict verdict = parse(&test.options, count, argv);
    if (verdict != ARGS_RUN) {
        return verdict == ARGS_SHOWN ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    test.io = strcmp(test.options.via, "direct") == 0 ? &hang_io_direct : &hang_io_broker;
    test.is_mixed = strcmp(test.options.scenario, "mixed") == 0;
    if (test.is_mixed && test.io->receive_start == NULL) {
        out_complain("sluice hangtest: --scenario mixed --via direct needs overlapped receives: "
                     "it is there on Windows only\n");
        return CLI_EXIT_USAGE;
    }
    os_catch_interrupt();
    int status = hang_run(&test);
    if (status != SLUICE_OK) {
        hang_deinit(&test);
        return session_exit_code(status);
    }
    int code = hang_report(&test);
    if (test.stuck_count > 0) {
        (void)out_end();
        os_leave(CLI_EXIT_FOUND); /* threads that are inside calls cannot be joined */
    }
    hang_deinit(&test);
    return code;
}
