/*
 * run.c - see run.h. Start-up in order, unwound in exact reverse; each failure is one line and its
 * own exit code.
 */
#include "broker/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/sink.h"
#include "base/text.h"
#include "base/thread.h"
#include "broker/complaint.h"
#include "broker/control_watch.h"
#include "broker/descriptors.h"
#include "broker/startup_watch.h"

_Static_assert(STARTUP_ALLOW_MAX <= BROKER_ALLOW_MAX, "the broker takes the whole allow list");

#define END_NS (2 * SL_NS_PER_S) /* threads that have ended their work are gone by then */
/* Openers that are about to come back. What the others do nobody waits for: it is left to the end
 * of the process. */
#define OPENERS_NS (20 * SL_NS_PER_MS)
/* The end waits so long for the file system that the endpoint's name is on. Longer than OPENERS_NS;
 * one that answers at all has done so by then. */
#define LEAVE_NS SL_NS_PER_S

/* Alive until the process ends: a stuck thread may still look at it. */
typedef struct run {
    sluiced_config config;
    char endpoint[ENGINE_PIPE_NAME_BYTES];
    startup_allowed allowed;
    sl_log *log;
    control *control;
    uint64_t client_process; /* of a private broker, if it is known; else 0 */
    broker *broker;
    int destroyed;       /* of broker_destroy; read when its thread is back */
    bool is_left_behind; /* a leaving thread is not back: what it works on is in use */
    const run_hooks *hooks;
    char file[CONFIG_FILE_BYTES_MAX];
} run;

static run the_run; /* one a process: 1 MiB is too much for a stack */

static sluiced_exit complain(sluiced_exit code, const char *what) {
    complaint_write(what);
    return code;
}

sluiced_exit run_load_config(const sluiced_options *options, sluiced_config *ret_config) {
    config_error error;
    config_init(ret_config);
    if (options->config_path != NULL) {
        size_t length = 0;
        startup_watch_at("the configuration file", options->config_path, STARTUP_WATCH_FILE_NS);
        if (startup_read_file(options->config_path, the_run.file, sizeof(the_run.file), &length,
                              &error) != SLUICE_OK ||
            config_parse(ret_config, options->config_path, the_run.file, length, &error) !=
                SLUICE_OK) {
            return complain(SLUICED_EXIT_CONFIG, error.text);
        }
        if (config_check(ret_config, &error) != SLUICE_OK) {
            char text[600];
            (void)snprintf(text, sizeof(text), "%.100s: %.450s", options->config_path, error.text);
            return complain(SLUICED_EXIT_CONFIG, text);
        }
    }
    if (options_apply(options, ret_config, &error) != SLUICE_OK ||
        config_check(ret_config, &error) != SLUICE_OK) {
        return complain(SLUICED_EXIT_USAGE, error.text);
    }
    return SLUICED_EXIT_OK;
}

/* For people, who have no raw code to look at. */
static const char *sentence_of(int status) {
    return status == SLUICE_EOS ? "the system refused, for a reason of its own"
                                : sl_status_sentence(status);
}

static sluiced_exit complain_of_status(sluiced_exit code, const char *what, int status) {
    char text[200];
    (void)snprintf(text, sizeof(text), "%s: %s", what, sentence_of(status));
    return complain(code, text);
}

/* About the allow list's row `at`: what stands in a file is the file's fault, and the line's. */
static sluiced_exit complain_of_allow(const sluiced_options *options, const sluiced_config *config,
                                      unsigned at, const char *what) {
    char text[700];
    unsigned line = config->allow_line[at];
    if (line == 0) {
        (void)snprintf(text, sizeof(text), "--allow: %.450s", config_without_name(what, "allow"));
        return complain(SLUICED_EXIT_USAGE, text);
    }
    (void)snprintf(text, sizeof(text), "%.200s:%u: %.450s", options->config_path, line, what);
    return complain(SLUICED_EXIT_CONFIG, text);
}

/* An option that would do nothing is a mistake of whoever gave it. */
static sluiced_exit complain_of_root(const sluiced_options *options) {
    static const char text[] = "allow_as_root without allow: nobody else may connect, so there is "
                               "nothing to insist on";
    for (unsigned i = 0; i < options->assignment_count; i++) {
        if (strcmp(options->assignments[i].name, "allow_as_root") == 0) {
            return complain(SLUICED_EXIT_USAGE, text);
        }
    }
    return complain(SLUICED_EXIT_CONFIG, text);
}

sluiced_exit run_find_allowed(const sluiced_options *options, const sluiced_config *config,
                              startup_allowed *ret_allowed) {
    config_error error;
    int status = startup_access(config, ret_allowed, &error);
    if (status == SLUICE_EOS) { /* nothing is wrong with the list */
        return complain(SLUICED_EXIT_FAILED, error.text);
    }
    return status == SLUICE_OK ? SLUICED_EXIT_OK
                               : complain_of_allow(options, config, ret_allowed->at, error.text);
}

/* ---- up ---- */

/* Asked before the first of them is opened: libuv 1.50 aborts without. */
static sluiced_exit check_descriptors(uint32_t worker_count) {
    uint64_t inherited = 0;
    uint64_t limit = startup_descriptors(&inherited);
    uint64_t needed = descriptors_needed(worker_count);
    if (limit == 0 || limit >= needed + inherited) {
        return SLUICED_EXIT_OK;
    }
    char text[400];
    char taken[80] = "";
    if (inherited > 0) {
        (void)snprintf(taken, sizeof(taken), ", %" PRIu64 " of them taken when it was started",
                       inherited);
    }
    (void)snprintf(text, sizeof(text),
                   "too few descriptors: with %" PRIu32 " %s it needs %" PRIu64 ", and may have "
                   "%" PRIu64 "%s (ulimit -n; LimitNOFILE= of systemd)%s",
                   worker_count, worker_count == 1 ? "worker" : "workers", needed, limit, taken,
                   worker_count > 1 ? ", or give it fewer --workers" : "");
    return complain(SLUICED_EXIT_ENGINE, text);
}

static sluiced_exit prepare(run *r, const sluiced_options *options) {
    sluiced_exit code = check_descriptors(1); /* files take some, too */
    if (code == SLUICED_EXIT_OK) {
        code = run_load_config(options, &r->config);
    }
    if (code != SLUICED_EXIT_OK) {
        return code;
    }
    config_error error;
    startup_watch_at("the log file", r->config.log_file, STARTUP_WATCH_FILE_NS);
    if (r->config.log_file[0] != '\0' &&
        startup_open_log(r->config.log_file, &error) != SLUICE_OK) {
        return complain(SLUICED_EXIT_LOG, error.text);
    }
    code = check_descriptors(broker_workers_of(r->config.worker_count));
    if (code == SLUICED_EXIT_OK) {
        startup_watch_at("the users and groups of the allow list", "", STARTUP_WATCH_NAMES_NS);
        code = run_find_allowed(options, &r->config, &r->allowed);
    }
    if (code == SLUICED_EXIT_OK && r->config.allow_as_root && r->config.allow_count == 0) {
        code = complain_of_root(options);
    }
    if (code != SLUICED_EXIT_OK) {
        return code;
    }
    bool is_default = r->config.endpoint[0] == '\0';
    startup_watch_at(is_default ? "this user's own folder, for the endpoint" : "the endpoint",
                     r->config.endpoint, STARTUP_WATCH_FILE_NS);
    int status = startup_endpoint(&r->config, r->endpoint, &error);
    if (status == SLUICE_EINVAL) {
        return complain_of_allow(options, &r->config, 0, error.text);
    }
    if (status != SLUICE_OK) {
        return complain(SLUICED_EXIT_ENDPOINT, error.text);
    }
    status = startup_check_account(&r->config, &error);
    if (status == SLUICE_EINVAL) {
        return complain_of_allow(options, &r->config, 0, error.text);
    }
    return status == SLUICE_OK ? SLUICED_EXIT_OK : complain(SLUICED_EXIT_FAILED, error.text);
}

/* On the log thread. */
static bool write_to_log_file(void *context, const char *line, size_t length_bytes) {
    (void)context;
    return sl_sink_write(SL_SINK_FILE, line, length_bytes);
}

static sluiced_exit start_log(run *r) {
    sl_log_options log = {.allocator = sl_allocator_system(),
                          .clock = sl_clock_utc(),
                          .level = r->config.log_level,
                          .write = r->config.log_file[0] != '\0' ? write_to_log_file : NULL};
    int status = sl_log_create(&log, &r->log);
    return status == SLUICE_OK
               ? SLUICED_EXIT_OK
               : complain_of_status(SLUICED_EXIT_FAILED, "cannot start the log", status);
}

static void on_draining(void *user) {
    run *r = user;
    if (r->hooks != NULL && r->hooks->on_draining != NULL) {
        r->hooks->on_draining(r->hooks->user);
    }
}

static sluiced_exit start_control(run *r, const sluiced_options *options,
                                  bool *ret_is_client_gone) {
    control_options o = {.log = r->log,
                         .private_for = options->private_for,
                         .life_line = options->life_line,
                         .limits = r->config.limits,
                         .on_draining = on_draining,
                         .user = r};
    r->client_process =
        options->private_for != NULL ? control_watch_process(options->private_for) : 0;
    int status = control_create(&o, &r->control);
    *ret_is_client_gone = status == SLUICE_ENOTFOUND;
    if (status == SLUICE_OK || *ret_is_client_gone) {
        return SLUICED_EXIT_OK;
    }
    if (options->private_for == NULL) {
        return complain_of_status(SLUICED_EXIT_FAILED, "cannot start the control loop", status);
    }
    char text[400];
    bool is_usage = status == SLUICE_EINVAL;
    (void)snprintf(text, sizeof(text), "--private-for %.100s: %s%s", options->private_for,
                   is_usage
                       ? "no process can be watched by that: give its id, or, inherited, handle:N "
                         "(Windows) or fd:N:ID (Linux)"
                       : "cannot watch it: ",
                   is_usage ? "" : sentence_of(status));
    return complain(is_usage ? SLUICED_EXIT_USAGE : SLUICED_EXIT_FAILED, text);
}

static bool is_about_endpoint(int status) {
    return status == SLUICE_ENAMETAKEN || status == SLUICE_EACCESS ||
           status == SLUICE_ENAMETOOLONG || status == SLUICE_ENOTFOUND ||
           status == SLUICE_EADDRINUSE || status == SLUICE_EINVAL;
}

static sluiced_exit start_broker(run *r) {
    broker_options o;
    broker_options_init(&o);
    o.client_process = r->client_process;
    o.backend = engine_backend_find(r->config.engine[0] == '\0' ? NULL : r->config.engine);
    o.endpoint = r->endpoint;
    o.access = r->allowed.access;
    o.allow = r->allowed.allow;
    o.allow_count = r->allowed.allow_count;
    o.worker_count = r->config.worker_count;
    o.limits = r->config.limits;
    o.log = r->log;
    o.version = SLUICE_VERSION_TEXT;
    o.process_id = startup_process_id();
    uint64_t inherited = 0;
    o.descriptors = startup_descriptors(&inherited);
    o.descriptors -= inherited;
    o.pipe_pages = startup_pipe_pages();
    o.on_end = control_on_end;
    o.user = r->control;
    const char *detail = NULL;
    o.ret_detail = &detail;
    int status = SL_FAILPOINT(broker, start);
    startup_watch_at("the endpoint", r->endpoint, STARTUP_WATCH_FILE_NS);
    if (status == SLUICE_OK) {
        status = broker_create(&o, &r->broker);
    }
    sluiced_exit code = is_about_endpoint(status) ? SLUICED_EXIT_ENDPOINT : SLUICED_EXIT_ENGINE;
    if (status == SLUICE_OK) {
        status = broker_start(r->broker);
        code = SLUICED_EXIT_ENGINE;
    }
    if (status == SLUICE_OK) {
        return SLUICED_EXIT_OK;
    }
    const char *why = detail != NULL ? detail : sentence_of(status);
    char text[800];
    char hint[400] = "";
    if (status == SLUICE_ENAMETAKEN && detail == NULL) {
        (void)snprintf(hint, sizeof(hint),
                       "; `sluice status --endpoint %.300s` asks whether it is a broker; or take "
                       "another --endpoint", r->endpoint);
    }
    (void)snprintf(text, sizeof(text), "%s %.300s: %s%s",
                   code == SLUICED_EXIT_ENDPOINT ? "cannot listen on" : "cannot start at",
                   r->endpoint, why, hint);
    return complain(code, text);
}

/* ---- and down ---- */

/* Gives up something in the file system, on a thread of its own: the system may never answer.
 * false: it has not in time, and the thread is left to the end of the process. That ends its wait
 * for a FUSE daemon, too, unless the daemon has the request already [linux: fs/fuse/dev.c,
 * request_wait_answer]. */
static bool leave_in_time(run *r, sl_thread_fn leave, const char *complaint) {
    sl_thread thread;
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), LEAVE_NS);
    if (sl_thread_start(&thread, "sluice-leave", leave, r) != SLUICE_OK) {
        leave(r); /* no thread is to be had, and most file systems answer */
    } else if (!sl_thread_join_until(&thread, deadline_ns)) {
        sl_thread_detach(&thread);
        r->is_left_behind = true;
        sl_log_record(r->log, SL_LOG_WARN, complaint, r->endpoint, NULL, 0);
    }
    return !r->is_left_behind;
}

static void leave_endpoint(void *context) {
    run *r = context;
    r->destroyed = broker_destroy(r->broker, OPENERS_NS);
}

static void leave_folder(void *context) {
    const run *r = context;
    startup_remove_folder(r->endpoint);
}

/* As broker_destroy. SLUICE_EABANDONED, too: it is not back. */
static int destroy_broker(run *r) {
    static const char complaint[] =
        "the endpoint's folder does not answer; its socket and lock are left behind";
    return leave_in_time(r, leave_endpoint, complaint) ? r->destroyed : SLUICE_EABANDONED;
}

static sluiced_exit serve(run *r) {
    SL_FAILPOINT_PASS(broker, started);
    sl_log_field fields[] = {{.name = "workers", .value = broker_worker_count(r->broker)},
                             {.name = "process", .value = (int64_t)startup_process_id()}};
    sl_log_record(r->log, SL_LOG_INFO, "listening", r->endpoint, fields, 2);
    if (r->hooks != NULL && r->hooks->on_running != NULL) {
        r->hooks->on_running(r->hooks->user);
    }
    broker_end end = {.stuck_count = 0};
    int status = control_run(r->control, r->broker, &end);
    SL_FAILPOINT_PASS(broker, ended);
    bool is_joined =
        status == SLUICE_OK && end.stuck_count == 0 &&
        broker_join(r->broker, sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), END_NS));
    int destroyed = is_joined ? destroy_broker(r) : SLUICE_EBUSY;
    if (destroyed == SLUICE_EABANDONED && !r->is_left_behind) {
        broker_counters counters;
        broker_counters_get(r->broker, &counters);
        sl_log_field given_up = {.name = "opens", .value = (int64_t)counters.opens_given_up};
        sl_log_record(r->log, SL_LOG_INFO, "opens that were given up end with the process", NULL,
                      &given_up, 1);
    }
    if (destroyed == SLUICE_OK || destroyed == SLUICE_EABANDONED) {
        if (destroyed == SLUICE_OK) { /* else its rest is in use, and a thread may read this */
            r->broker = NULL;
        }
        SL_FAILPOINT_PASS(broker, stopped);
        sl_log_record(r->log, SL_LOG_INFO, "stopped", NULL, NULL, 0);
        return SLUICED_EXIT_OK;
    }
    sl_log_field field = {.name = "stuck", .value = (int64_t)end.stuck_count};
    sl_log_record(r->log, SL_LOG_ERROR,
                  end.stuck_count != 0 ? "stopped with operations stuck in the system"
                                       : "stopped without a thread that does not come back",
                  NULL, &field, 1);
    return SLUICED_EXIT_STUCK;
}

static sluiced_exit with_control(run *r, const run_hooks *hooks) {
    if (hooks != NULL && hooks->on_control != NULL) {
        hooks->on_control(hooks->user, r->control);
    }
    sluiced_exit code = start_broker(r);
    startup_watch_end();
    if (code == SLUICED_EXIT_OK) {
        code = serve(r);
    } else {
        (void)destroy_broker(r);
    }
    if (hooks != NULL && hooks->on_control != NULL) {
        hooks->on_control(hooks->user, NULL);
    }
    return code;
}

static sluiced_exit run_watched(run *r, const sluiced_options *options) {
    sluiced_exit code = prepare(r, options);
    startup_watch_pause();
    if (code == SLUICED_EXIT_OK) {
        code = start_log(r);
    }
    if (code != SLUICED_EXIT_OK) {
        return code;
    }
    bool is_client_gone = false;
    code = start_control(r, options, &is_client_gone);
    if (code == SLUICED_EXIT_OK && !is_client_gone) {
        code = with_control(r, r->hooks);
    }
    startup_watch_end(); /* where start-up did not get that far */
    if (options->life_line != NULL && !r->is_left_behind) {
        static const char complaint[] = "the endpoint's folder does not answer; it is left behind";
        (void)leave_in_time(r, leave_folder, complaint);
    }
    if (code == SLUICED_EXIT_STUCK || r->is_left_behind) {
        (void)sl_log_stop(r->log); /* writes what it has; the rest is left to the process's end */
        return code;
    }
    control_destroy(r->control);
    (void)sl_log_destroy(r->log);
    return code;
}

sluiced_exit run_broker(const sluiced_options *options, const run_hooks *hooks) {
    the_run.hooks = hooks;
    startup_watch_begin();
    sluiced_exit code = run_watched(&the_run, options);
    startup_watch_end();
    return code;
}
