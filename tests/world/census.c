/*
 * census.c - what has happened in all the lives, how often, and whether that is enough.
 */
#include <stdio.h>
#include <string.h>

#include "tests/world/world.h"

#define PERCENT_MIN 1.0

void census_call(world_census *census, sl_request_kind kind, int32_t status) {
    census->ended[kind][-status]++;
    if (census->last_life[kind][-status] != census->lives + 1) {
        census->last_life[kind][-status] = census->lives + 1;
        census->lives_with[kind][-status]++;
    }
}

static void add_kernel(sim_counters *sum, const sim_counters *one) {
    sum->event_count += one->event_count;
    sum->cancel_count += one->cancel_count;
    sum->cancel_completed_count += one->cancel_completed_count;
    sum->cancel_aborted_count += one->cancel_aborted_count;
    sum->cancel_error_count += one->cancel_error_count;
    sum->doubt_count += one->doubt_count;
    sum->stream_bytes += one->stream_bytes;
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        sum->eligible_count[i] += one->eligible_count[i];
        sum->struck_count[i] += one->struck_count[i];
    }
    for (unsigned i = 0; i < ENGINE_KIND_COUNT; i++) {
        sum->start_count[i] += one->start_count[i];
        sum->finish_count[i] += one->finish_count[i];
    }
}

void census_life(world_census *census, const world_life *life, uint64_t hash) {
    add_kernel(&census->kernel, &life->kernel);
    for (unsigned i = 0; i < ACT_COUNT; i++) {
        census->lives_with_act[i] += life->acts_seen >> i & 1;
    }
    census->lives++;
    census->lives_short_of_memory += life->no_memory_per_mille != 0;
    census->lives_with_resets += life->has_resets;
    census->hash = (census->hash ^ hash) * UINT64_C(0x9e3779b97f4a7c15);
}

/* ---- what can be ----------------------------------------------------------------------------- */

/* Not by way of the broker, which opens no datagram sockets: tests/sim covers these. A conversation
 * about the local address is the listener's. */
static bool is_foreign(unsigned fault) {
    switch (fault) {
    case SIM_UDP_LOSS:
    case SIM_UDP_DUPLICATE:
    case SIM_UDP_REORDER:
    case SIM_OS_UDP_OPEN:
    case SIM_OS_RECEIVE_FROM:
    case SIM_OS_SEND_TO:
    case SIM_WAKE_EARLY: return true; /* a wait: nobody here waits in the kernel */
    default: return false;
    }
}

/* Outcomes that a call of this kind can have, in lives in which anything may happen. */
static const struct {
    sl_request_kind kind;
    int32_t statuses[14];
} outcomes[] = {
    {SL_REQUEST_READ,
     {SLUICE_OK, SLUICE_EEOF, SLUICE_ECANCELED, SLUICE_ETIMEDOUT, SLUICE_ECLOSED,
      SLUICE_EBROKERLOST, SLUICE_ERESET, SLUICE_ESTALE, SLUICE_EOS, SLUICE_ESHUTDOWN,
      SLUICE_EUNRESPONSIVE, SLUICE_ENOMEM, 1}},
    {SL_REQUEST_WRITE,
     {SLUICE_OK, SLUICE_ECANCELED, SLUICE_ETIMEDOUT, SLUICE_ECLOSED, SLUICE_EBROKENPIPE,
      SLUICE_ETORN, SLUICE_EBROKERLOST, SLUICE_ERESET, SLUICE_ESTALE, SLUICE_EOS,
      SLUICE_EUNRESPONSIVE, SLUICE_ENOMEM, 1}},
    {SL_REQUEST_CLOSE,
     {SLUICE_OK, SLUICE_ETIMEDOUT, SLUICE_EABANDONED, SLUICE_ESTALE,
      SLUICE_EBROKERLOST, 1}},
    {SL_REQUEST_PAIR,
     {SLUICE_OK, SLUICE_ECANCELED, SLUICE_ETIMEDOUT, SLUICE_EOSLIMIT, SLUICE_EOS,
      SLUICE_EBROKERLOST, SLUICE_ENOBROKER, SLUICE_ENOMEM, 1}},
    {SL_REQUEST_CONNECT,
     {SLUICE_OK, SLUICE_ECANCELED, SLUICE_ETIMEDOUT, SLUICE_ENOTFOUND, SLUICE_EREFUSED,
      SLUICE_EUNREACHABLE, SLUICE_ERESET, SLUICE_EACCESS, SLUICE_EOSLIMIT, SLUICE_EBROKERLOST, 1}},
    {SL_REQUEST_LISTEN,
     {SLUICE_OK, SLUICE_ENAMETAKEN, SLUICE_EADDRINUSE, SLUICE_ETIMEDOUT, SLUICE_EBROKERLOST, 1}},
    {SL_REQUEST_ACCEPT,
     {SLUICE_OK, SLUICE_ECANCELED, SLUICE_ETIMEDOUT, SLUICE_ECLOSED, SLUICE_EBROKERLOST,
      SLUICE_ENOTSUP, 1}},
    {SL_REQUEST_HALF_CLOSE, {SLUICE_OK, SLUICE_ENOTSUP, 1}},
    {SL_REQUEST_ACKNOWLEDGE_TORN, {SLUICE_OK, SLUICE_EBROKERLOST, SLUICE_ETIMEDOUT, 1}},
    {SL_REQUEST_PING, {SLUICE_OK, SLUICE_ETIMEDOUT, SLUICE_EBROKERLOST, 1}},
    {SL_REQUEST_STATUS, {SLUICE_OK, SLUICE_ETIMEDOUT, 1}},
    {SL_REQUEST_OPS, {SLUICE_OK, SLUICE_ETIMEDOUT, 1}},
};

/* The lives in which this can be. */
static uint64_t lives_for(const world_census *c, int32_t status) {
    switch (status) {
    case SLUICE_ENOMEM: return c->lives_short_of_memory;
    case SLUICE_ERESET: return c->lives_with_resets;
    case SLUICE_EUNRESPONSIVE: return c->lives_with_act[ACT_BROKER_HALT];
    default: return c->lives;
    }
}

static double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

typedef void (*report)(void *user, const char *group, const char *name, uint64_t part,
                       uint64_t whole);

static void for_each(const world_census *c, report tell, void *user) {
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if (!is_foreign(i)) {
            tell(user, "kernel", sim_fault_name((sim_fault)i), c->kernel.struck_count[i],
                 c->kernel.eligible_count[i]);
        }
    }
    tell(user, "cancel", "completes", c->kernel.cancel_completed_count, c->kernel.cancel_count);
    tell(user, "cancel", "aborts", c->kernel.cancel_aborted_count, c->kernel.cancel_count);
    tell(user, "cancel", "another error", c->kernel.cancel_error_count, c->kernel.cancel_count);
    tell(user, "memory", "an allocation fails", c->memory_failed, c->memory_eligible);
    tell(user, "credit", "exhausted", c->refused_credit, c->calls + c->refused_credit);
    for (unsigned i = 0; i < ACT_COUNT; i++) {
        if (i != ACT_INSIDE) {
            tell(user, "lives with", world_act_name((world_act)i), c->lives_with_act[i], c->lives);
        }
    }
    char name[64];
    for (unsigned i = 0; i < SL_ARRAY_COUNT(outcomes); i++) {
        sl_request_kind kind = outcomes[i].kind;
        for (const int32_t *status = outcomes[i].statuses; *status != 1; status++) {
            (void)snprintf(name, sizeof(name), "%s: %s", sl_request_kind_name(kind),
                           sl_status_name(*status));
            tell(user, "lives with", name, c->lives_with[kind][-*status], lives_for(c, *status));
        }
    }
}

static void print_one(void *user, const char *group, const char *name, uint64_t part,
                      uint64_t whole) {
    (void)user;
    printf("  %-11s %-28s %12llu of %12llu  %6.2f %%\n", group, name, (unsigned long long)part,
           (unsigned long long)whole, percent(part, whole));
}

void census_print(const world_census *census) {
    for_each(census, print_one, NULL);
    printf("  outcomes that need no frequency:");
    for (unsigned k = 0; k < SL_REQUEST_KIND_COUNT; k++) {
        for (unsigned s = 0; s < SLUICE_STATUS_COUNT; s++) {
            bool is_listed = false;
            for (unsigned i = 0; i < SL_ARRAY_COUNT(outcomes); i++) {
                for (const int32_t *status = outcomes[i].statuses; *status != 1; status++) {
                    is_listed = is_listed || (outcomes[i].kind == k && -*status == (int32_t)s);
                }
            }
            if (!is_listed && census->ended[k][s] != 0) {
                printf(" %s %s %llu;", sl_request_kind_name((sl_request_kind)k),
                       sl_status_name(-(int)s), (unsigned long long)census->ended[k][s]);
            }
        }
    }
    printf("\n");
}

static void print_json(void *user, const char *group, const char *name, uint64_t part,
                       uint64_t whole) {
    bool *is_first = user;
    printf("%s\n    {\"group\": \"%s\", \"name\": \"%s\", \"count\": %llu, \"of\": %llu}",
           *is_first ? "" : ",", group, name, (unsigned long long)part, (unsigned long long)whole);
    *is_first = false;
}

void census_print_json(const world_census *census, double cpu_seconds) {
    bool is_first = true;
    printf("{\n  \"lives\": %llu, \"operations\": %llu, \"cpu_seconds\": %.3f, \"bytes\": %llu,\n"
           "  \"hash\": \"%016llx\", \"coverage\": [",
           (unsigned long long)census->lives, (unsigned long long)census->calls, cpu_seconds,
           (unsigned long long)census->bytes, (unsigned long long)census->hash);
    for_each(census, print_json, &is_first);
    printf("\n  ]\n}\n");
}

static void check_one(void *user, const char *group, const char *name, uint64_t part,
                      uint64_t whole) {
    unsigned *missing = user;
    if (percent(part, whole) < PERCENT_MIN) {
        printf("  too rare: ");
        print_one(NULL, group, name, part, whole);
        ++*missing;
    }
}

unsigned census_check(const world_census *census) {
    unsigned missing = 0;
    for_each(census, check_one, &missing);
    return missing;
}
