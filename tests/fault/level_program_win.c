/*
 * level_program_win.c - sluiced itself on Windows: its start, its log, its service, its end.
 *
 * Each run is this program started once more, with the command line of sluiced and, in memory that
 * it shares with this process, an order: which calls are to fail. It runs sluiced's main, with a
 * service manager of the test's (scm_win.c), and tells what it counted. This process visits it as a
 * client; nothing fails here. What must hold: it serves in the end, or ends with an exit code that
 * `--help` lists for what failed and a line that says why; nothing of the service manager is left
 * open, no half-made service is left, and the next one starts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "broker/options.h"
#include "tests/fault/act_client.h"
#include "tests/fault/level.h"
#include "tests/fault/scm_win.h"

#define ORDER_NAME "SLUICE_FAULT_ORDER" /* the environment: a handle of shared memory, or "wait" */
#define WAIT_MS    ((DWORD)(SCRIPT_WAIT_NS / SL_NS_PER_MS))
#define LOOK_MS    2
#define TEXT_BYTES 65536u
#define WORDS_CHARS 4096

extern int sluiced_main(int argc, char **argv); /* broker/main.c */

/* ---- acts ------------------------------------------------------------------------------------ */

static char endpoint[ENGINE_PIPE_NAME_BYTES];
static char place[MAX_PATH]; /* %ProgramData% of the program */
static char config_file[MAX_PATH];
static char log_file[MAX_PATH];
static char output_file[MAX_PATH];
static char client_word[32];

typedef enum program_end { END_BY_SERVICE, END_WITH_CLIENT, END_BY_ITSELF } program_end;

typedef struct program_act {
    const char *name;
    const char *words; /* %C, %L, %E, %P: configuration, log, endpoint, the client's process */
    const char *says;  /* on a good day */
    program_end end;
    bool by_handle;     /* it knows that process by */
    DWORD service;      /* what the manager knows of the service before */
    bool leaves_service;
    bool is_wine;
} program_act;

static const program_act acts[] = {
    {.name = "service",
     .words = "service run --config \"%C\" --log-file \"%L\" --endpoint %E --allow S-1-1-0 "
              "--allow Everyone",
     .service = SERVICE_STOPPED,
     .leaves_service = true},
    {.name = "private, by handle",
     .words = "run --config \"%C\" --endpoint %E --private-for %P",
     .end = END_WITH_CLIENT,
     .by_handle = true},
    {.name = "private, by process",
     .words = "run --config \"%C\" --endpoint %E --private-for %P",
     .end = END_WITH_CLIENT},
    {.name = "help", .words = "--help", .says = "sluiced - the Sluice broker",
     .end = END_BY_ITSELF},
    {.name = "install",
     .words = "service install --config \"%C\" --endpoint %E --allow S-1-1-0",
     .says = ": installed\n",
     .end = END_BY_ITSELF,
     .leaves_service = true},
    {.name = "install under Wine",
     .words = "service install --endpoint %E --allow S-1-1-0",
     .says = ": installed (Wine runs it as this user)\n",
     .end = END_BY_ITSELF,
     .leaves_service = true,
     .is_wine = true},
    {.name = "start", .words = "service start", .says = ": running\n", .end = END_BY_ITSELF,
     .service = SERVICE_STOPPED, .leaves_service = true},
    {.name = "stop", .words = "service stop", .says = ": stopped\n", .end = END_BY_ITSELF,
     .service = SERVICE_RUNNING, .leaves_service = true},
    {.name = "status", .words = "service status", .says = ": running, process ",
     .end = END_BY_ITSELF, .service = SERVICE_RUNNING, .leaves_service = true},
    {.name = "uninstall", .words = "service uninstall", .says = ": uninstalled\n",
     .end = END_BY_ITSELF, .service = SERVICE_RUNNING},
};

static unsigned count_acts(void) {
    return SL_ARRAY_COUNT(acts);
}

static const char *act_name(unsigned act) {
    return acts[act].name;
}

/* ---- what may come of it --------------------------------------------------------------------- */

#define CODE(name) (1u << SLUICED_EXIT_##name)

/* By the beginning of a site's name; the first that fits. */
static const struct expectation {
    const char *site;
    unsigned codes;
    bool says_why;     /* by the number of the system's error, when it does not start */
    const char *error; /* NULL = any */
} expectations[] = {
    {"broker/startup_win.c:startup_process:", CODE(OK), false, NULL},
    {"broker/startup_win.c:startup_read_file:CloseHandle", CODE(OK), false, NULL},
    {"broker/startup_win.c:startup_read_file:", CODE(CONFIG), true, NULL},
    {"broker/startup_win.c:is_system:CloseHandle", CODE(OK), false, NULL},
    {"broker/startup_win.c:is_system:", CODE(FAILED), true, NULL},
    {"broker/startup_win.c:find_sid:", CODE(USAGE), false, "ERROR_NONE_MAPPED"},
    {"broker/startup_win.c:find_sid:", CODE(FAILED), true, NULL},
    {"broker/control_watch_win.c:open_process:OpenProcess", CODE(OK), false,
     "ERROR_INVALID_PARAMETER"},
    {"broker/control_watch_win.c:open_process:OpenProcess", CODE(FAILED), false, NULL},
    {"broker/control_watch_win.c:open_process:", CODE(USAGE), false, NULL},
    {"broker/control_watch_win.c:control_watch_open:", CODE(FAILED), false, NULL},
    {"broker/control_watch_win.c:control_watch_close:", CODE(OK), false, NULL},
    {"broker/service_run_win.c:report:", CODE(OK), false, NULL},
    {"broker/service_run_win.c:on_request:", CODE(OK), false, NULL},
    {"broker/service_run_win.c:service_main:", CODE(SERVICE), true, NULL},
    {"broker/service_run_win.c:", CODE(SERVICE), false, NULL},
    {"broker/service_place_win.c:place_check:CloseHandle", CODE(OK), false, NULL},
    {"broker/service_place_win.c:", CODE(SERVICE), true, NULL},
    {"broker/service_win.c:is_wine:", CODE(OK), false, NULL},
    {"broker/service_win.c:service_manage:CloseServiceHandle", CODE(OK), false, NULL},
    {"broker/service_win.c:wide_full_path:", CODE(SERVICE), true, NULL},
    {"broker/service_win.c:query:", CODE(OK) | CODE(SERVICE), true, NULL}, /* uninstall: no need */
    {"broker/service_win.c:stop:", CODE(OK) | CODE(SERVICE), true, NULL}, /* likewise */
    {"broker/service_win.c:install:DeleteService", CODE(SERVICE), false, NULL}, /* of the change */
    {"broker/service_win.c:", CODE(SERVICE), true, NULL},
    {"base/sink_win.c:sl_sink_open_file:CloseHandle", CODE(LOG), false, NULL},
    {"base/sink_win.c:sl_sink_open_file:", CODE(LOG), true, NULL},
    {"base/sink_win.c:", CODE(OK) | CODE(FAILED), false, NULL},
};

/* NULL: one of the engine, or of the program's libraries. */
static const struct expectation *expectation_of(const fault_site *site, const char *error) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(expectations); i++) {
        const struct expectation *e = &expectations[i];
        if (strncmp(site->name, e->site, strlen(e->site)) == 0 &&
            (e->error == NULL || strcmp(e->error, error) == 0)) {
            return e;
        }
    }
    return NULL;
}

/* It writes its complaints by those. */
static bool is_where_it_complains(const fault_site *site) {
    return strncmp(site->name, "base/sink_win.c:", strlen("base/sink_win.c:")) == 0 &&
           strstr(site->name, "open_file") == NULL;
}

/* ---- the program ----------------------------------------------------------------------------- */

/* Between this process and the one it starts: places of the list by their number. */
typedef struct order {
    char sites[MAX_PATH];
    HANDLE stop;
    DWORD service;
    bool is_wine;
    unsigned plan_count;
    struct {
        unsigned site;
        unsigned error;
        uint32_t hit;
    } plans[FAULT_PLANS_MAX];
    /* What it tells. */
    fault_counts counts;
    unsigned open_count;
    bool has_service;
    bool is_told;
} order;

static int obey(order *o, int argc, char **argv) {
    fault_plan plans[FAULT_PLANS_MAX];
    fault_load(o->sites);
    fault_install();
    scm_install(o->service, o->stop, o->is_wine);
    for (unsigned i = 0; i < o->plan_count; i++) {
        fault_site *site = fault_site_at(o->plans[i].site);
        plans[i] = (fault_plan){.site = site, .error = &site->call->errors[o->plans[i].error],
                                .hit = o->plans[i].hit};
    }
    fault_begin(plans, o->plan_count);
    int code = sluiced_main(argc, argv);
    fault_end();
    fault_counts_get(&o->counts);
    o->open_count = scm_open_count();
    o->has_service = scm_has_service();
    o->is_told = true;
    return code;
}

bool level_program_continues(int argc, char **argv, int *ret_code) {
    const char *word = getenv(ORDER_NAME);
    if (word == NULL) {
        return false;
    }
    if (strcmp(word, "wait") == 0) { /* a client of a private broker: until it is ended */
        (void)WaitForSingleObject(GetCurrentProcess(), 2 * WAIT_MS);
        *ret_code = 1;
        return true;
    }
    HANDLE mapping = (HANDLE)(uintptr_t)strtoull(word, NULL, 10);
    order *o = MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, sizeof(*o));
    EXPECT(o != NULL);
    *ret_code = obey(o, argc, argv);
    return true;
}

/* ---- processes ------------------------------------------------------------------------------- */

static SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};
static order *ordered;
static char order_word[32];
static char text[TEXT_BYTES]; /* all that the last program said */

static HANDLE start(const char *words, const char *what, HANDLE output, DWORD *ret_id) {
    static char self[MAX_PATH];
    static char command[WORDS_CHARS];
    STARTUPINFOA startup = {.cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES,
                            .hStdOutput = output, .hStdError = output};
    PROCESS_INFORMATION process;
    EXPECT(GetModuleFileNameA(NULL, self, sizeof(self)) < sizeof(self));
    (void)snprintf(command, sizeof(command), "\"%s\" %s", self, words);
    EXPECT(SetEnvironmentVariableA(ORDER_NAME, what));
    EXPECT(CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process));
    EXPECT(SetEnvironmentVariableA(ORDER_NAME, NULL));
    (void)CloseHandle(process.hThread);
    *ret_id = process.dwProcessId;
    return process.hProcess;
}

static void end_client(HANDLE client) {
    EXPECT(TerminateProcess(client, 1) && WaitForSingleObject(client, WAIT_MS) == WAIT_OBJECT_0);
    (void)CloseHandle(client);
}

static HANDLE start_client(const program_act *act) {
    DWORD id;
    HANDLE client = start("client", "wait", NULL, &id);
    if (act->by_handle) {
        EXPECT(SetHandleInformation(client, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT));
    }
    (void)snprintf(client_word, sizeof(client_word), "%s%llu", act->by_handle ? "handle:" : "",
                   act->by_handle ? (unsigned long long)(uintptr_t)client : id);
    return client;
}

static void put_words(const program_act *act, char ret_words[WORDS_CHARS]) {
    size_t used = 0;
    for (const char *at = act->words; *at != '\0'; at++) {
        const char *word = NULL;
        if (*at == '%') {
            at++;
            word = *at == 'C' ? config_file : *at == 'L' ? log_file : *at == 'E' ? endpoint
                                                                                 : client_word;
        }
        int count = snprintf(ret_words + used, WORDS_CHARS - used, "%.*s",
                             word != NULL ? WORDS_CHARS : 1, word != NULL ? word : at);
        EXPECT(count > 0 && used + (size_t)count < WORDS_CHARS);
        used += (size_t)count;
    }
    ret_words[used] = '\0';
}

/* Until it is served, or the program has ended. */
static bool visit(HANDLE program) {
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    bool is_served = false;
    char marked[ENGINE_PIPE_NAME_BYTES];
    (void)snprintf(marked, sizeof(marked), "%s%s", ENGINE_ENDPOINT_PREFIX_WIN,
                   endpoint + strlen("\\\\.\\pipe\\"));
    while (!is_served && WaitForSingleObject(program, LOOK_MS) == WAIT_TIMEOUT) {
        EXPECT(script_now_ns() < end_ns);
        is_served = WaitNamedPipeA(marked, 1) && act_client_is_served(endpoint);
    }
    return is_served;
}

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct outcome {
    DWORD code;
    bool has_served;
} outcome;

static void read_output(void) {
    FILE *file = fopen(output_file, "rb");
    EXPECT(file != NULL);
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    EXPECT(fclose(file) == 0);
}

static outcome play(const program_act *act, const fault_plan *plans, unsigned count) {
    static char words[WORDS_CHARS];
    outcome o = {.has_served = false};
    HANDLE client = act->end == END_WITH_CLIENT ? start_client(act) : NULL;
    DWORD id;
    HANDLE output = CreateFileA(output_file, GENERIC_WRITE, FILE_SHARE_READ, &inherited,
                                CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    EXPECT(output != INVALID_HANDLE_VALUE && ResetEvent(ordered->stop));
    ordered->service = act->service;
    ordered->is_wine = act->is_wine;
    ordered->is_told = false;
    ordered->plan_count = count;
    for (unsigned i = 0; i < count; i++) {
        ordered->plans[i].site = (unsigned)(plans[i].site - fault_site_at(0));
        ordered->plans[i].error = (unsigned)(plans[i].error - plans[i].site->call->errors);
        ordered->plans[i].hit = plans[i].hit;
    }
    put_words(act, words);
    HANDLE program = start(words, order_word, output, &id);
    o.has_served = act->end != END_BY_ITSELF && visit(program);
    if (client != NULL) {
        end_client(client);
    } else {
        EXPECT(SetEvent(ordered->stop));
    }
    EXPECT(WaitForSingleObject(program, WAIT_MS) == WAIT_OBJECT_0);
    EXPECT(GetExitCodeProcess(program, &o.code));
    EXPECT(CloseHandle(program) && CloseHandle(output));
    read_output();
    return o;
}

static void expect(bool is_so, const char *what, const outcome *o) {
    if (!is_so) {
        fprintf(stderr, "fault: %s; exit code %lu, %s, %u handles left, and said:\n%s\n", what,
                o->code, o->has_served ? "served" : "did not serve", ordered->open_count, text);
        EXPECT(!"what is documented");
    }
}

static bool is_good_day(const program_act *act, const outcome *o) {
    bool does_its_work =
        act->end == END_BY_ITSELF ? strstr(text, act->says) != NULL : o->has_served;
    return o->code == SLUICED_EXIT_OK && does_its_work &&
           ordered->has_service == act->leaves_service;
}

static void expect_documented(const program_act *act, const outcome *o, const fault_plan *plan) {
    const struct expectation *e = expectation_of(plan->site, plan->error->name);
    expect(e != NULL && o->code < 32 && (e->codes & 1u << o->code) != 0, "not that exit code", o);
    if (o->code == SLUICED_EXIT_OK) {
        bool is_gone = strcmp(plan->error->name, "ERROR_INVALID_PARAMETER") == 0; /* its client */
        expect(act->end == END_BY_ITSELF || o->has_served || is_gone, "it ended unasked", o);
    } else if (!is_where_it_complains(plan->site)) {
        char why[32];
        (void)snprintf(why, sizeof(why), "Windows error %ld", (long)plan->error->value);
        expect(strstr(text, "sluiced: ") != NULL, "it did not say why", o);
        expect(!e->says_why || strstr(text, why) != NULL, "it did not say what Windows said", o);
        expect(ordered->has_service == (act->service != 0) ||
                   strstr(plan->site->name, "DeleteService") != NULL,
               "a service is left, or gone", o);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static void leave(void) {
    char log[2 * MAX_PATH];
    (void)DeleteFileA(config_file);
    (void)DeleteFileA(log_file);
    (void)DeleteFileA(output_file);
    (void)snprintf(log, sizeof(log), "%s\\Sluice\\sluice", place);
    (void)RemoveDirectoryA(log);
    (void)snprintf(log, sizeof(log), "%s\\Sluice", place);
    (void)RemoveDirectoryA(log);
    (void)RemoveDirectoryA(place);
}

static void set_up(void) {
    char temporary[MAX_PATH - 64];
    engine_address address = script_pipe_address();
    memcpy(endpoint, address.pipe, sizeof(endpoint));
    EXPECT(GetTempPathA(sizeof(temporary), temporary) < sizeof(temporary));
    (void)snprintf(place, sizeof(place), "%ssluice-fault-%lu", temporary, GetCurrentProcessId());
    (void)snprintf(config_file, sizeof(config_file), "%s.conf", place);
    (void)snprintf(log_file, sizeof(log_file), "%s.log", place);
    (void)snprintf(output_file, sizeof(output_file), "%s.out", place);
    /* One that an aborted run has left will do: Wine gives out process ids again. */
    EXPECT(CreateDirectoryA(place, NULL) || GetLastError() == ERROR_ALREADY_EXISTS);
    EXPECT(atexit(leave) == 0);
    EXPECT(SetEnvironmentVariableA("ProgramData", place));
    FILE *file = fopen(config_file, "w");
    EXPECT(file != NULL && fputs("workers = 1\nlog_level = debug\n", file) >= 0);
    EXPECT(fclose(file) == 0);
    HANDLE mapping = CreateFileMappingA(INVALID_HANDLE_VALUE, &inherited, PAGE_READWRITE, 0,
                                        sizeof(*ordered), NULL);
    EXPECT(mapping != NULL);
    ordered = MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, sizeof(*ordered));
    EXPECT(ordered != NULL);
    (void)snprintf(order_word, sizeof(order_word), "%llu",
                   (unsigned long long)(uintptr_t)mapping);
    (void)snprintf(ordered->sites, sizeof(ordered->sites), "%s", fault_loaded());
    ordered->stop = CreateEventA(&inherited, TRUE, FALSE, NULL);
    EXPECT(ordered->stop != NULL);
}

static unsigned run(unsigned act, const fault_plan *plans, unsigned count) {
    if (ordered == NULL) {
        set_up();
    }
    outcome o = play(&acts[act], plans, count);
    expect(ordered->is_told, "it did not end by itself", &o);
    fault_counts_take(&ordered->counts);
    unsigned struck = fault_struck();
    expect(ordered->open_count == 0, "a handle of the service manager is left", &o);
    if (struck == 0) {
        expect(is_good_day(&acts[act], &o), "nothing failed", &o);
    } else {
        expect_documented(&acts[act], &o, &plans[struck - 1]);
    }
    if (!is_good_day(&acts[act], &o)) {
        fault_counts counts = ordered->counts;
        o = play(&acts[act], NULL, 0);
        expect(is_good_day(&acts[act], &o), "the next one did not start", &o);
        ordered->counts = counts;
    }
    return struck;
}

/* What several acts do alike fails in those alone. */
static const struct common {
    const char *site;
    const char *acts[2];
} commons[] = {
    {"broker/startup_win.c:", {"service", NULL}},
    {"base/sink_win.c:find_handle:GetStdHandle#2", {"private, by process", NULL}}, /* its log */
    {"base/sink_win.c:", {"service", "help"}},
    {"broker/service_win.c:service_manage:", {"start", NULL}},
    {"broker/service_win.c:open_service:", {"start", NULL}},
    {"broker/service_win.c:create_service:CreateServiceW#2", {"install under Wine", NULL}},
};

static bool is_wanted(unsigned act, const fault_site *site) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(commons); i++) {
        const struct common *c = &commons[i];
        if (strncmp(site->name, c->site, strlen(c->site)) == 0) {
            return strcmp(acts[act].name, c->acts[0]) == 0 ||
                   (c->acts[1] != NULL && strcmp(acts[act].name, c->acts[1]) == 0);
        }
    }
    return expectation_of(site, "") != NULL && !acts[act].is_wine;
}

static const char *const claims[] = {"broker/", "base/sink", NULL};

const fault_level level_program = {
    .name = "program",
    .claims = claims,
    .hits = 1,
    .is_wanted = is_wanted,
    .count_acts = count_acts,
    .run = run,
    .act_name = act_name,
};
