/*
 * session.c - opening and closing, and what is known about a session.
 *
 * Opening starts the I/O thread, then asks it for a connection like any call. Closing, in this
 * order: nothing new is accepted; the core ends what is in flight; the I/O thread ends; the last
 * callbacks run; the private broker ends; the memory goes when the last operation is released.
 */
#include "client/session.h"

#include <string.h>

#include "base/failpoint.h"
#include "client/detail.h"
#include "client/endpoint.h"
#include "client/pin.h"
#include "client/tuning.h"

#define OPEN_TIMEOUT_NS (10 * SL_NS_PER_S)

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
    if (to->broker_path != NULL && !client_launch_is_absolute(to->broker_path)) {
        return explain(to, SLUICE_EINVAL, "broker_path: not an absolute path");
    }
    if (to->broker_path != NULL && strlen(to->broker_path) >= CLIENT_BROKER_PATH_BYTES) {
        return explain(to, SLUICE_ENAMETOOLONG, "broker_path: too long");
    }
    return SLUICE_OK;
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

static int take_options(sluice_session *session, const sluice_open_options *options) {
    const char *wrong = "endpoint: no name of a pipe or socket";
    int status = client_endpoint_service(options->endpoint, session->service_endpoint);
    if (status == SLUICE_OK) {
        wrong = "client_name: 1 to 64 bytes";
        status = copy_client_name(session, options->client_name);
    }
    client_trust trust = {.user_count = 0};
    if (status == SLUICE_OK) {
        wrong = "expected_user: neither \"uid N\" nor a SID";
        status = client_trust_init(&trust, options->expected_user, session->service_endpoint);
    }
    (void)explain(options, status, status != SLUICE_OK ? wrong : "");
    session->settings = (client_settings){
        .trust = trust,
        .mode = options->mode,
        .endpoint = session->service_endpoint,
        .client_name = session->client_name,
        .process_id = client_launch_own_id(),
        .open_timeout_ns = options->open_timeout_ns,
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
    sluice_open_options options;
    int status = copy_options(given, &options);
    if (status != SLUICE_OK) {
        return status;
    }
    client_fork_watch();
    client_pin();
    sluice_session *session = create(tuning->allocator);
    if (session == NULL) {
        return SLUICE_ENOMEM;
    }
    session->fork_generation = client_fork_generation();
    session->backend = tuning->backend;
    client_launcher_init(&session->launcher, sl_random_system(), options.broker_path);
    status = take_options(session, &options);
    if (tuning->call_grace_ns != 0) {
        session->settings.call_grace_ns = tuning->call_grace_ns;
        session->info.call_grace_ns = tuning->call_grace_ns;
    }
    if (status == SLUICE_OK) {
        status = start_threads(session);
    }
    if (status != SLUICE_OK) {
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

int32_t sluice_session_close(sluice_session *session) {
    if (session == NULL) {
        return SLUICE_OK;
    }
    if (client_session_is_forked(session)) {
        return SLUICE_EFORKED;
    }
    if (client_session_is_io_thread(session) ||
        client_delivery_is_callback(&session->delivery)) {
        return SLUICE_EDEADLK;
    }
    SL_FAILPOINT_PASS(client, close);
    atomic_store(&session->is_closed, true);
    while (atomic_load(&session->posting_count) != 0) {
        sl_thread_yield(); /* a few instructions */
    }
    client_io_thread_stop(session);
    client_delivery_close(&session->delivery);
    client_launcher_stop(&session->launcher);
    SL_FAILPOINT_PASS(client, closed);
    client_session_drop(session);
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
