/*
 * level_program_posix.c - sluiced itself: its start, its log, its signals, its end.
 *
 * Each run is a process of its own, forked from this one, which has no threads: it runs the
 * program's main with the fault that was planned here. Another one visits it, as a client, as soon
 * as it serves; then it is told to stop. What must hold: it serves in the end, or ends with an exit
 * code that `--help` lists for what failed and a line that says why; no descriptor is open at its
 * end that is not on a good day, no name is left, and the next one starts.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/options.h"
#include "tests/fault/act_client.h"
#include "tests/fault/level.h"

#define WAIT_MS    ((int)(SCRIPT_WAIT_NS / SL_NS_PER_MS))
/* A program without memory for ever need not serve anybody: when it is told to end. */
#define GIVE_UP_MS 300
#define TEXT_BYTES 65536u
#define PIPE_BYTES 4096
#define WORDS_MAX  12u
#define FEW        1024u /* descriptors: so many numbers are asked for what is taken */
#define MORE       2048u /* here the system's list is read */

extern int sluiced_main(int argc, char **argv); /* broker/main.c */

/* ---- acts ------------------------------------------------------------------------------------ */

static char endpoint[ENGINE_PIPE_NAME_BYTES];
static char config_file[ENGINE_PIPE_NAME_BYTES];
static char log_file[ENGINE_PIPE_NAME_BYTES];
static char log_word[ENGINE_PIPE_NAME_BYTES + 16]; /* the same, by links */
static char own_endpoint[ENGINE_PIPE_NAME_BYTES]; /* in a folder of its own */
static char client_word[32];

typedef enum program_end {
    END_BY_SIGNAL,
    END_WITH_CLIENT, /* the process that it is private for */
    END_BY_ITSELF
} program_end;

typedef struct program_act {
    const char *name;
    const char *words[WORDS_MAX];
    program_end end;
    bool by_descriptor; /* it knows that process by */
    bool is_default;    /* its endpoint is the one of this user */
    bool has_folder;    /* ... own_endpoint, whose folder is to go with it */
} program_act;

static const program_act acts[] = {
    {.name = "service",
     .words = {"run", "--config", config_file, "--log-file", log_word, "--endpoint", endpoint,
               "--allow", "root", "--allow-as-root"}},
    {.name = "default endpoint", .words = {"run", "--workers", "1"}, .is_default = true},
    {.name = "private, by descriptor",
     .words = {"run", "--config", config_file, "--endpoint", endpoint, "--private-for",
               client_word},
     .end = END_WITH_CLIENT,
     .by_descriptor = true},
    {.name = "private, by process, with a life line",
     .words = {"run", "--config", config_file, "--endpoint", own_endpoint, "--private-for",
               client_word, "--life-line", client_word},
     .end = END_WITH_CLIENT,
     .has_folder = true},
    {.name = "help into a full pipe", .words = {"--help"}, .end = END_BY_ITSELF},
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
    bool says_why; /* in the system's words, when it does not start */
} expectations[] = {
    {"broker/startup_posix.c:startup_process:", CODE(OK), false},
    {"broker/control_watch_posix.c:control_watch_ignores:", CODE(OK), false},
    {"broker/startup_posix.c:get_limit:", CODE(OK), false},
    {"broker/startup_posix.c:count_inherited:", CODE(OK), false},
    {"broker/startup_posix.c:count_listed:", CODE(OK), false},
    {"broker/startup_posix.c:startup_pipe_pages:", CODE(OK), false},
    {"broker/startup_posix.c:startup_remove_folder:", CODE(OK), false},
    {"broker/startup_posix.c:startup_read_file:close", CODE(OK) | CODE(CONFIG), false},
    {"broker/startup_posix.c:startup_read_file:", CODE(CONFIG), true},
    {"broker/startup_posix.c:read_all:", CODE(OK) | CODE(CONFIG), true},
    {"broker/startup_posix.c:check_given:", CODE(OK), false},
    {"base/own_dir_posix.c:find_runtime_dir:", CODE(OK) | CODE(ENDPOINT), true},
    {"base/own_dir_posix.c:", CODE(ENDPOINT), true},
    {"broker/startup_posix.c:find_allowed:", CODE(FAILED), true},
    {"broker/control_watch_posix.c:open_process:fcntl", CODE(USAGE), false},
    {"broker/control_watch_posix.c:open_process:", CODE(OK) | CODE(FAILED), false},
    {"broker/control_watch_posix.c:on_closed:", CODE(OK), false},
    {"broker/control", CODE(FAILED), false},
    {"base/sink_posix.c:sl_sink_prepare:open", CODE(FAILED), true},
    {"base/sink_posix.c:sl_sink_prepare:", CODE(OK), false},
    {"base/own_file_posix.c:enter:close", CODE(OK), false},
    {"base/own_file_posix.c:sl_own_file_append:close", CODE(OK) | CODE(LOG), false},
    {"base/own_file_posix.c:step:close", CODE(OK) | CODE(LOG), false},
    {"base/own_file_posix.c:", CODE(LOG), true},
    {"base/sink_posix.c:", CODE(OK) | CODE(FAILED), false},
    /* Those of the engine, and memory. */
    {"", CODE(OK) | CODE(FAILED) | CODE(ENDPOINT) | CODE(ENGINE), false},
};

/* NULL: any allocation, wherever it is. */
static const struct expectation *expectation_of(const fault_site *site) {
    const struct expectation *e = expectations;
    const char *name = site != NULL ? site->name : "memory";
    while (strncmp(name, e->site, strlen(e->site)) != 0) {
        e++;
    }
    return e;
}

/* It writes its complaints there: then there is none to read. */
static bool is_where_it_complains(const fault_site *site) {
    static const char *const names[] = {"base/sink_posix.c:sl_sink_write:",
                                        "base/sink_posix.c:wait_writable:"};
    bool is_it = false;
    for (unsigned i = 0; site != NULL && i < SL_ARRAY_COUNT(names); i++) {
        is_it = is_it || strncmp(site->name, names[i], strlen(names[i])) == 0;
    }
    return is_it;
}

/* ---- processes ------------------------------------------------------------------------------- */

typedef struct child {
    pid_t id;
    int pidfd;
} child;

/* What a program tells at its end. */
typedef struct report {
    unsigned descriptors;
} report;

static report *reported;
static unsigned usual_descriptors[SL_ARRAY_COUNT(acts)];
static char text[TEXT_BYTES]; /* all that the last program said */

/* True in the child, which must exit. It ends with its parent, however that ends. */
static bool start_child(child *c) {
    (void)fflush(NULL);
    c->id = fork();
    EXPECT(c->id >= 0);
    if (c->id == 0) {
        EXPECT(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        return true;
    }
    c->pidfd = pidfd_open(c->id, 0);
    EXPECT(c->pidfd >= 0);
    return false;
}

/* Returns the status of waitpid. */
static int collect(child *c) {
    struct pollfd end = {.fd = c->pidfd, .events = POLLIN};
    int status;
    EXPECT(poll(&end, 1, WAIT_MS) == 1 && waitpid(c->id, &status, 0) == c->id);
    EXPECT(close(c->pidfd) == 0);
    return status;
}

/* Or something else may have happened: it is looked at every millisecond. */
static bool ends_now(const child *c) {
    struct pollfd end = {.fd = c->pidfd, .events = POLLIN};
    return poll(&end, 1, 1) == 1;
}

static void run_program(const program_act *act, int output) {
    char words[WORDS_MAX + 1][ENGINE_PIPE_NAME_BYTES];
    char *argv[WORDS_MAX + 2];
    int argc = 0;
    struct rlimit limit;
    EXPECT(dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0);
    EXPECT(close(output) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t most = act->is_default ? MORE : FEW;
    limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : most;
    limit.rlim_cur = limit.rlim_max - 1; /* which it raises */
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (unsigned i = 0; i == 0 || act->words[i - 1] != NULL; i++) {
        (void)snprintf(words[i], sizeof(words[i]), "%s", i == 0 ? "sluiced" : act->words[i - 1]);
        argv[argc++] = words[i];
    }
    argv[argc] = NULL;
    int code = sluiced_main(argc, argv);
    reported->descriptors = script_count_handles();
    exit(code);
}

/* Again and again until it is served, or is killed: the fault may strike it, too, once. */
static void visit(const child *program, const char *name) {
    uint64_t end_ns = script_now_ns() + 2 * SCRIPT_WAIT_NS;
    fault_end(); /* nothing of this process fails */
    while (access(name, F_OK) != 0 /* cheaper */ || !act_client_is_served(name)) {
        EXPECT(script_now_ns() < end_ns);
        (void)ends_now(program); /* then we are killed */
    }
    exit(0);
}

/* ---- one run --------------------------------------------------------------------------------- */

static void write_config(void) {
    FILE *file = fopen(config_file, "w");
    EXPECT(file != NULL && fputs("workers = 1\nlog_level = debug\n", file) >= 0);
    EXPECT(fclose(file) == 0);
}

static void default_endpoint(char ret_name[ENGINE_PIPE_NAME_BYTES]) {
    int length = snprintf(ret_name, ENGINE_PIPE_NAME_BYTES, "%s/sluice/broker",
                          getenv("XDG_RUNTIME_DIR"));
    EXPECT(length > 0 && length < ENGINE_PIPE_NAME_BYTES);
}

/* How many names are left that should not be; they are removed. */
static unsigned tidy_up(void) {
    static const char *const names[] = {"", ".lock", ".bound"};
    char name[ENGINE_PIPE_NAME_BYTES + 8];
    unsigned left = 0;
    (void)unlink(config_file);
    (void)unlink(log_file);
    left += script_count_names();
    for (unsigned i = 0; i < SL_ARRAY_COUNT(names); i++) {
        default_endpoint(name);
        (void)strcat(name, names[i]);
        left += unlink(name) == 0;
    }
    default_endpoint(name);
    *strrchr(name, '/') = '\0';
    (void)rmdir(name);
    EXPECT(access(name, F_OK) != 0);
    return left;
}

/* A pipe that takes nothing before it is read; as non-blocking as whoever shares it made it. */
static void make_full_pipe(int ret_ends[2]) {
    static const char bytes[PIPE_BYTES];
    EXPECT(pipe2(ret_ends, O_CLOEXEC | O_NONBLOCK) == 0);
    EXPECT(fcntl(ret_ends[1], F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES);
    EXPECT(write(ret_ends[1], bytes, sizeof(bytes)) == PIPE_BYTES);
}

/* Where a program waits for room; NULL where only memory fails. */
static fault_site *waiting_site(void) {
    for (unsigned i = 0; i < fault_site_count(); i++) {
        if (strcmp(fault_site_at(i)->name, "base/sink_posix.c:wait_writable:poll") == 0) {
            return fault_site_at(i);
        }
    }
    return NULL;
}

/* Reads what the program writes once it waits; `text` is what came behind the filling. */
static void read_full_pipe(const child *program, int fd, fault_site *site, uint32_t before) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    size_t length = 0;
    ssize_t count;
    while (site != NULL && atomic_load(&site->all_hits) == before && !ends_now(program)) {
        EXPECT(script_now_ns() < end_ns);
    }
    do {
        EXPECT(poll(&ready, 1, WAIT_MS) == 1 && length + PIPE_BYTES < TEXT_BYTES);
        count = read(fd, text + length, PIPE_BYTES);
        EXPECT(count >= 0);
        length += (size_t)count;
    } while (count > 0);
    EXPECT(length >= PIPE_BYTES && close(fd) == 0);
    memmove(text, text + PIPE_BYTES, length - PIPE_BYTES);
    text[length - PIPE_BYTES] = '\0';
}

static void read_output(int fd) {
    ssize_t count = pread(fd, text, sizeof(text) - 1, 0);
    EXPECT(count >= 0 && close(fd) == 0);
    text[count] = '\0';
}

/* Returns its status, of waitpid; what it said is in `text`. */
static int run_help(const program_act *act, child *program) {
    int ends[2];
    fault_site *site = waiting_site();
    uint32_t before = site != NULL ? atomic_load(&site->all_hits) : 0;
    make_full_pipe(ends);
    if (start_child(program)) {
        (void)close(ends[0]);
        run_program(act, ends[1]);
    }
    EXPECT(close(ends[1]) == 0);
    read_full_pipe(program, ends[0], site, before);
    return collect(program);
}

/* The same of one that serves. */
static int run_service(const program_act *act, bool goes_on, bool *ret_has_served) {
    child program;
    child visitor;
    child client = {.id = -1, .pidfd = -1};
    char name[ENGINE_PIPE_NAME_BYTES];
    memcpy(name, endpoint, sizeof(name));
    if (act->is_default) {
        default_endpoint(name);
    } else if (act->has_folder) {
        memcpy(name, own_endpoint, sizeof(name));
    }
    int output = memfd_create("output", 0);
    EXPECT(output >= 0);
    if (act->end == END_WITH_CLIENT) {
        if (start_child(&client)) {
            (void)pause();
            _exit(0);
        }
        (void)snprintf(client_word, sizeof(client_word), "%s%d", act->by_descriptor ? "fd:" : "",
                       act->by_descriptor ? client.pidfd : (int)client.id);
    }
    if (start_child(&program)) {
        run_program(act, output);
    }
    if (start_child(&visitor)) {
        visit(&program, name);
    }
    struct pollfd first[] = {{.fd = program.pidfd, .events = POLLIN},
                             {.fd = visitor.pidfd, .events = POLLIN}};
    EXPECT(poll(first, SL_ARRAY_COUNT(first), goes_on ? GIVE_UP_MS : WAIT_MS) > 0 || goes_on);
    if (first[1].revents == 0) {
        (void)kill(visitor.id, SIGKILL); /* nobody will serve it */
    }
    *ret_has_served = collect(&visitor) == 0;
    EXPECT(*ret_has_served || first[1].revents == 0);
    if (act->end == END_WITH_CLIENT) {
        EXPECT(kill(client.id, SIGKILL) == 0);
        (void)collect(&client);
    } else {
        EXPECT(kill(program.id, SIGTERM) == 0);
    }
    int status = collect(&program);
    read_output(output);
    return status;
}

typedef struct outcome {
    unsigned code;
    bool has_served;
    unsigned names; /* left over */
} outcome;

static void own_folder(char ret_path[ENGINE_PIPE_NAME_BYTES]) {
    memcpy(ret_path, own_endpoint, ENGINE_PIPE_NAME_BYTES);
    *strrchr(ret_path, '/') = '\0';
}

static void make_folder(void) {
    char path[ENGINE_PIPE_NAME_BYTES];
    own_folder(path);
    EXPECT(mkdir(path, 0700) == 0);
}

/* false: it was gone already. */
static bool remove_folder(void) {
    char path[ENGINE_PIPE_NAME_BYTES];
    char lock[ENGINE_PIPE_NAME_BYTES + sizeof(".lock")];
    own_folder(path);
    (void)snprintf(lock, sizeof(lock), "%s.lock", own_endpoint);
    (void)unlink(own_endpoint);
    (void)unlink(lock);
    return rmdir(path) == 0;
}

static outcome play(const program_act *act, bool goes_on) {
    outcome o = {.has_served = false};
    child program;
    write_config();
    if (act->has_folder) {
        make_folder();
    }
    reported->descriptors = 0;
    int status = act->end == END_BY_ITSELF ? run_help(act, &program)
                                           : run_service(act, goes_on, &o.has_served);
    /* Who did not serve may be past looking at signals when ours comes. */
    bool is_stopped_late = goes_on && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
    if (!WIFEXITED(status) && !is_stopped_late) {
        fprintf(stderr, "fault: it was killed by signal %d\n%s", WTERMSIG(status), text);
        EXPECT(!"the program ends by itself");
    }
    o.code = is_stopped_late ? SLUICED_EXIT_OK : (unsigned)WEXITSTATUS(status);
    if (act->has_folder && remove_folder()) {
        o.names = o.has_served; /* else its client clears it away */
    }
    o.names += tidy_up();
    return o;
}

static bool is_good_day(const program_act *act, const outcome *o) {
    bool does_its_work = act->end == END_BY_ITSELF
                             ? strstr(text, "sluiced - the Sluice broker") == text
                             : o->has_served;
    return o->code == SLUICED_EXIT_OK && does_its_work && o->names == 0;
}

static void expect(bool is_so, const char *what, const outcome *o) {
    if (!is_so) {
        fprintf(stderr, "fault: %s; exit code %u, %s, %u names left, %u descriptors, and said:\n%s",
                what, o->code, o->has_served ? "served" : "did not serve", o->names,
                reported->descriptors, text);
        EXPECT(!"what is documented");
    }
}

static void expect_documented(const program_act *act, const outcome *o, const fault_plan *plan) {
    const struct expectation *e = expectation_of(plan->site);
    bool is_ours = e->site[0] != '\0';
    bool is_gone = strcmp(plan->error->name, "ESRCH") == 0; /* its client: it ends at once */
    expect(o->code < 32 && (e->codes & 1u << o->code) != 0, "not that exit code", o);
    if (o->code == SLUICED_EXIT_OK) {
        expect(act->end == END_BY_ITSELF || o->has_served || is_gone || plan->from_then_on,
               "it ended unasked", o);
    } else if (!is_where_it_complains(plan->site)) {
        expect(strstr(text, "sluiced: ") != NULL, "it did not say why", o);
        expect(!e->says_why || strstr(text, strerror(plan->error->value)) != NULL,
               "it did not say what the system said", o);
    }
    bool may_leave = is_ours && strstr(plan->site->name, ":startup_remove_folder:") != NULL;
    expect(o->names == 0 || !is_ours || may_leave, "a name is left", o);
}

static void set_up(void) {
    char *const names[] = {endpoint, config_file, log_file};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(names); i++) {
        engine_address address = script_pipe_address();
        memcpy(names[i], address.pipe, ENGINE_PIPE_NAME_BYTES);
    }
    (void)snprintf(log_word, sizeof(log_word), "/proc/self/root%s", log_file);
    engine_address folder = script_pipe_address();
    int length = snprintf(own_endpoint, sizeof(own_endpoint), "%.200s/broker", folder.pipe);
    EXPECT(length > 0 && (size_t)length < sizeof(own_endpoint));
    reported = fault_share(sizeof(*reported));
    script_client_place();
    for (unsigned i = 0; i < SL_ARRAY_COUNT(acts); i++) {
        outcome o = play(&acts[i], false);
        expect(is_good_day(&acts[i], &o), "it is no good day", &o);
        usual_descriptors[i] = reported->descriptors;
    }
}

static unsigned run(unsigned act, const fault_plan *plans, unsigned count) {
    if (reported == NULL) {
        set_up();
    }
    if (act != 0 && count > 0 && plans[0].site == NULL) {
        return 0; /* they ask for memory at the same places */
    }
    unsigned handles = script_count_handles();
    bool goes_on = count > 0 && plans[0].from_then_on;
    fault_begin(plans, count);
    outcome o = play(&acts[act], goes_on);
    unsigned struck = fault_struck();
    fault_end();
    if (struck == 0) {
        expect(goes_on || is_good_day(&acts[act], &o), "nothing failed", &o);
    } else {
        expect_documented(&acts[act], &o, &plans[struck - 1]);
    }
    /* One that it has inherited may not have come to its owner. */
    unsigned usual = usual_descriptors[act] + (acts[act].by_descriptor ? 1 : 0);
    expect(reported->descriptors <= usual, "a descriptor is left", &o);
    if (!is_good_day(&acts[act], &o)) {
        o = play(&acts[act], false);
        expect(is_good_day(&acts[act], &o), "the next one did not start", &o);
    }
    EXPECT(script_count_handles() == handles);
    return struck;
}

/* They are forked. */
bool level_program_continues(int argc, char **argv, int *ret_code) {
    (void)argc;
    (void)argv;
    (void)ret_code;
    return false;
}

/* The engine's calls at the start of a broker, too: its codes for those. */
static bool is_wanted(unsigned act, const fault_site *site) {
    return act == 0 || expectation_of(site)->site[0] != '\0';
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
