/*
 * drive.c - see drive.h.
 *
 * First every act runs without a failure, which tells which sites it reaches and how often. Then
 * each of these fails with each error of its call. A site that only such a failure leads to is
 * failed in turn, behind the failure that led there.
 */
#include "tests/fault/drive.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define JOBS_MAX  8192u
#define TRIES_MAX 3u
#define WAYS_MAX  3u

typedef struct job {
    unsigned act;
    unsigned hit;
    fault_site *site;
    bool has_first; /* fails behind `first` only */
    fault_plan first;
} job;

typedef struct drive {
    const fault_level *level;
    const drive_options *options;
    unsigned hits;
    job jobs[JOBS_MAX];
    unsigned job_count;
    unsigned runs;
    unsigned strikes;
    bool is_known[FAULT_SITES_MAX]; /* some act reaches it on a good day */
    unsigned ways[FAULT_SITES_MAX]; /* failures that lead to it, else */
    bool was_used[FAULT_SITES_MAX]; /* of the exceptions */
    uint32_t struck[FAULT_SITES_MAX]; /* by error, as bits */
} drive;

static drive the_drive;
static char now_running[600];

static void on_abort(int number) {
    (void)number;
    fprintf(stderr, "fault: it was %s\n", now_running);
}

static unsigned index_of(const fault_site *site) {
    return (unsigned)(site - fault_site_at(0));
}

static bool is_claimed(const fault_level *level, const fault_site *site) {
    for (unsigned i = 0; level->claims[i] != NULL; i++) {
        if (strncmp(site->name, level->claims[i], strlen(level->claims[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* error NULL: of the site itself. */
static const fault_exception *exception_of(drive *d, const fault_site *site, const char *error) {
    for (unsigned i = 0; i < fault_exception_count; i++) {
        const fault_exception *e = &fault_exceptions[i];
        bool is_meant = error == NULL ? e->error == NULL
                                      : e->error != NULL && (strchr("*?", *e->error) != NULL ||
                                                             strcmp(e->error, error) == 0);
        if (is_meant && strcmp(e->site, site->name) == 0) {
            d->was_used[i] = true;
            return e;
        }
    }
    return NULL;
}

/* ---- running --------------------------------------------------------------------------------- */

static unsigned run(drive *d, unsigned act, const fault_plan *plans, unsigned count) {
    int length = snprintf(now_running, sizeof(now_running), "%s: %s", d->level->name,
                          d->level->act_name(act));
    for (unsigned i = 0; i < count && length > 0 && (size_t)length < sizeof(now_running); i++) {
        length += snprintf(now_running + length, sizeof(now_running) - (size_t)length,
                           "; call %u of %s (line %u) says %s", (unsigned)plans[i].hit,
                           plans[i].site->name, plans[i].site->line, plans[i].error->name);
    }
    if (d->options->is_verbose) {
        printf("%s\n", now_running);
        (void)fflush(stdout);
    }
    uint64_t began_ns = sl_clock_now_ns(sl_clock_system());
    unsigned struck = d->level->run(act, plans, count);
    if (d->options->is_verbose) {
        printf("  %u ms\n", (unsigned)((sl_clock_now_ns(sl_clock_system()) - began_ns) /
                                       SL_NS_PER_MS));
    }
    d->runs++;
    if (d->options->is_verbose && struck < count) {
        printf("  ... and did not\n");
    }
    d->strikes += struck > 0 && struck == count;
    return struck;
}

static void add_job(drive *d, unsigned act, fault_site *site, unsigned hit,
                    const fault_plan *first) {
    bool is_wanted = d->level->is_wanted == NULL || d->level->is_wanted(act, site);
    if (!is_wanted || (d->options->only_claims && !is_claimed(d->level, site))) {
        return;
    }
    EXPECT(d->job_count < JOBS_MAX);
    job *j = &d->jobs[d->job_count++];
    *j = (job){.act = act, .site = site, .hit = hit, .has_first = first != NULL};
    if (first != NULL) {
        j->first = *first;
    }
}

/* What an act reaches on a good day. */
static void look(drive *d, unsigned act) {
    uint32_t hits[FAULT_SITES_MAX];
    EXPECT(run(d, act, NULL, 0) == 0);
    for (unsigned i = 0; i < fault_site_count(); i++) {
        hits[i] = atomic_load(&fault_site_at(i)->hits);
    }
    for (unsigned i = 0; i < fault_site_count(); i++) {
        d->is_known[i] = d->is_known[i] || hits[i] > 0;
        for (unsigned hit = 1; hit <= hits[i] && hit <= d->hits; hit++) {
            add_job(d, act, fault_site_at(i), hit, NULL);
        }
    }
}

static void find_new(drive *d, const job *j, const fault_plan *plans) {
    for (unsigned i = 0; i < fault_site_count() && !j->has_first; i++) {
        fault_site *site = fault_site_at(i);
        if (!d->is_known[i] && d->ways[i] < WAYS_MAX && atomic_load(&site->hits) > 0) {
            d->ways[i]++;
            add_job(d, j->act, site, 1, &plans[0]);
        }
    }
}

static void do_job(drive *d, const job *j) {
    for (unsigned i = 0; i < j->site->call->error_count; i++) {
        const fault_error *error = &j->site->call->errors[i];
        bool is_done = j->has_first && (d->struck[index_of(j->site)] & 1u << i) != 0;
        if (is_done || exception_of(d, j->site, error->name) != NULL) {
            continue;
        }
        fault_plan plans[2];
        unsigned count = 0;
        if (j->has_first) {
            plans[count++] = j->first;
        }
        plans[count++] = (fault_plan){.site = j->site, .error = error, .hit = j->hit};
        unsigned tries = 0;
        bool is_met;
        do { /* another thread's call may come a little later than on the first day */
            is_met = run(d, j->act, plans, count) == count;
        } while (!is_met && j->hit == 1 && ++tries < TRIES_MAX);
        d->struck[index_of(j->site)] |= is_met ? 1u << i : 0;
        find_new(d, j, plans);
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

static bool judge_site(drive *d, const fault_site *site, unsigned *reached) {
    bool is_good = true;
    const fault_exception *any = exception_of(d, site, "");
    bool is_excepted = exception_of(d, site, NULL) != NULL;
    if (any != NULL && strcmp(any->error, "?") == 0) {
        *reached += atomic_load(&site->all_hits) > 0;
        return true;
    }
    if (atomic_load(&site->all_hits) == 0) {
        if (!is_excepted) {
            printf("not reached: %s (line %u)\n", site->name, site->line);
        }
        return is_excepted;
    }
    (*reached)++;
    if (is_excepted) {
        printf("reached, and excepted as not reached: %s\n", site->name);
        is_good = false;
    }
    for (unsigned i = 0; i < site->call->error_count; i++) {
        const char *error = site->call->errors[i].name;
        if ((d->struck[index_of(site)] & 1u << i) == 0 && exception_of(d, site, error) == NULL) {
            printf("did not fail with %s: %s (line %u)\n", error, site->name, site->line);
            is_good = false;
        }
    }
    return is_good;
}

static bool judge(drive *d) {
    bool is_good = true;
    unsigned claimed = 0;
    unsigned reached = 0;
    unsigned errors = 0;
    for (unsigned i = 0; i < fault_site_count(); i++) {
        const fault_site *site = fault_site_at(i);
        if (is_claimed(d->level, site)) {
            claimed++;
            is_good = judge_site(d, site, &reached) && is_good;
            for (uint32_t bits = d->struck[i]; bits != 0; bits &= bits - 1) {
                errors++;
            }
        }
    }
    unsigned excepted = 0;
    for (unsigned i = 0; i < fault_exception_count; i++) {
        const fault_exception *e = &fault_exceptions[i];
        bool is_ours = false;
        for (unsigned c = 0; d->level->claims[c] != NULL; c++) {
            is_ours = is_ours || strncmp(e->site, d->level->claims[c],
                                         strlen(d->level->claims[c])) == 0;
        }
        if (is_ours && !d->was_used[i]) {
            printf("excepted for nothing: %s %s\n", e->site, e->error != NULL ? e->error : "");
            is_good = false;
        } else if (is_ours && e->error == NULL) {
            printf("cannot be reached: %s: %s\n", e->site, e->reason);
            excepted++;
        }
    }
    printf("%s: %u of %u call sites reached (%u cannot be), %u failures of a site by an error, "
           "%u runs, %u of them met it\n",
           d->level->name, reached, claimed, excepted, errors, d->runs, d->strikes);
    return is_good;
}

bool drive_level(const fault_level *level, const drive_options *options) {
    drive *d = &the_drive;
    memset(d, 0, sizeof(*d));
    d->level = level;
    d->options = options;
    d->hits = options->hits != 0 ? options->hits : level->hits;
    (void)signal(SIGABRT, on_abort);
    for (unsigned act = 0; act < level->count_acts(); act++) {
        look(d, act);
    }
    for (unsigned i = 0; i < d->job_count; i++) {
        bool is_wanted = options->only_site == NULL ||
                         strstr(d->jobs[i].site->name, options->only_site) != NULL;
        if (is_wanted && i % options->parts == options->part) {
            do_job(d, &d->jobs[i]);
        }
    }
    return options->parts > 1 || options->only_site != NULL ? true : judge(d);
}
