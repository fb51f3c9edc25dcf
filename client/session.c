/*
 * session.c - opening and closing, and what is known about a session.
 *
 * Opening starts the I/O thread, then asks it for a connection like any call. Closing, in this
 * order: nothing new is accepted; the core ends what is in flight; the I/O thread ends; the last
 * callbacks run; the private broker ends; the memory goes when the last operation is released.
 * But for the callbacks, which are the program's, closing takes CLOSE_NS at most.
 *
 * In a callback of another session, closing waits for nobody: two sessions that are closed from
 * each other's callbacks would wait for ever. A thread of its own does it.
 */
#include "client/session.h"

#include <string.h>

#include "base/failpoint.h"
#include "client/detail.h"
#include "client/limit.h"
#include "client/look.h"
#include "client/pin.h"
#include "client/registry.h"
#include "client/tuning.h"

#define OPEN_TIMEOUT_NS (10 * SL_NS_PER_S)
/* A close has no timeout, so it has this much: the grace of every call. */
#define CLOSE_NS SL_NS_PER_S
/* The I/O thread's share of it, and what the broker has at least, behind callbacks that took long.
 * */
#define CLOSE_IO_NS     (600 * SL_NS_PER_MS)
#define CLOSE_BROKER_NS (200 * SL_NS_PER_MS)

/* ---- options --------------------------------------------------------------------------------- */

/* Why a session is not opened. */
typedef struct open_why {
    char detail[SLUICE_DETAIL_BYTES];
    uint32_t os_error;
} open_why;

/* Returns the status. */
static int explain(const sluice_open_options *options, int status, const char *detail) {
    if (options->ret_detail != NULL) {
        client_detail_copy(options->ret_detail, options->detail_size, detail);
    }
    return status;
}

/* The copy's detail goes to `why`, whatever the caller wants of it. */
static int copy_options(const sluice_open_options *from, sluice_open_options *to, open_why *why) {
    memset(to, 0, sizeof(*to));
    if (from != NULL && from->size >= sizeof(uint32_t)) {
        memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
    }
    to->ret_detail = why->detail;
    to->detail_size = sizeof(why->detail);
    if (to->open_timeout_ns == 0) {
        to->open_timeout_ns = OPEN_TIMEOUT_NS;
    }
    if (from != NULL && from->size < sizeof(uint32_t)) {
        sl_reason reason;
        int status = sl_reason_sizeof(&reason, SLUICE_EINVAL, "options->size", from->size,
                                      "sluice_open_options", sizeof(*from));
        return explain(to, status, reason.text);
    }
    if (to->mode > SLUICE_MODE_SERVICE) {
        return explain(to, SLUICE_EINVAL, "mode: not one of SLUICE_MODE_AUTO, _PRIVATE, _SERVICE");
    }
    if (to->delivery > SLUICE_DELIVERY_INLINE) {
        return explain(to, SLUICE_EINVAL,
                       "delivery: not one of SLUICE_DELIVERY_THREAD, _POLL, _INLINE");
    }
    return SLUICE_OK;
}

/* An absolute path into `to`; "" for NULL. `name`: the option's. */
static int copy_path(const sluice_open_options *options, const char *path, const char *name,
                     char to[CLIENT_PATH_BYTES]) {
    sl_reason reason;
    to[0] = '\0';
    if (path == NULL) {
        return SLUICE_OK;
    }
    if (!client_launch_is_absolute(path)) {
        int status = sl_reason_set(&reason, SLUICE_EINVAL, name, "not an absolute path");
        return explain(options, status, reason.text);
    }
    size_t length = strlen(path);
    if (length >= CLIENT_PATH_BYTES) {
        int status =
            sl_reason_too_long(&reason, SLUICE_ENAMETOOLONG, name, length, CLIENT_PATH_BYTES - 1);
        return explain(options, status, reason.text);
    }
    memcpy(to, path, length + 1);
    return SLUICE_OK;
}

static int take_launch_options(const sluice_open_options *options, client_launch_options *ret) {
    int status = copy_path(options, options->broker_path, "broker_path", ret->path);
    if (status == SLUICE_OK) {
        status = copy_path(options, options->private_log, "private_log", ret->log_path);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    if (options->private_log != NULL && options->private_log_handle != 0) {
        return explain(options, SLUICE_EINVAL, "private_log and private_log_handle: one of them");
    }
    if (options->private_log_level > SLUICE_LOG_DEBUG) {
        return explain(options, SLUICE_EINVAL,
                       "private_log_level: not one of SLUICE_LOG_DEFAULT, _ERROR, _WARNING, _INFO, "
                       "_DEBUG");
    }
    ret->log_level = options->private_log_level;
    uint64_t log = CLIENT_LOG_NOWHERE;
    const char *wrong = "private_log_handle: there is no room for a copy of it";
    if (options->mode != SLUICE_MODE_SERVICE && options->private_log_handle != 0) {
        log = options->private_log_handle;
        status = client_launch_log_check(log, &wrong);
    } else if (options->mode != SLUICE_MODE_SERVICE) {
        log = client_launch_standard_error();
        wrong = "standard error: there is no room for a copy of it, which would be the log";
    }
    if (status == SLUICE_OK) {
        status = client_launch_log_copy(log, &ret->log);
    }
    return status == SLUICE_OK ? status : explain(options, status, wrong);
}

/* A name of our own making is made harmless; the caller's is the broker's to judge. */
static int copy_client_name(sluice_session *session, const char *name) {
    if (name != NULL) {
        size_t length = strlen(name);
        if (length == 0 || length > SL_CLIENT_NAME_BYTES) {
            return SLUICE_EINVAL;
        }
        memcpy(session->client_name, name, length + 1);
        return SLUICE_OK;
    }
    client_launch_own_name(session->client_name, sizeof(session->client_name));
    for (char *c = session->client_name; *c != '\0'; c++) {
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    }
    if (session->client_name[0] == '\0') {
        memcpy(session->client_name, "program", sizeof("program"));
    }
    return SLUICE_OK;
}

/* Where the service is and whose, if one is wanted. In mode AUTO there can be none where none was
 * named, and the default place is not to be had or does not answer: then *mode is PRIVATE. */
static int find_service(const sluice_open_options *options, uint64_t deadline_ns, uint32_t *mode,
                        client_found *ret_found, const char **ret_wrong) {
    if (*mode == SLUICE_MODE_PRIVATE) {
        return client_look_at_words(options->endpoint, options->expected_user, ret_found,
                                    ret_wrong);
    }
    bool is_optional = *mode == SLUICE_MODE_AUTO && options->endpoint == NULL;
    int status = client_look(options->endpoint, options->expected_user, is_optional, deadline_ns,
                             ret_found, ret_wrong);
    if (is_optional && (status == SLUICE_ENAMETOOLONG || status == SLUICE_EUNTRUSTED ||
                        status == SLUICE_ETIMEDOUT)) {
        *mode = SLUICE_MODE_PRIVATE;
        status = SLUICE_OK;
    }
    return status;
}

static int take_options(sluice_session *session, const sluice_open_options *options,
                        uint64_t deadline_ns) {
    uint32_t mode = options->mode;
    client_found found = {.trust = {.user_count = 0}};
    const char *wrong = "";
    int status = copy_client_name(session, options->client_name);
    if (status != SLUICE_OK) {
        wrong = "client_name: 1 to 64 bytes";
    } else {
        status = find_service(options, deadline_ns, &mode, &found, &wrong);
    }
    (void)explain(options, status, status != SLUICE_OK ? wrong : "");
    memcpy(session->service_endpoint, found.endpoint, sizeof(found.endpoint));
    session->settings = (client_settings){
        .trust = found.trust,
        .mode = mode,
        .endpoint = session->service_endpoint,
        .endpoint_is_default = options->endpoint == NULL,
        .client_name = session->client_name,
        .process_id = client_launch_own_id(),
        .open_timeout_ns = options->open_timeout_ns,
        .open_deadline_ns = deadline_ns,
        .call_grace_ns = SL_SEC,
        .credit_operations = options->credit_operations,
        .explain_limit = client_limit_explain,
    };
    session->info.size = sizeof(session->info);
    session->info.mode = options->mode;
    session->info.delivery = options->delivery;
    session->info.status = SLUICE_ENOBROKER;
    session->info.call_grace_ns = session->settings.call_grace_ns;
    return status;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static sluice_session *create(sl_allocator *source) {
    sluice_session *session = source->acquire(source, sizeof(*session));
    if (session != NULL) {
        sl_account_init(&session->account, source, "client", SIZE_MAX);
        atomic_init(&session->reference_count, 1);
        atomic_init(&session->is_closed, false);
        atomic_init(&session->posting_count, 0);
        sl_mutex_init(&session->info_lock);
        sl_mutex_init(&session->pool_lock);
        client_credit_init(&session->credit);
    }
    return session;
}

void client_session_drop(sluice_session *session) {
    if (atomic_fetch_sub(&session->reference_count, 1) != 1 || session->is_left_behind) {
        return;
    }
    client_pool_clear(session);
    client_credit_deinit(&session->credit);
    sl_mutex_deinit(&session->pool_lock);
    sl_mutex_deinit(&session->info_lock);
    sl_allocator *source = session->account.source;
    sl_account_deinit(&session->account);
    source->release(source, session, sizeof(*session));
}

/* ---- open and close -------------------------------------------------------------------------- */

static int start_threads(sluice_session *session, const char **ret_wrong) {
    *ret_wrong = "the system has no thread or descriptor for the session's callbacks";
    int status = client_delivery_open(&session->delivery, session->info.delivery);
    if (status == SLUICE_OK) {
        *ret_wrong = "the system has no thread or descriptor for the session's connection";
        status = client_io_thread_start(session);
        if (status != SLUICE_OK) {
            client_delivery_close(&session->delivery);
        }
    }
    return status;
}

static int connect_first(sluice_session *session, open_why *ret_why) {
    client_arguments a = {
        .call = CLIENT_CALL_open, .local = CLIENT_OPEN, .timeout_ns = SLUICE_NO_TIMEOUT};
    client_operation *op = NULL;
    sl_reason reason;
    reason.text[0] = '\0';
    int status = client_do(session, &a, &op, &reason);
    if (op == NULL) {
        client_detail_copy(ret_why->detail, sizeof(ret_why->detail), reason.text);
    } else {
        client_detail_copy(ret_why->detail, sizeof(ret_why->detail), op->result.detail);
        ret_why->os_error = op->result.os_error;
        client_pool_drop(op);
    }
    return status;
}

static int open_session(const sluice_open_options *given, const client_tuning *tuning,
                        sluice_session **ret_session, open_why *ret_why) {
    uint64_t began_ns = sl_clock_now_ns(sl_clock_system());
    sluice_open_options options;
    client_launch_options launch;
    sl_reason reason;
    int status = copy_options(given, &options, ret_why);
    if (status == SLUICE_OK) {
        status = client_inline_check("open it on another thread, or before", &reason);
        (void)explain(&options, status, status != SLUICE_OK ? reason.text : "");
    }
    if (status == SLUICE_OK) {
        status = take_launch_options(&options, &launch);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    client_fork_watch();
    client_pin();
    sluice_session *session = create(tuning->allocator);
    if (session == NULL) {
        client_launch_log_close(launch.log);
        return explain(&options, SLUICE_ENOMEM, "no memory for a session");
    }
    session->fork_generation = client_fork_generation();
    session->backend = tuning->backend;
    client_launcher_init(&session->launcher, sl_random_system(), &launch);
    status = take_options(session, &options, sl_clock_after_ns(began_ns, options.open_timeout_ns));
    if (tuning->call_grace_ns != 0) {
        session->settings.call_grace_ns = tuning->call_grace_ns;
        session->info.call_grace_ns = tuning->call_grace_ns;
    }
    if (status == SLUICE_OK) {
        const char *wrong;
        status = start_threads(session, &wrong);
        (void)explain(&options, status, status == SLUICE_EOSLIMIT ? wrong : "");
    }
    if (status != SLUICE_OK) {
        client_launcher_stop(&session->launcher, 0);
        client_session_drop(session);
        return status;
    }
    status = connect_first(session, ret_why);
    if (status != SLUICE_OK) {
        (void)sluice_session_close(session);
        return status;
    }
    *ret_session = session;
    return SLUICE_OK;
}

static bool wants_detail(const sluice_open_options *options) {
    const size_t head = offsetof(sluice_open_options, detail_size) + sizeof(options->detail_size);
    return options != NULL && options->size >= head && options->ret_detail != NULL;
}

int client_session_open(const sluice_open_options *given, const client_tuning *tuning,
                        sluice_session **ret_session) {
    open_why why = {.detail = "", .os_error = 0};
    int status = open_session(given, tuning, ret_session, &why);
    if (status == SLUICE_EOSLIMIT) {
        (void)client_limit_explain(why.os_error, why.detail, sizeof(why.detail));
    }
    const char *words = status == SLUICE_OK ? "" : client_failure_words(status, why.detail);
    if (wants_detail(given)) {
        client_detail_copy(given->ret_detail, given->detail_size, words);
    }
    return status == SLUICE_OK ? status
                               : client_fail(CLIENT_CALL_open, status, why.os_error, words);
}

int32_t sluice_open(const sluice_open_options *options, sluice_session **ret_session) {
    if (ret_session == NULL) {
        return client_fail(CLIENT_CALL_open, SLUICE_EINVAL, 0, "ret_session: is NULL");
    }
    *ret_session = NULL;
    int status = SL_FAILPOINT(client, open);
    if (status != SLUICE_OK) {
        return client_fail(CLIENT_CALL_open, status, 0, NULL);
    }
    client_tuning tuning = {.allocator = sl_allocator_system(),
                            .backend = engine_backend_find(NULL)};
    return client_session_open(options, &tuning, ret_session);
}

static void close_session(void *context) {
    sluice_session *session = context;
    uint64_t began_ns = sl_clock_now_ns(sl_clock_system());
    SL_FAILPOINT_PASS(client, close);
    atomic_store(&session->is_closed, true);
    while (atomic_load(&session->posting_count) != 0) {
        sl_thread_yield(); /* a few instructions */
    }
    client_io_thread_stop(session, sl_clock_after_ns(began_ns, CLOSE_IO_NS));
    client_delivery_close(&session->delivery);
    uint64_t deadline_ns = sl_clock_after_ns(began_ns, CLOSE_NS);
    uint64_t least_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), CLOSE_BROKER_NS);
    client_launcher_stop(&session->launcher, deadline_ns > least_ns ? deadline_ns : least_ns);
    SL_FAILPOINT_PASS(client, closed);
    client_session_drop(session);
}

/* In a callback of another session. */
static int close_later(sluice_session *session, sl_reason *ret_reason) {
    sl_thread closer;
    int status = sl_thread_start(&closer, "sluice-closer", close_session, session);
    if (status == SLUICE_OK) {
        sl_thread_detach(&closer);
        return status;
    }
    return sl_reason_set(ret_reason, status, "session", "the system has no thread to close it on");
}

static int try_close(sluice_session *session, sl_reason *ret_reason) {
    int status = client_check_session(session, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    if (client_session_is_io_thread(session) || client_delivery_is_callback(&session->delivery)) {
        return sl_reason_set(ret_reason, SLUICE_EDEADLK, "session",
                             "this is one of its callbacks, and its close waits for them");
    }
    if (client_delivery_is_dispatching(&session->delivery)) {
        return sl_reason_set(ret_reason, SLUICE_EBUSY, "session",
                             "sluice_dispatch runs its callbacks at this moment");
    }
    if (client_registry_is_callback()) {
        return close_later(session, ret_reason);
    }
    close_session(session);
    return SLUICE_OK;
}

int32_t sluice_session_close(sluice_session *session) {
    if (session == NULL) {
        return SLUICE_OK;
    }
    sl_reason reason;
    reason.text[0] = '\0';
    int status = try_close(session, &reason);
    return client_return(CLIENT_CALL_session_close, status, &reason);
}

/* ---- what is known --------------------------------------------------------------------------- */

int32_t sluice_session_get_info(sluice_session *session, sluice_session_info *ret_info) {
    sl_reason reason;
    int status = client_check_session(session, &reason);
    if (status == SLUICE_OK && ret_info == NULL) {
        status = sl_reason_set(&reason, SLUICE_EINVAL, "ret_info", "is NULL");
    } else if (status == SLUICE_OK && ret_info->size < sizeof(uint32_t)) {
        status = sl_reason_sizeof(&reason, SLUICE_EINVAL, "ret_info->size", ret_info->size,
                                  "sluice_session_info", sizeof(*ret_info));
    }
    if (status != SLUICE_OK) {
        return client_return(CLIENT_CALL_session_get_info, status, &reason);
    }
    uint32_t size = ret_info->size;
    sl_mutex_lock(&session->info_lock);
    memcpy(ret_info, &session->info, size < sizeof(session->info) ? size : sizeof(session->info));
    sl_mutex_unlock(&session->info_lock);
    ret_info->size = size;
    return SLUICE_OK;
}

static int check_polled(const sluice_session *session, sl_reason *ret_reason) {
    int status = client_check_session(session, ret_reason);
    if (status == SLUICE_OK && session->delivery.mode != SLUICE_DELIVERY_POLL) {
        status = sl_reason_set(ret_reason, SLUICE_ENOTSUP, "session",
                               "was not opened with SLUICE_DELIVERY_POLL");
    }
    return status;
}

int32_t sluice_waitable(sluice_session *session, uint64_t *ret_waitable) {
    sl_reason reason;
    int status = check_polled(session, &reason);
    if (status == SLUICE_OK && ret_waitable == NULL) {
        status = sl_reason_set(&reason, SLUICE_EINVAL, "ret_waitable", "is NULL");
    }
    if (status == SLUICE_OK) {
        *ret_waitable = session->delivery.waitable;
    }
    return client_return(CLIENT_CALL_waitable, status, &reason);
}

int32_t sluice_dispatch(sluice_session *session, uint32_t max_callbacks, uint32_t *ret_count) {
    sl_reason reason;
    int status = check_polled(session, &reason);
    if (status == SLUICE_OK) {
        status = client_delivery_dispatch(&session->delivery, max_callbacks, ret_count);
        const char *what = status == SLUICE_EDEADLK ? "is called in one of its own callbacks"
                                                    : "another thread is inside at this moment";
        (void)sl_reason_set(&reason, status, "sluice_dispatch", what);
    }
    return client_return(CLIENT_CALL_dispatch, status, &reason);
}
