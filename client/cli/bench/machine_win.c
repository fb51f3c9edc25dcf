/*
 * machine_win.c - see far.h: what Windows says of processes and processors.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <psapi.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/bench/far.h"

static HANDLE process_of(uint64_t process_id, DWORD access) {
    return process_id != 0 ? OpenProcess(access, FALSE, (DWORD)process_id) : NULL;
}

bool bench_machine_pin(uint64_t process_id, unsigned processor) {
    HANDLE process =
        process_of(process_id, PROCESS_SET_INFORMATION | PROCESS_QUERY_LIMITED_INFORMATION);
    bool ok = process != NULL && SetProcessAffinityMask(process, (DWORD_PTR)1 << processor);
    if (process != NULL) {
        (void)CloseHandle(process);
    }
    return ok;
}

static uint64_t ticks(const FILETIME *time) {
    return (uint64_t)time->dwHighDateTime << 32 | time->dwLowDateTime;
}

uint64_t bench_machine_cpu_ns(uint64_t process_id) {
    FILETIME created, ended, kernel, user;
    HANDLE process = process_of(process_id, PROCESS_QUERY_LIMITED_INFORMATION);
    uint64_t taken_ns = 0;
    if (process != NULL && GetProcessTimes(process, &created, &ended, &kernel, &user)) {
        taken_ns = (ticks(&kernel) + ticks(&user)) * 100;
    }
    if (process != NULL) {
        (void)CloseHandle(process);
    }
    return taken_ns;
}

uint64_t bench_machine_memory(uint64_t process_id, const char **ret_kind) {
    PROCESS_MEMORY_COUNTERS_EX counters = {.cb = sizeof(counters)};
    HANDLE process = process_of(process_id, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_VM_READ);
    *ret_kind = "private bytes";
    if (process != NULL) {
        (void)K32GetProcessMemoryInfo(process, (PROCESS_MEMORY_COUNTERS *)&counters,
                                      sizeof(counters));
        (void)CloseHandle(process);
    }
    return counters.PrivateUsage;
}

bench_times bench_machine_times(void) {
    FILETIME idle, kernel, user;
    bench_times times = {.stolen = -1};
    if (GetSystemTimes(&idle, &kernel, &user)) { /* the kernel's time has the idle time in it */
        times.all = (double)(ticks(&kernel) + ticks(&user));
        times.busy = times.all - (double)ticks(&idle);
    }
    return times;
}

void bench_machine_words(char *ret_text, size_t size) {
    SYSTEM_INFO info;
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    bool is_wine = ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
    GetNativeSystemInfo(&info);
    (void)snprintf(ret_text, size, "%lu processors, %s", info.dwNumberOfProcessors,
                   is_wine ? "Wine: its times say nothing about Windows" : "Windows");
}

void bench_machine_be_idle(void) {
    (void)SetPriorityClass(GetCurrentProcess(), IDLE_PRIORITY_CLASS);
    (void)SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_IDLE);
}

void bench_machine_wait(uint64_t waitable) {
    (void)WaitForSingleObject((HANDLE)(uintptr_t)waitable, 1000);
}
