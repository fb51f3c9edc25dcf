/*
 * fault.c - see fault.h. The sites by address, the plan, and the decision at each call.
 */
#include "tests/fault/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

typedef struct address {
    uintptr_t where;
    fault_site *site;
} address;

/* What a process tells the one that started it (fault_share). */
typedef struct shared {
    fault_site sites[FAULT_SITES_MAX];
    sl_atomic_u32 struck;
} shared;

static shared *store;
static unsigned site_count;
static address addresses[FAULT_ADDRESSES_MAX];
static unsigned address_count;

static fault_plan plan[FAULT_PLANS_MAX];
static sl_atomic_u32 plan_count; /* the last to be written, and read first */
static sl_atomic_bool is_counting;
static sl_atomic_u32 all_hits;
static sl_atomic_u32 readers; /* of the plan, just now */
static sl_atomic_bool has_struck[FAULT_PLANS_MAX];

/* ---- sites ----------------------------------------------------------------------------------- */

unsigned fault_site_count(void) {
    return site_count;
}

fault_site *fault_site_at(unsigned index) {
    return &store->sites[index];
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = ((const address *)a)->where;
    uintptr_t y = ((const address *)b)->where;
    return x < y ? -1 : x > y;
}

static fault_site *find_site(const char *name) {
    for (unsigned i = 0; i < site_count; i++) {
        if (strcmp(store->sites[i].name, name) == 0) {
            return &store->sites[i];
        }
    }
    return NULL;
}

static void bad_list(const char *path, const char *line) {
    fprintf(stderr, "fault: %s: not understood: %s\n", path, line);
    exit(2);
}

/* "site ADDRESS LINE NAME CALL": a place may have several addresses, where it is inlined. */
static void add_site(const char *path, const char *line, uintptr_t moved) {
    unsigned long long where;
    unsigned number;
    char name[sizeof(store->sites[0].name)];
    char called[64];
    if (sscanf(line, "site %llx %u %159s %63s", &where, &number, name, called) != 4 ||
        address_count == FAULT_ADDRESSES_MAX) {
        bad_list(path, line);
    }
    const fault_call *call = fault_call_find(called);
    if (call == NULL) {
        return; /* exempt; imports.sh sees that it is one or the other */
    }
    char *ordinal = strchr(name, '#');
    char *last = strrchr(name, ':') + 1; /* as the machine code has it: a place in a table */
    char proper[sizeof(name)];
    (void)snprintf(proper, sizeof(proper), "%.*s%s%s", (int)(last - name), name, call->name,
                   ordinal != NULL ? ordinal : "");
    fault_site *site = find_site(proper);
    if (site == NULL) {
        if (site_count == FAULT_SITES_MAX) {
            bad_list(path, line);
        }
        site = &store->sites[site_count++];
        memcpy(site->name, proper, sizeof(proper));
        site->line = number;
        site->call = call;
    }
    addresses[address_count++] = (address){(uintptr_t)where + moved, site};
}

static const char *loaded;

const char *fault_loaded(void) {
    return loaded;
}

void fault_load(const char *path) {
    loaded = path;
    char line[512];
    uintptr_t moved = 0;
    store = fault_share(sizeof(*store));
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        bad_list(path, "cannot be opened");
    }
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long anchor;
        if (sscanf(line, "anchor %llx", &anchor) == 1) {
            moved = (uintptr_t)&fault_load - (uintptr_t)anchor; /* the loader put us elsewhere */
        } else {
            add_site(path, line, moved);
        }
    }
    if (file == NULL || site_count == 0) {
        bad_list(path, "no sites");
    }
    (void)fclose(file);
    qsort(addresses, address_count, sizeof(addresses[0]), by_address);
}

static fault_site *site_of(const void *where) {
    address key = {(uintptr_t)where, NULL};
    const address *found =
        bsearch(&key, addresses, address_count, sizeof(addresses[0]), by_address);
    return found != NULL ? found->site : NULL;
}

/* ---- plans ----------------------------------------------------------------------------------- */

void fault_begin(const fault_plan *plans, unsigned count) {
    EXPECT(count <= FAULT_PLANS_MAX);
    atomic_store(&plan_count, 0);
    while (atomic_load(&readers) != 0) { /* a few instructions, but for a call that is done */
        sl_thread_yield();
    }
    for (unsigned i = 0; i < site_count; i++) {
        atomic_store(&store->sites[i].hits, 0);
    }
    for (unsigned i = 0; i < count; i++) {
        plan[i] = plans[i];
        atomic_store(&has_struck[i], false);
    }
    atomic_store(&store->struck, 0);
    atomic_store(&all_hits, 0);
    atomic_store(&plan_count, count);
    atomic_store(&is_counting, true);
}

unsigned fault_struck(void) {
    return atomic_load(&store->struck);
}

void fault_end(void) {
    atomic_store(&is_counting, false);
    atomic_store(&plan_count, 0);
}

void fault_counts_get(fault_counts *ret_counts) {
    memset(ret_counts, 0, sizeof(*ret_counts));
    ret_counts->struck = fault_struck();
    for (unsigned i = 0; i < site_count; i++) {
        ret_counts->hits[i] = atomic_load(&store->sites[i].hits);
        ret_counts->failures[i] = atomic_load(&store->sites[i].failures);
    }
}

void fault_counts_take(const fault_counts *counts) {
    atomic_store(&store->struck, counts->struck);
    for (unsigned i = 0; i < site_count; i++) {
        atomic_store(&store->sites[i].hits, counts->hits[i]);
        atomic_fetch_add(&store->sites[i].all_hits, counts->hits[i]);
        atomic_fetch_add(&store->sites[i].failures, counts->failures[i]);
    }
}

/* Does this plan strike at this call? Once, unless it goes on. */
static bool strikes(unsigned i, const fault_site *site, uint32_t hit) {
    /* The second of two plans is about what comes behind the first. */
    bool is_meant = (plan[i].site == NULL || plan[i].site == site) && plan[i].hit <= hit &&
                    (i == 0 || atomic_load(&has_struck[i - 1]));
    if (!is_meant) {
        return false;
    }
    bool is_first = !atomic_exchange(&has_struck[i], true);
    if (is_first) {
        atomic_fetch_add(&store->struck, 1);
    }
    return is_first || plan[i].from_then_on;
}

static bool consult(fault_call *call, fault_site *site, uintptr_t args[]) {
    uint32_t hit = atomic_fetch_add(&site->hits, 1) + 1;
    uint32_t any_hit = atomic_fetch_add(&all_hits, 1) + 1;
    unsigned count = atomic_load(&plan_count);
    for (unsigned i = 0; i < count; i++) {
        if (strikes(i, site, plan[i].site != NULL ? hit : any_hit)) {
            intptr_t value = 0;
            atomic_fetch_add(&site->failures, 1);
            bool is_ended = fault_apply(call, plan[i].error, args, &value);
            args[FAULT_ARGS] = (uintptr_t)value;
            return is_ended;
        }
    }
    return false;
}

bool fault_enter(fault_call *call, const void *where, uintptr_t args[]) {
    fault_site *site = site_of(where);
    if (site == NULL || fault_is_exempt(call, args)) {
        return false;
    }
    atomic_fetch_add(&site->all_hits, 1);
    if (!atomic_load(&is_counting)) {
        return false;
    }
    atomic_fetch_add(&readers, 1);
    bool is_ended = consult(call, site, args);
    atomic_fetch_sub(&readers, 1);
    return is_ended;
}
