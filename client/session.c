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

/* Returns the status. */
static int explain(const sluice_open_options *options, int status, const char *detail) {
    if (options->ret_detail != NULL) {
        client_detail_copy(options->ret_detail, options->detail_size, detail);
    }
    return status;
}

static int copy_options(const sluice_open_options *from, sluice_open_options *to) {
    memset(to, 0, sizeof(*to));
    if (from != NULL) {
        if (from->size < sizeof(uint32_t)) {
            return SLUICE_EINVAL;
        }
        memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
    }
    if (to->open_timeout_ns == 0) {
        to->open_timeout_ns = OPEN_TIMEOUT_NS;
    }
    (void)explain(to, SLUICE_OK, "");
    if (to->mode > SLUICE_MODE_SERVICE || to->delivery > SLUICE_DELIVERY_INLINE) {
        return explain(to, SLUICE_EINVAL, "mode or delivery: no such value");
    }
    return SLUICE_OK;
}

/* An absolute path into `to`; "" for NULL. */
static int copy_path(const sluice_open_options *options, const char *path, const char *not_absolute,
                     const char *too_long, char to[CLIENT_PATH_BYTES]) {
    to[0] = '\0';
    if (path == NULL) {
        return SLUICE_OK;
    }
    if (!client_launch_is_absolute(path)) {
        return explain(options, SLUICE_EINVAL, not_absolute);
    }
    size_t length = strlen(path);
    if (length >= CLIENT_PATH_BYTES) {
        return explain(options, SLUICE_ENAMETOOLONG, too_long);
    }
    memcpy(to, path, length + 1);
    return SLUICE_OK;
}

static int take_launch_options(const sluice_open_options *options, client_launch_options *ret) {
    int status = copy_path(options, options->broker_path, "broker_path: not an absolute path",
                           "broker_path: too long", ret->path);
    if (status == SLUICE_OK) {
        status = copy_path(options, options->private_log, "private_log: not an absolute path",
                           "private_log: too long", ret->log_path);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    if (options->private_log != NULL && options->private_log_handle != 0) {
        return explain(options, SLUICE_EINVAL, "private_log and private_log_handle: one of them");
    }
    if (options->private_log_level > SLUICE_LOG_DEBUG) {
        return explain(options, SLUICE_EINVAL, "private_log_level: no such value");
    }
    ret->log_level = options->private_log_level;
    uint64_t log = CLIENT_LOG_NOWHERE;
    if (options->mode != SLUICE_MODE_SERVICE) {
        log = options->private_log_handle != 0 ? options->private_log_handle
                                               : client_launch_standard_error();
    }
    status = client_launch_log_copy(log, &ret->log);
    return status == SLUICE_OK ? SLUICE_OK
                               : explain(options, status,
                                         "private_log_handle: nothing that is open, or no more "
                                         "descriptors");
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

static int take_options(sluice_session *session, const sluice_open_options *options,
                        uint64_t deadline_ns) {
    uint32_t mode = options->mode;
    client_found found = {.trust = {.user_count = 0}};
    const char *wrong = "";
    int status = copy_client_name(session, options->client_name);
    if (status != SLUICE_OK) {
        wrong = "client_name: 1 to 64 bytes";
    } else {
        status =
            client_look(options->endpoint, options->expected_user, deadline_ns, &found, &wrong);
    }
    if (mode == SLUICE_MODE_AUTO && options->endpoint == NULL &&
        (status == SLUICE_ENAMETOOLONG || status == SLUICE_EUNTRUSTED)) {
        mode = SLUICE_MODE_PRIVATE; /* there can be no service where none was named */
        status = SLUICE_OK;
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

static int start_threads(sluice_session *session) {
    int status = client_delivery_open(&session->delivery, session->info.delivery);
    if (status == SLUICE_OK) {
        status = client_io_thread_start(session);
        if (status != SLUICE_OK) {
            client_delivery_close(&session->delivery);
        }
    }
    return status;
}

static int connect_first(sluice_session *session, const sluice_open_options *options) {
    client_arguments a = {.local = CLIENT_OPEN, .timeout_ns = SLUICE_NO_TIMEOUT};
    client_operation *op = NULL;
    int status = client_call(session, &a, &op);
    if (op != NULL) {
        (void)explain(options, status, op->result.detail);
        client_pool_drop(op);
    }
    return status;
}

int client_session_open(const sluice_open_options *given, const client_tuning *tuning,
                        sluice_session **ret_session) {
    uint64_t began_ns = sl_clock_now_ns(sl_clock_system());
    sluice_open_options options;
    client_launch_options launch;
    int status = copy_options(given, &options);
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
        return SLUICE_ENOMEM;
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
        status = start_threads(session);
    }
    if (status != SLUICE_OK) {
        client_launcher_stop(&session->launcher, 0);
        client_session_drop(session);
        return status;
    }
    status = connect_first(session, &options);
    if (status != SLUICE_OK) {
        (void)sluice_session_close(session);
        return status;
    }
    *ret_session = session;
    return SLUICE_OK;
}

int32_t sluice_open(const sluice_open_options *options, sluice_session **ret_session) {
    if (ret_session == NULL) {
        return SLUICE_EINVAL;
    }
    *ret_session = NULL;
    int status = SL_FAILPOINT(client, open);
    if (status != SLUICE_OK) {
        return status;
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
static int close_later(sluice_session *session) {
    sl_thread closer;
    int status = sl_thread_start(&closer, "sluice-closer", close_session, session);
    if (status == SLUICE_OK) {
        sl_thread_detach(&closer);
    }
    return status;
}

int32_t sluice_session_close(sluice_session *session) {
    if (session == NULL) {
        return SLUICE_OK;
    }
    if (client_session_is_forked(session)) {
        return SLUICE_EFORKED;
    }
    if (client_session_is_io_thread(session) || client_delivery_is_callback(&session->delivery)) {
        return SLUICE_EDEADLK;
    }
    if (client_delivery_is_dispatching(&session->delivery)) {
        return SLUICE_EBUSY;
    }
    if (client_registry_is_callback()) {
        return close_later(session);
    }
    close_session(session);
    return SLUICE_OK;
}

/* ---- what is known --------------------------------------------------------------------------- */

int32_t sluice_session_get_info(sluice_session *session, sluice_session_info *ret_info) {
    if (session == NULL || ret_info == NULL || ret_info->size < sizeof(uint32_t)) {
        return SLUICE_EINVAL;
    }
    if (client_session_is_forked(session)) {
        return SLUICE_EFORKED;
    }
    uint32_t size = ret_info->size;
    sl_mutex_lock(&session->info_lock);
    memcpy(ret_info, &session->info, size < sizeof(session->info) ? size : sizeof(session->info));
    sl_mutex_unlock(&session->info_lock);
    ret_info->size = size;
    return SLUICE_OK;
}

int32_t sluice_waitable(sluice_session *session, uint64_t *ret_waitable) {
    if (session == NULL || ret_waitable == NULL) {
        return SLUICE_EINVAL;
    }
    if (client_session_is_forked(session)) {
        return SLUICE_EFORKED;
    }
    if (session->delivery.mode != SLUICE_DELIVERY_POLL) {
        return SLUICE_ENOTSUP;
    }
    *ret_waitable = session->delivery.waitable;
    return SLUICE_OK;
}

int32_t sluice_dispatch(sluice_session *session, uint32_t max_callbacks, uint32_t *ret_count) {
    if (session == NULL) {
        return SLUICE_EINVAL;
    }
    if (client_session_is_forked(session)) {
        return SLUICE_EFORKED;
    }
    if (session->delivery.mode != SLUICE_DELIVERY_POLL) {
        return SLUICE_ENOTSUP;
    }
    return client_delivery_dispatch(&session->delivery, max_callbacks, ret_count);
}
