/*
 * launcher.c - see launcher.h. One start at a time. What there is of a broker, from its start to
 * its end, is one object: so its end needs no memory.
 */
#include "client/launcher.h"

#include <string.h>

#include "base/alloc.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "client/core.h"
#include "client/detail.h"
#include "client/errand.h"

/* What a broker has to end by itself before it is killed: nobody is served by it any more. */
#define POLITE_NS (500 * SL_NS_PER_MS)
/* One that was given up is killed at once; so long its end is waited for before another starts,
 * since it may still hold what that one will be asked for (a listener's port). */
#define BEFORE_NS (500 * SL_NS_PER_MS)
/* So long after the beginning of its end, one that is still there is told and killed once more. */
#define AGAIN_NS    (1000 * SL_NS_PER_MS)
#define WORDS_BYTES 80 /* a system's sentence */

struct client_start {
    client_errand errand; /* the start; later the wait for the end */
    sl_event ended;       /* while somebody waits for that */
    client_mail done;
    client_launcher *launcher; /* until the errand is left */
    engine_worker *worker;     /* likewise */
    sl_random *random;
    client_launch_options options;
    client_start *before; /* to be ended first, or NULL */
    uint64_t deadline_ns; /* so long somebody waits for it */
    /* What comes of it. */
    client_launch launch;
    int status;
    uint32_t os_error;
    char detail[SLUICE_DETAIL_BYTES];
};

static uint64_t after_ns(uint64_t delay_ns) {
    return sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), delay_ns);
}

static void close_log(client_start *s) {
    client_launch_log_close(s->options.log);
    s->options.log = CLIENT_LOG_NOWHERE;
}

static void free_start(client_start *s) {
    close_log(s);
    sl_allocator_system()->release(sl_allocator_system(), s, sizeof(*s));
}

/* ---- a broker's end -------------------------------------------------------------------------- */

/* Ends it, and clears away what was left of it. Its folder may be on a file system that does not
 * answer: for a thread that can be spared. false: it has not ended yet. */
static bool stop(client_launch *launch, uint64_t polite_ns, uint64_t deadline_ns) {
    if (!client_launch_end(launch, polite_ns, deadline_ns)) {
        return false;
    }
    client_place_clear(&launch->place);
    client_launch_leave(launch);
    return true;
}

/* A system that refuses to let it be told, or killed, is asked a second time. */
static void await_end(client_errand *errand) {
    client_start *s = SL_CONTAINER_OF(errand, client_start, errand);
    if (!stop(&s->launch, after_ns(POLITE_NS), after_ns(AGAIN_NS))) {
        (void)stop(&s->launch, after_ns(POLITE_NS), SL_CLOCK_NEVER);
    }
}

static void tell_end(client_errand *errand) {
    sl_event_set(&SL_CONTAINER_OF(errand, client_start, errand)->ended);
}

static void dispose_ended(client_errand *errand) {
    client_start *s = SL_CONTAINER_OF(errand, client_start, errand);
    sl_event_deinit(&s->ended);
    free_start(s);
}

/* Without a thread: what the broker leaves behind is not looked at, for its file system may never
 * answer. A later launch clears it away. */
static void end_alone(client_start *s, uint64_t deadline_ns) {
    uint64_t polite_ns = after_ns(POLITE_NS);
    (void)client_launch_end(&s->launch, polite_ns < deadline_ns ? polite_ns : deadline_ns,
                            deadline_ns);
    client_launch_leave(&s->launch);
    free_start(s);
}

/* On a thread that can be spared: the process may not end, nor its folder's file system answer. */
static void end_in_time(client_start *s, uint64_t deadline_ns) {
    if (sl_event_init(&s->ended) != SLUICE_OK) {
        end_alone(s, deadline_ns);
        return;
    }
    s->errand = (client_errand){.run = await_end, .on_done = tell_end, .dispose = dispose_ended};
    if (client_errand_start(&s->errand, "sluice-buries") != SLUICE_OK) {
        sl_event_deinit(&s->ended);
        end_alone(s, deadline_ns);
        return;
    }
    if (sl_event_wait_until(&s->ended, deadline_ns) || !client_errand_leave(&s->errand)) {
        client_errand_settle(&s->errand);
        dispose_ended(&s->errand);
    }
}

/* On the thread of a start. s may be NULL. */
static void end_before(client_start *s, uint64_t deadline_ns) {
    if (s != NULL) {
        if (stop(&s->launch, 0, deadline_ns)) {
            free_start(s);
        } else {
            end_in_time(s, 0); /* left to another thread */
        }
    }
}

/* ---- a broker's start: the launch thread ----------------------------------------------------- */

/* What is to be said, in parts; the last may be cut. */
static void say(client_start *s, const char *const parts[], size_t count) {
    char detail[SLUICE_DETAIL_BYTES];
    sl_text text;
    sl_text_init(&text, detail, sizeof(detail) - 1);
    for (size_t i = 0; i < count; i++) {
        sl_text_append(&text, parts[i]);
    }
    detail[text.length] = '\0';
    client_detail_copy(s->detail, sizeof(s->detail), detail);
}

/* Into options.path. SLUICE_OK, ENOBROKER with the detail. */
static int find(client_start *s) {
    char tried_text[SLUICE_DETAIL_BYTES];
    char passed_text[SLUICE_DETAIL_BYTES];
    sl_text tried;
    sl_text passed;
    sl_text_init(&tried, tried_text, sizeof(tried_text) - 1);
    sl_text_init(&passed, passed_text, sizeof(passed_text) - 1);
    if (client_launch_find(s->options.path, sizeof(s->options.path), &tried, &passed) ==
        SLUICE_OK) {
        return SLUICE_OK;
    }
    s->options.path[0] = '\0';
    tried_text[tried.length] = '\0';
    passed_text[passed.length] = '\0';
    const char *const parts[] = {"no sluiced that can be trusted was found; set broker_path. ",
                                 passed.length > 0 ? "Passed over: " : "", passed_text,
                                 passed.length > 0 ? ". Tried: " : "Tried: ", tried_text};
    say(s, parts, SL_ARRAY_COUNT(parts));
    return SLUICE_ENOBROKER;
}

/* Which file, and why not. Returns the status as the program is told it. */
static int explain_refusal(client_start *s, int status, client_launch_step step) {
    const client_launch_options *options = &s->options;
    bool is_handle = step == CLIENT_LAUNCH_LOG && options->log_path[0] == '\0';
    bool is_absent = status == SLUICE_ENOTFOUND;
    char words[WORDS_BYTES];
    const char *parts[] = {"sluiced cannot be started", ": ", words, ": ", options->path};
    client_launch_words(s->os_error, words, sizeof(words));
    switch (step) {
    case CLIENT_LAUNCH_LOG:
        parts[0] = is_handle ? "the log cannot be copied" : "private_log cannot be opened";
        parts[4] = options->log_path;
        status = is_absent ? SLUICE_EINVAL : status;
        break;
    case CLIENT_LAUNCH_LOG_UNREAD:
        parts[0] = "private_log cannot be opened";
        parts[2] = "nobody reads that FIFO";
        parts[4] = options->log_path;
        status = SLUICE_EINVAL;
        break;
    case CLIENT_LAUNCH_FOLDER:
        parts[2] = "that is a folder";
        status = SLUICE_ENOBROKER;
        break;
    case CLIENT_LAUNCH_NULL_DEVICE:
        parts[0] = "sluiced cannot be started without the null device (/dev/null, NUL)";
        status = is_absent ? SLUICE_EOS : status;
        break;
    case CLIENT_LAUNCH_INTERPRETER:
        parts[2] = "the interpreter that its file names is not there";
        status = SLUICE_ENOBROKER;
        break;
    case CLIENT_LAUNCH_PROGRAM:
        if (is_absent) {
            const char *const absent[] = {"there is no program at ", options->path};
            say(s, absent, SL_ARRAY_COUNT(absent));
            return SLUICE_ENOBROKER;
        }
        break;
    }
    bool has_path = !is_handle && step != CLIENT_LAUNCH_NULL_DEVICE;
    say(s, parts, has_path ? SL_ARRAY_COUNT(parts) : 3);
    return status;
}

static int launch(client_start *s) {
    client_launch_step step;
    int refused = SL_FAILPOINT(client, launch);
    if (refused != SLUICE_OK) {
        client_detail_copy(s->detail, sizeof(s->detail), "a failpoint");
        return refused;
    }
    end_before(s->before, after_ns(BEFORE_NS));
    s->before = NULL;
    if (s->options.path[0] == '\0' && find(s) != SLUICE_OK) {
        return SLUICE_ENOBROKER;
    }
    uint64_t random[2];
    s->random->fill(s->random, random, sizeof(random));
    int status = client_place_make(&s->launch.place, random, s->deadline_ns, s->detail,
                                   sizeof(s->detail), &s->os_error);
    if (status != SLUICE_OK) {
        return status;
    }
    status = client_launch_start(&s->launch, &s->options, &step, &s->os_error);
    /* What there is of it stays: client_launch_interrupt may be looking at it. */
    return status == SLUICE_OK ? status : explain_refusal(s, status, step);
}

static void run_start(client_errand *errand) {
    client_start *s = SL_CONTAINER_OF(errand, client_start, errand);
    s->status = launch(s);
}

static void on_start_done(client_errand *errand) {
    client_start *s = SL_CONTAINER_OF(errand, client_start, errand);
    client_core_post(s->worker, &s->done);
}

/* Nobody waits for it any more. */
static void dispose_start(client_errand *errand) {
    client_start *s = SL_CONTAINER_OF(errand, client_start, errand);
    end_before(s->before, SL_CLOCK_NEVER);
    (void)stop(&s->launch, after_ns(POLITE_NS), SL_CLOCK_NEVER);
    free_start(s);
}

/* ---- the I/O thread -------------------------------------------------------------------------- */

void client_launcher_init(client_launcher *launcher, sl_random *random,
                          const client_launch_options *options) {
    memset(launcher, 0, sizeof(*launcher));
    launcher->random = random;
    launcher->options = *options;
}

/* Nobody may want the broker any more: then it is let go here, and ended with the session or by the
 * next start. */
static void on_done(client_core *core, client_mail *mail) {
    client_start *s = SL_CONTAINER_OF(mail, client_start, done);
    client_launcher *l = s->launcher;
    client_errand_settle(&s->errand);
    close_log(s);
    l->start = NULL;
    l->broker = s;
    if (core->phase != CLIENT_LAUNCHING) {
        client_launch_let_go(&s->launch);
    }
    client_core_launched(core, s->status, s->os_error, s->launch.process_id,
                         s->launch.place.endpoint, s->detail);
}

static void on_refused(client_core *core, client_mail *mail) {
    client_launcher *l = SL_CONTAINER_OF(mail, client_launcher, refused);
    l->is_refused = false;
    client_core_launched(core, l->refusal, 0, 0, "",
                         l->refusal == SLUICE_ENOMEM
                             ? "no memory to start a private broker with"
                             : "no thread or descriptor to start a private broker with, or too "
                               "many starts that do not come back");
}

/* SLUICE_OK: `done` will come. */
static int start(client_launcher *l, uint64_t deadline_ns) {
    client_start *s = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*s));
    if (s == NULL) {
        return SLUICE_ENOMEM;
    }
    s->errand =
        (client_errand){.run = run_start, .on_done = on_start_done, .dispose = dispose_start};
    s->done.on_core = on_done;
    s->launcher = l;
    s->worker = l->worker;
    s->random = l->random;
    s->options = l->options;
    s->before = l->broker;
    s->deadline_ns = deadline_ns;
    s->os_error = 0;
    s->detail[0] = '\0';
    client_launch_init(&s->launch);
    int status = client_launch_log_copy(l->options.log, &s->options.log); /* it may outlive ours */
    if (status == SLUICE_OK) {
        status = client_errand_start(&s->errand, "sluice-launch");
    }
    if (status != SLUICE_OK) {
        free_start(s);
        return status;
    }
    l->broker = NULL;
    l->start = s;
    return SLUICE_OK;
}

void client_launcher_start(client_launcher *l, engine_worker *worker, uint64_t deadline_ns) {
    l->worker = worker;
    l->refused.on_core = on_refused;
    if (l->start != NULL) {
        return; /* the one before has yet to come back, and will do */
    }
    int status = start(l, deadline_ns);
    if (status != SLUICE_OK && !l->is_refused) {
        l->is_refused = true;
        l->refusal = status;
        client_core_post(worker, &l->refused);
    }
}

bool client_launcher_has_ended(const client_launcher *l) {
    return l->broker == NULL || client_launch_has_ended(&l->broker->launch);
}

uint64_t client_launcher_process_id(const client_launcher *l) {
    return l->broker != NULL ? l->broker->launch.process_id : 0;
}

static void set_reason(sl_reason *ret_reason, const char *const parts[3]) {
    sl_text text;
    sl_text_init(&text, ret_reason->text, sizeof(ret_reason->text) - 1);
    for (unsigned i = 0; i < 3; i++) {
        sl_text_append(&text, parts[i]);
    }
    ret_reason->text[text.length] = '\0';
}

void client_launcher_explain_start(client_launcher *l, sl_reason *ret_reason) {
    const char *parts[3] = {"the system has not started the private broker in time", "", ""};
    if (l->start == NULL) {
        return;
    }
    const client_launch_options *options = &l->start->options;
    uint32_t at = atomic_load(&l->start->launch.at); /* then the path is written */
    if (at == CLIENT_LAUNCH_LOG && options->log_path[0] != '\0') {
        parts[1] = "; it is still opening private_log: ";
        parts[2] = options->log_path;
    } else if (at == CLIENT_LAUNCH_PROGRAM) {
        parts[1] = "; it is still starting ";
        parts[2] = options->path;
    }
    set_reason(ret_reason, parts);
}

void client_launcher_explain_end(client_launcher *l, sl_reason *ret_reason) {
    char words[WORDS_BYTES];
    if (l->broker == NULL) {
        return;
    }
    client_launch_exit_words(&l->broker->launch, words, sizeof(words));
    const char *const parts[3] = {"the private broker ended before it was reached", words,
                                  l->broker->options.path};
    set_reason(ret_reason, parts);
}

bool client_launcher_leave(client_launcher *l) {
    if (l->start != NULL) {
        client_start *s = l->start;
        client_launch_interrupt(&s->launch); /* while it is still ours to look at */
        if (client_errand_leave(&s->errand)) {
            l->start = NULL;
        }
    }
    return l->start == NULL && !l->is_refused;
}

void client_launcher_stop(client_launcher *l, uint64_t deadline_ns) {
    if (l->broker != NULL) {
        end_in_time(l->broker, deadline_ns);
        l->broker = NULL;
    }
    client_launch_log_close(l->options.log);
}
