/*
 * clock_win.c - the system clock on Windows.
 *
 * QueryUnbiasedInterruptTimePrecise (Windows 10 and later, in kernelbase) counts 100 ns units
 * without sleep and hibernation. Wine 8 lacks it, and Wine 10 has it, but no better than
 * QueryUnbiasedInterruptTime, which moves in steps of up to 16 ms [both measured]. The substitute
 * there is QueryPerformanceCounter: under Wine it is the host's CLOCK_MONOTONIC(_RAW), which does
 * not count suspend either, in steps of 100 ns. On Windows itself it would count sleep, but there
 * the precise clock always exists (we need 1809). One source for the life of the process: the two
 * never mix, which keeps the clock monotonic.
 */
#include "base/clock.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/wine_win.h"

typedef VOID(WINAPI *precise_fn)(PULONGLONG ret_time_100ns);
typedef uint64_t (*source_fn)(void);

static uint64_t resolve_now_ns(void);

static _Atomic(source_fn) now_source = resolve_now_ns;
static _Atomic(precise_fn) precise;

static uint64_t precise_now_ns(void) {
    ULONGLONG now_100ns = 0;
    atomic_load_explicit(&precise, memory_order_relaxed)(&now_100ns);
    return (uint64_t)now_100ns * 100;
}

static uint64_t counter_now_ns(void) {
    LARGE_INTEGER frequency;
    LARGE_INTEGER now;
    /* Both cannot fail on Windows XP and later [docs]. */
    SL_CHECK(QueryPerformanceFrequency(&frequency) && QueryPerformanceCounter(&now),
             "the system has a performance counter");
    uint64_t per_s = (uint64_t)frequency.QuadPart;
    uint64_t ticks = (uint64_t)now.QuadPart;
    return ticks / per_s * SL_NS_PER_S + ticks % per_s * SL_NS_PER_S / per_s;
}

/* The first calls come here; several threads at once find the same. */
static uint64_t resolve_now_ns(void) {
    HMODULE kernelbase = GetModuleHandleW(L"kernelbase.dll");
    precise_fn found = NULL;
    if (kernelbase != NULL && !sl_wine_is_here()) {
        found = (precise_fn)(void (*)(void))GetProcAddress(kernelbase,
                                                           "QueryUnbiasedInterruptTimePrecise");
    }
    source_fn source = found != NULL ? precise_now_ns : counter_now_ns;
    atomic_store_explicit(&precise, found, memory_order_relaxed);
    atomic_store_explicit(&now_source, source, memory_order_release);
    return source();
}

static uint64_t system_now_ns(sl_clock *clock) {
    (void)clock;
    return atomic_load_explicit(&now_source, memory_order_acquire)();
}

static uint64_t utc_now_ns(sl_clock *clock) {
    FILETIME now; /* 100 ns since 1601-01-01 [docs]; 1970-01-01 is 11644473600 s later */
    (void)clock;
    GetSystemTimePreciseAsFileTime(&now);
    uint64_t since_1601 = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (since_1601 - UINT64_C(116444736000000000)) * 100;
}

sl_clock *sl_clock_utc(void) {
    static sl_clock utc_clock = {utc_now_ns};
    return &utc_clock;
}

sl_clock *sl_clock_system(void) {
    static sl_clock system_clock = {system_now_ns};
    return &system_clock;
}
