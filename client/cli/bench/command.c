/*
 * command.c - the command line that `sluice bench` and tests/bench share: options, the measuring
 * thread, the line about progress, the exit code. See bench.h.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/thread.h"
#include "client/cli/bench/far.h"
#include "client/cli/os.h"
#include "client/cli/out.h"
#include "client/cli/session.h"

#define LOOK_NS (250 * SL_NS_PER_MS) /* how long it looks at how busy the machine is */

typedef struct command {
    bench_plan plan;
    bench_progress progress;
    session_choice choice;
    sluice_session *holder; /* keeps the private broker alive */
    const char *only_case, *topology;
    bool list, attach;
    sl_event done;
} command;

/* ---- options ------------------------------------------------------------------------------- */

static args_verdict parse(command *self, int count, char **argv) {
    static const char *const sides[] = {"subject", "model", NULL};
    bench_plan *plan = &self->plan;
    const args_option table[] = {
        {"case", "NAME", ARGS_TEXT, &self->only_case, 0, 0, NULL,
         "only the cases whose name begins so (memory: that alone)"},
        {"list", NULL, ARGS_FLAG, &self->list, 0, 0, NULL, "say what there is, and run nothing"},
        {"topology", "WHICH", ARGS_CHOICE, &self->topology, 0, 0, bench_topology_words,
         "one-processor (default): all share one, so that a figure is work and\n"
         "no wake-up; two-processors: the broker has one of its own, both are\n"
         "kept awake; any: the system chooses"},
        {"rounds", "N", ARGS_COUNT, &plan->rounds, 1, SL_STATS_ROUNDS_MAX, NULL,
         "rounds of each case (default: 15; less than 7 is no measurement)"},
        {"round", "TIME", ARGS_DURATION, &plan->round_ns, SL_NS_PER_MS, 10 * SL_NS_PER_S, NULL,
         "how long each side of a case works in a round (default: 60ms)"},
        {"units", "N", ARGS_COUNT, &plan->units, 1, 1000000000, NULL,
         "units in each of a round's eight slices, instead of a time"},
        {"only", "SIDE", ARGS_CHOICE, &plan->only, 0, 0, sides,
         "subject or model: that one alone, for a profiler"},
        {"attach", NULL, ARGS_FLAG, &self->attach, 0, 0, NULL,
         "use the broker that runs at the endpoint instead of a private\n"
         "one; implies --topology any"},
        {"endpoint", "NAME", ARGS_TEXT, &self->choice.endpoint, 0, 0, NULL,
         "--attach: where it listens"},
        {"broker", "PATH", ARGS_TEXT, &self->choice.broker_path, 0, 0, NULL,
         "the sluiced to start (default: the one beside this program)"},
        {"json", NULL, ARGS_FLAG, &plan->json, 0, 0, NULL, "the figures as JSON"},
        {"strict", NULL, ARGS_FLAG, &plan->strict, 0, 0, NULL, "exit code 1 if an aim is missed"},
    };
    static const args_rule rules[] = {
        {"list", ARGS_EXCLUDES, NULL},
        {"endpoint", ARGS_NEEDS, "attach"},
        {"broker", ARGS_EXCLUDES, "attach"},
        {"topology", ARGS_EXCLUDES, "attach"},
    };
    bool has_aims = plan->program->aim != NULL;
    const args_command what = {plan->program->name,
                               "[OPTION...]",
                               plan->program->about,
                               table,
                               SL_ARRAY_COUNT(table) - (has_aims ? 0 : 1),
                               rules,
                               SL_ARRAY_COUNT(rules)};
    args_verdict verdict = args_parse(&what, count, argv);
    for (unsigned i = 0; self->topology != NULL && bench_topology_words[i] != NULL; i++) {
        if (strcmp(self->topology, bench_topology_words[i]) == 0) {
            plan->stage.topology = (bench_topology)i;
        }
    }
    return verdict;
}

static const bench_case *case_at(const bench_program *program, unsigned index) {
    return index < program->more_count ? &program->more[index]
           : index - program->more_count < bench_case_count
               ? &bench_cases[index - program->more_count]
               : NULL;
}

static void show_list(const bench_program *program) {
    out_text text = {0};
    const bench_case *what;
    for (unsigned i = 0; (what = case_at(program, i)) != NULL; i++) {
        if (what->what[0] != '\0') {
            out_print(&text, "%-14s %s\n", what->name, what->what);
        }
    }
    out_print(&text, "%-14s %s\n", "memory", "what sessions, handles and reads take that wait");
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

/* The rows of the plan; false = there is no such case. */
static bool choose(command *self) {
    bench_plan *plan = &self->plan;
    const char *only = self->only_case != NULL ? self->only_case : "";
    const bench_case *what;
    for (unsigned i = 0; (what = case_at(plan->program, i)) != NULL; i++) {
        bool is_here = !what->one_only || plan->stage.topology != BENCH_TWO;
        if (is_here && strncmp(only, what->name, strlen(only)) == 0) {
            SL_CHECK(plan->row_count < BENCH_CASES_MAX, "the cases fit");
            plan->rows[plan->row_count++] = what;
        }
    }
    plan->with_memory = strncmp(only, "memory", strlen(only)) == 0 && !self->attach;
    return plan->row_count > 0 || plan->with_memory;
}

/* ---- the stage ----------------------------------------------------------------------------- */

/* Before anything is started: what we start inherits our processor. */
static bool set_stage(command *self) {
    bench_stage *stage = &self->plan.stage;
    stage->topology = self->attach ? BENCH_ANY : stage->topology;
    stage->processors = sl_thread_cpu_count();
    stage->home = stage->away = stage->third = os_processor(0);
    if (stage->topology == BENCH_TWO) {
        stage->away = os_processor(1);
        stage->third = stage->processors > 2 ? os_processor(2) : stage->home;
    }
    stage->broker_path = self->choice.broker_path;
    stage->is_private = !self->attach;
    if (stage->topology != BENCH_ANY && !bench_machine_pin(os_process_id(), stage->home)) {
        out_complain("%s: cannot be bound to a processor here: --topology any\n",
                     self->plan.program->name);
        return false;
    }
    return true;
}

static int open_broker(command *self) {
    static char endpoint[sizeof(((sluice_session_info *)0)->endpoint)];
    bench_plan *plan = &self->plan;
    sluice_session_info info = {.size = sizeof(info)};
    sluice_broker_info broker = {.size = sizeof(broker)};
    self->choice.is_private = !self->attach;
    self->choice.client_name = plan->program->name;
    self->choice.without = "without --attach it starts one of its own";
    int status = session_open("bench", &self->choice, &self->holder);
    if (status != SLUICE_OK) {
        return status;
    }
    (void)sluice_session_get_info(self->holder, &info);
    (void)snprintf(endpoint, sizeof(endpoint), "%s", info.endpoint);
    (void)snprintf(plan->engine_name, sizeof(plan->engine_name), "%s", info.engine_name);
    (void)snprintf(plan->broker_version, sizeof(plan->broker_version), "%s", info.broker_version);
    status = sluice_broker_status(self->holder, 10 * SL_NS_PER_S, &broker);
    plan->stage.endpoint = endpoint;
    plan->stage.broker_process = broker.process_id;
    if (status == SLUICE_OK && plan->stage.topology == BENCH_TWO &&
        !bench_machine_pin(broker.process_id, plan->stage.away)) {
        out_complain("%s: the broker cannot be bound to a processor\n", plan->program->name);
        status = SLUICE_ENOTSUP;
    }
    return status;
}

/* Share of the machine's time that is taken while we take none; below 0 = not known. */
static double busy_share(command *self) {
    bench_times before = bench_machine_times();
    (void)sl_event_wait_until(&self->done, sl_clock_now_ns(sl_clock_system()) + LOOK_NS);
    bench_times after = bench_machine_times();
    double all = after.all - before.all;
    return all > 0 ? (after.busy - before.busy) / all : -1;
}

/* ---- running ------------------------------------------------------------------------------- */

static void measure(void *context) {
    command *self = context;
    bench_plan *plan = &self->plan;
    if (plan->program->enter != NULL) {
        plan->program->enter();
    }
    if (plan->with_memory) {
        bench_measure_memory(&plan->stage, &plan->memory);
    }
    bench_measure(plan, &self->progress);
    sl_event_set(&self->done);
}

static int run_all(command *self) {
    bench_plan *plan = &self->plan;
    bool is_watched = os_is_terminal() && !plan->json;
    uint64_t began_ns = sl_clock_now_ns(sl_clock_system());
    sl_thread thread;
    plan->busy_before = busy_share(self);
    bench_times before = bench_machine_times();
    int status = sl_thread_start(&thread, "bench", measure, self);
    if (status != SLUICE_OK) {
        return status;
    }
    while (!sl_event_wait_until(
        &self->done, is_watched ? sl_clock_now_ns(sl_clock_system()) + LOOK_NS : SL_CLOCK_NEVER)) {
        unsigned row = atomic_load(&self->progress.row);
        out_progress("%u of %u: %-14s round %u of %u", row + 1, plan->row_count,
                     plan->row_count > 0 ? plan->rows[row]->name : "memory",
                     (unsigned)atomic_load(&self->progress.round), (unsigned)plan->rounds);
    }
    if (is_watched) {
        out_progress_end();
    }
    sl_thread_join(&thread);
    bench_times after = bench_machine_times();
    double all = after.all - before.all;
    plan->stolen = all > 0 && after.stolen >= 0 ? (after.stolen - before.stolen) / all : -1;
    plan->busy_after = busy_share(self);
    plan->took_ns = sl_clock_now_ns(sl_clock_system()) - began_ns;
    return SLUICE_OK;
}

/* What a machine has not got enough of is no failure; nor is a service that may not go where our
 * far processes listen. */
static bool is_failure(const command *self, int status) {
    return status != SLUICE_OK && status != SLUICE_EOSLIMIT && status != SLUICE_EQUOTA &&
           !(self->attach && status == SLUICE_EACCESS);
}

static int verdict(const command *self) {
    const bench_plan *plan = &self->plan;
    bool failed = plan->with_memory && is_failure(self, plan->memory.status);
    for (unsigned i = 0; i < plan->row_count; i++) {
        failed = failed || is_failure(self, plan->results[i].status) ||
                 (plan->strict && bench_missed(plan, &plan->results[i]));
    }
    return failed ? CLI_EXIT_FOUND : CLI_EXIT_OK;
}

/* Do the rows need a broker? Those of the engine do not. */
static bool needs_broker(const bench_plan *plan) {
    bool needs = plan->with_memory;
    for (unsigned i = 0; i < plan->row_count; i++) {
        needs = needs || plan->rows[i]->work < BENCH_LOOP_ECHO;
    }
    return needs;
}

static int run(command *self) {
    const char *name = self->plan.program->name;
    bench_plan *plan = &self->plan;
    if (!choose(self)) {
        out_complain("%s: no case begins with \"%s\" (see: %s --list)\n", name, self->only_case,
                     name);
        return CLI_EXIT_USAGE;
    }
    if (!set_stage(self)) {
        return CLI_EXIT_FOUND;
    }
    bench_machine_words(plan->machine, sizeof(plan->machine));
    int status = sl_event_init(&self->done);
    int opened = status == SLUICE_OK && needs_broker(plan) ? open_broker(self) : SLUICE_OK;
    if (opened != SLUICE_OK) {
        sl_event_deinit(&self->done);
        (void)sluice_session_close(self->holder);
        return session_exit_code(opened);
    }
    if (status == SLUICE_OK) {
        status = run_all(self);
        sl_event_deinit(&self->done);
    }
    (void)sluice_session_close(self->holder);
    if (status != SLUICE_OK) {
        out_complain("%s: %s\n", name, sl_status_sentence(status));
        return CLI_EXIT_FOUND;
    }
    return bench_report(plan) ? verdict(self) : CLI_EXIT_FOUND;
}

int bench_main(const bench_program *program, int count, char **argv) {
    static command self;
    if (count > 0 && strcmp(argv[0], "--far") == 0) {
        return bench_far_serve(count - 1, argv + 1); /* we are a far process */
    }
    self.plan.program = program;
    self.plan.rounds = 15;
    self.plan.round_ns = 60 * SL_NS_PER_MS;
    args_verdict verdict_of_args = parse(&self, count, argv);
    if (verdict_of_args != ARGS_RUN) {
        return verdict_of_args == ARGS_SHOWN ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    if (self.list) {
        show_list(program);
        return CLI_EXIT_OK;
    }
    return run(&self);
}
