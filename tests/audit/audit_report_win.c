/*
 * audit_report_win.c - violations: recorded anywhere without I/O, printed by the main thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audit_win.h"

#define KEPT_MAX 64 /* violations told in full; the rest are counted */

typedef struct audit_violation_record {
    atomic_bool is_complete;
    audit_violation_kind kind;
    DWORD thread_id;
    DWORD other_thread_id; /* 0 = none */
    audit_site site;
    audit_site other;
} audit_violation_record;

#define AUDIT_VIOLATION_NAME(id, name) name,
static const char *const kind_names[AUDIT_VIOLATION_KINDS] = {
    AUDIT_VIOLATIONS(AUDIT_VIOLATION_NAME)};

static audit_violation_record kept[KEPT_MAX];
static atomic_uint_fast64_t count_of_kind[AUDIT_VIOLATION_KINDS];
static atomic_uint_fast64_t total;

static bool concerns_others(audit_violation_kind kind, const audit_thread *other_thread) {
    bool is_foreign = kind == AUDIT_ISSUE_FOREIGN || kind == AUDIT_CANCEL_FOREIGN ||
                      kind == AUDIT_CLOSE_FOREIGN || kind == AUDIT_DEQUEUE_FOREIGN ||
                      kind == AUDIT_CANCEL_SYNCHRONOUS || kind == AUDIT_CANCEL_WORKER;
    return is_foreign && other_thread != NULL && !other_thread->is_exempt;
}

void audit_violation(audit_violation_kind kind, const audit_thread *thread, const audit_site *site,
                     const audit_thread *other_thread, const audit_site *other) {
    if (thread->is_exempt && !concerns_others(kind, other_thread)) {
        return;
    }
    atomic_fetch_add(&count_of_kind[kind], 1);
    uint64_t index = atomic_fetch_add(&total, 1);
    if (index >= KEPT_MAX) {
        return;
    }
    audit_violation_record *record = &kept[index];
    record->kind = kind;
    record->thread_id = thread->id;
    record->other_thread_id = other_thread == NULL ? 0 : other_thread->id;
    record->site = *site;
    if (other != NULL) {
        record->other = *other;
    }
    atomic_store(&record->is_complete, true);
}

/* ---- counts ---------------------------------------------------------------------------------- */

uint64_t sluice_audit_calls(const char *function) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < AUDIT_FUNCTION_COUNT; i++) {
        if (function != NULL && strcmp(audit_functions[i]->name, function) != 0) {
            continue;
        }
        for (audit_thread *thread = audit_threads(); thread != NULL; thread = thread->next) {
            sum += atomic_load_explicit(&thread->calls[i], memory_order_relaxed);
        }
    }
    return sum;
}

uint64_t sluice_audit_violations(void) {
    return atomic_load(&total);
}

uint64_t sluice_audit_violations_of(const char *kind) {
    for (unsigned i = 0; i < AUDIT_VIOLATION_KINDS; i++) {
        if (strcmp(kind_names[i], kind) == 0) {
            return atomic_load(&count_of_kind[i]);
        }
    }
    return 0;
}

uint64_t sluice_audit_outstanding(void) {
    int64_t sum = 0;
    for (audit_thread *thread = audit_threads(); thread != NULL; thread = thread->next) {
        sum += atomic_load(&thread->outstanding);
    }
    return sum < 0 ? 0 : (uint64_t)sum;
}

void sluice_audit_exempt_thread(bool is_exempt) {
    audit_thread_self()->is_exempt = is_exempt;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* To standard error by the true WriteFile: the report is not part of what it reports. */
__attribute__((format(printf, 1, 2))) static void print(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return;
    }
    DWORD size = (DWORD)length < sizeof line ? (DWORD)length : (DWORD)sizeof line - 1;
    DWORD written = 0;
    AUDIT_TRUE(WriteFile)(GetStdHandle(STD_ERROR_HANDLE), line, size, &written, NULL);
}

/* What a thread was, judged by what it did. */
typedef enum audit_role {
    ROLE_WORKER, /* overlapped only */
    ROLE_OPENER, /* opens and look-ups, nothing overlapped */
    ROLE_SYNC,   /* synchronous transfers only: the log, a test's main thread or peer */
    ROLE_IDLE,   /* neither */
    ROLE_BOTH,
    ROLE_EXEMPT,
    ROLE_COUNT
} audit_role;

static const char *const role_names[ROLE_COUNT] = {"worker", "opener", "synchronous",
                                                   "idle",   "both",   "exempt"};

static audit_role role_of(const audit_thread *thread) {
    uint64_t sync = atomic_load(&thread->sync_count);
    uint64_t overlapped = atomic_load(&thread->overlapped_count);
    if (thread->is_exempt) {
        return ROLE_EXEMPT;
    }
    if (overlapped > 0) {
        return sync > 0 ? ROLE_BOTH : ROLE_WORKER;
    }
    if (sync > 0) {
        return atomic_load(&thread->open_count) > 0 ? ROLE_OPENER : ROLE_SYNC;
    }
    return ROLE_IDLE;
}

static const char *role_by_id(DWORD id) {
    for (audit_thread *thread = audit_threads(); thread != NULL; thread = thread->next) {
        if (thread->id == id) {
            return role_names[role_of(thread)];
        }
    }
    return "unknown";
}

/* The module that holds an address, and the offset that addr2line or nm will know. */
static void print_site(const char *prefix, DWORD thread_id, const audit_site *site) {
    HMODULE module = NULL;
    char path[MAX_PATH] = "?";
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                           GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       (LPCWSTR)site->where, &module);
    if (module != NULL) {
        GetModuleFileNameA(module, path, sizeof path);
    }
    const char *base = strrchr(path, '\\');
    print("%sthread 0x%lx (%s) %s handle 0x%llx at %s+0x%llx\n", prefix, (unsigned long)thread_id,
          role_by_id(thread_id), site->function == NULL ? "?" : site->function->name,
          (unsigned long long)site->handle, base == NULL ? path : base + 1,
          (unsigned long long)((uintptr_t)site->where - (uintptr_t)module));
}

static void print_violations(uint64_t count) {
    for (uint64_t i = 0; i < count && i < KEPT_MAX; i++) {
        const audit_violation_record *record = &kept[i];
        if (!atomic_load(&record->is_complete)) {
            continue;
        }
        print("sluice-audit: VIOLATION %s\n", kind_names[record->kind]);
        print_site("sluice-audit:   by      ", record->thread_id, &record->site);
        if (record->other_thread_id != 0 && record->other.function != NULL) {
            print_site("sluice-audit:   against ", record->other_thread_id, &record->other);
        } else if (record->other_thread_id != 0) {
            print("sluice-audit:   against thread 0x%lx (%s)\n",
                  (unsigned long)record->other_thread_id, role_by_id(record->other_thread_id));
        }
    }
    if (count > KEPT_MAX) {
        print("sluice-audit: ... and %llu more\n", (unsigned long long)(count - KEPT_MAX));
    }
}

uint64_t sluice_audit_report(void) {
    uint64_t violations = sluice_audit_violations();
    print_violations(violations);
    unsigned roles[ROLE_COUNT] = {0};
    unsigned threads = 0;
    uint64_t sync = 0;
    uint64_t overlapped = 0;
    uint64_t dequeued = 0;
    uint64_t cancels = 0;
    uint64_t closes = 0;
    for (audit_thread *thread = audit_threads(); thread != NULL; thread = thread->next) {
        threads++;
        roles[role_of(thread)]++;
        sync += atomic_load(&thread->sync_count);
        overlapped += atomic_load(&thread->overlapped_count);
        dequeued += atomic_load(&thread->dequeued_count);
        cancels += atomic_load(&thread->cancel_count);
        closes += atomic_load(&thread->close_count);
    }
    print("sluice-audit: %u threads (%u worker, %u opener, %u synchronous, %u idle, %u both, "
          "%u exempt)\n",
          threads, roles[ROLE_WORKER], roles[ROLE_OPENER], roles[ROLE_SYNC], roles[ROLE_IDLE],
          roles[ROLE_BOTH], roles[ROLE_EXEMPT]);
    print("sluice-audit: %llu overlapped, %llu synchronous, %llu dequeued, %llu cancels, "
          "%llu closes, %llu outstanding, violations %llu\n",
          (unsigned long long)overlapped, (unsigned long long)sync, (unsigned long long)dequeued,
          (unsigned long long)cancels, (unsigned long long)closes,
          (unsigned long long)sluice_audit_outstanding(), (unsigned long long)violations);
    return violations;
}

void audit_report_at_exit(bool is_quiet) {
    /* What is in flight now will not come back to the thread that issued it. */
    for (audit_thread *thread = audit_threads(); thread != NULL; thread = thread->next) {
        if (!atomic_load(&thread->has_ended) && atomic_load(&thread->outstanding) > 0) {
            audit_violation(AUDIT_THREAD_EXIT, thread, &thread->first_overlapped, NULL, NULL);
        }
    }
    if (is_quiet && sluice_audit_violations() == 0) {
        return;
    }
    if (sluice_audit_report() > 0) {
        AUDIT_TRUE(fflush)(NULL); /* the tests' own output, which ExitProcess would not write */
        AUDIT_TRUE(ExitProcess)(SLUICE_AUDIT_EXIT_CODE);
    }
}
