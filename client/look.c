/*
 * look.c - see look.h.
 */
#include "client/look.h"

#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "client/endpoint.h"
#include "client/errand.h"
#include "client/tally.h"

static const char no_user[] = "expected_user: neither \"uid N\" nor a SID";

/* Looks that the caller could do without, and that have not come back. */
static client_tally silent;

typedef struct look {
    client_errand errand;
    sl_event done;
    /* What is asked. */
    bool is_optional;
    bool has_endpoint;
    bool has_user;
    char endpoint[ENGINE_PIPE_NAME_BYTES];
    char user[ENGINE_IDENTITY_TEXT_BYTES];
    /* What is found. */
    client_found found;
    int status;
    const char *detail;
} look;

static void run_look(client_errand *errand) {
    look *l = SL_CONTAINER_OF(errand, look, errand);
    l->detail = NULL;
    l->status = client_endpoint_service(l->has_endpoint ? l->endpoint : NULL, l->found.endpoint,
                                        &l->found.reason);
    if (l->status == SLUICE_OK) {
        l->detail = no_user;
        l->status = client_trust_init(&l->found.trust, l->has_user ? l->user : NULL,
                                      l->has_endpoint ? l->found.endpoint : NULL);
        client_endpoint_reach(l->found.endpoint);
    }
}

static void on_done(client_errand *errand) {
    sl_event_set(&SL_CONTAINER_OF(errand, look, errand)->done);
}

static void free_look(look *l) {
    sl_event_deinit(&l->done);
    sl_allocator_system()->release(sl_allocator_system(), l, sizeof(*l));
}

/* It was left. */
static void dispose(client_errand *errand) {
    look *l = SL_CONTAINER_OF(errand, look, errand);
    if (l->is_optional) {
        client_tally_remove(&silent);
    }
    free_look(l);
}

/* false: it is longer than any that makes sense. */
static bool copy(const char *from, char *to, size_t size, bool *ret_is_given) {
    size_t length = from == NULL ? 0 : strlen(from);
    *ret_is_given = from != NULL;
    if (length >= size) {
        return false;
    }
    if (from != NULL) {
        memcpy(to, from, length + 1);
    }
    return true;
}

/* SLUICE_OK: *ret_look is under way. */
static int begin(const char *endpoint, const char *expected_user, look **ret_look,
                 const char **ret_detail) {
    *ret_detail = "no memory to look at the endpoint";
    look *l = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*l));
    if (l == NULL) {
        return SLUICE_ENOMEM;
    }
    memset(l, 0, sizeof(*l));
    int status = SLUICE_OK;
    if (!copy(endpoint, l->endpoint, sizeof(l->endpoint), &l->has_endpoint)) {
        *ret_detail = "endpoint: longer than any name of a pipe or socket";
        status = SLUICE_ENAMETOOLONG;
    } else if (!copy(expected_user, l->user, sizeof(l->user), &l->has_user)) {
        *ret_detail = no_user;
        status = SLUICE_EINVAL;
    }
    if (status == SLUICE_OK) {
        *ret_detail = "no thread to look at the endpoint, or too many that do not come back";
        status = sl_event_init(&l->done);
    }
    if (status != SLUICE_OK) {
        sl_allocator_system()->release(sl_allocator_system(), l, sizeof(*l));
        return status;
    }
    l->errand = (client_errand){.run = run_look, .on_done = on_done, .dispose = dispose};
    status = client_errand_start(&l->errand, "sluice-look");
    if (status != SLUICE_OK) {
        free_look(l);
        return status;
    }
    *ret_look = l;
    return SLUICE_OK;
}

/* false: it is left, and not ours any more. */
static bool await(look *l, bool is_optional, uint64_t deadline_ns) {
    if (sl_event_wait_until(&l->done,
                            is_optional ? client_errand_part_ns(deadline_ns) : deadline_ns)) {
        return true;
    }
    l->is_optional = is_optional;
    if (is_optional) {
        client_tally_add(&silent); /* before it is left: its thread may take that back at once */
    }
    if (client_errand_leave(&l->errand)) {
        return false;
    }
    if (is_optional) {
        client_tally_remove(&silent);
    }
    return true;
}

int client_look(const char *endpoint, const char *expected_user, bool is_optional,
                uint64_t deadline_ns, client_found *ret_found, const char **ret_detail) {
    static const char no_answer[] = "the endpoint's folder was not looked at in time: its file "
                                    "system does not answer, or the timeout is too short";
    look *l;
    if (is_optional && client_tally_get(&silent) != 0) {
        *ret_detail = no_answer;
        return SLUICE_ETIMEDOUT;
    }
    int status = begin(endpoint, expected_user, &l, ret_detail);
    if (status != SLUICE_OK) {
        return status;
    }
    if (!await(l, is_optional, deadline_ns)) {
        *ret_detail = no_answer;
        return SLUICE_ETIMEDOUT;
    }
    client_errand_settle(&l->errand);
    status = l->status;
    *ret_found = l->found;
    *ret_detail = l->detail != NULL ? l->detail : ret_found->reason.text;
    free_look(l);
    return status;
}

int client_look_at_words(const char *endpoint, const char *expected_user, client_found *ret_found,
                         const char **ret_detail) {
    engine_identity user;
    *ret_detail = ret_found->reason.text;
    int status = endpoint == NULL
                     ? SLUICE_OK
                     : client_endpoint_service(endpoint, ret_found->endpoint, &ret_found->reason);
    if (status == SLUICE_OK && expected_user != NULL) {
        *ret_detail = no_user;
        status = engine_identity_parse(expected_user, &user);
    }
    return status;
}
