/*
 * launcher.c - see launcher.h. One launch at a time; its thread lives as long as the launch.
 */
#include "client/launcher.h"

#include <string.h>

#include "base/failpoint.h"
#include "client/core.h"
#include "client/endpoint.h"

#define STOP_GRACE_NS (2 * SL_NS_PER_S)

void client_launcher_init(client_launcher *launcher, sl_random *random, const char *path) {
    memset(launcher, 0, sizeof(*launcher));
    atomic_init(&launcher->is_running, false);
    launcher->random = random;
    if (path != NULL) {
        size_t length = strlen(path);
        SL_CHECK(length < sizeof(launcher->path), "the path's length was looked at");
        memcpy(launcher->path, path, length + 1);
    }
}

/* Ends the broker before, if there is one. */
static void stop(client_launcher *l) {
    if (l->launch.process_id != 0) {
        client_launch_stop(&l->launch, STOP_GRACE_NS);
        client_endpoint_forget(l->endpoint);
    }
}

static int launch(client_launcher *l) {
    int refused = SL_FAILPOINT(client, launch);
    if (refused != SLUICE_OK) {
        l->detail = "a failpoint";
        return refused;
    }
    stop(l);
    char found[CLIENT_BROKER_PATH_BYTES];
    const char *path = l->path;
    if (path[0] == '\0') {
        int status = client_launch_find(found, sizeof(found));
        if (status != SLUICE_OK) {
            l->detail = "there is no sluiced beside the library, nor beside the program";
            return SLUICE_ENOBROKER;
        }
        path = found;
    }
    uint64_t random[2];
    l->random->fill(l->random, random, sizeof(random));
    int status = client_endpoint_private(random, l->endpoint, &l->os_error);
    if (status != SLUICE_OK) {
        l->detail = "no place for the endpoint that is this user's alone";
        return status;
    }
    status = client_launch_start(&l->launch, path, l->endpoint, &l->os_error);
    if (status == SLUICE_ENOTFOUND) {
        l->detail = "there is no program at broker_path";
        return SLUICE_ENOBROKER;
    }
    if (status != SLUICE_OK) {
        l->detail = "the system does not start sluiced";
    }
    return status;
}

/* On the core's thread. */
static void on_done(client_core *core, client_mail *mail) {
    client_launcher *l = SL_CONTAINER_OF(mail, client_launcher, done);
    sl_thread_join(&l->thread);
    l->has_thread = false;
    atomic_store(&l->is_running, false);
    client_core_launched(core, l->status, l->os_error, l->endpoint, l->detail);
}

static void on_refused(client_core *core, client_mail *mail) {
    client_launcher *l = SL_CONTAINER_OF(mail, client_launcher, refused);
    l->is_refused = false;
    client_core_launched(core, l->refusal, 0, "",
                         l->refusal == SLUICE_ENOBROKER
                             ? "the start of a private broker before is still under way"
                             : "no thread to start a private broker with");
}

static void launch_thread(void *context) {
    client_launcher *l = context;
    l->os_error = 0;
    l->detail = "";
    l->status = launch(l);
    client_core_post(l->worker, &l->done);
}

void client_launcher_start(client_launcher *l, engine_worker *worker) {
    l->worker = worker;
    l->done.on_core = on_done;
    l->refused.on_core = on_refused;
    int status = SLUICE_ENOBROKER;
    if (!atomic_exchange(&l->is_running, true)) {
        status = sl_thread_start(&l->thread, "sluice-launch", launch_thread, l);
        l->has_thread = status == SLUICE_OK;
        atomic_store(&l->is_running, l->has_thread);
    }
    if (status != SLUICE_OK && !l->is_refused) {
        l->is_refused = true;
        l->refusal = status;
        client_core_post(worker, &l->refused);
    }
}

bool client_launcher_is_busy(const client_launcher *l) {
    return l->has_thread || l->is_refused;
}

bool client_launcher_has_ended(const client_launcher *l) {
    return client_launch_has_ended(&l->launch);
}

void client_launcher_stop(client_launcher *l) {
    stop(l);
}
