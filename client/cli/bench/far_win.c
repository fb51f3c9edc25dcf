/*
 * far_win.c - see far.h: overlapped named pipes, a file mapping, a job that ends with us.
 *
 * An overlapped pipe is used one call at a time, each waited for at once. What a far process
 * inherits is inheritable from just before it is started until just after; nothing else is started
 * meanwhile, because one thread measures.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/thread.h"
#include "client/cli/bench/far.h"

#define COMMAND_CHARS 1024
#define BUSY_NS       (10 * SL_NS_PER_S)

/* ---- streams ------------------------------------------------------------------------------- */

static bool stream_of(HANDLE pipe, bench_stream *ret_stream) {
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    *ret_stream = (bench_stream){(uintptr_t)pipe, (uintptr_t)event};
    return event != NULL;
}

static void wide_name(const char *name, WCHAR ret_name[BENCH_NAME_BYTES + 16]) {
    (void)swprintf(ret_name, BENCH_NAME_BYTES + 16, L"\\\\.\\pipe\\%hs", name);
}

bool bench_stream_connect(const char *name, bench_stream *ret_stream) {
    WCHAR wide[BENCH_NAME_BYTES + 16];
    uint64_t deadline_ns = sl_clock_now_ns(sl_clock_system()) + BUSY_NS;
    wide_name(name, wide);
    for (;;) {
        HANDLE pipe = CreateFileW(
            wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
            FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
        if (pipe != INVALID_HANDLE_VALUE) {
            return stream_of(pipe, ret_stream);
        }
        if (GetLastError() != ERROR_PIPE_BUSY || sl_clock_now_ns(sl_clock_system()) > deadline_ns) {
            return false;
        }
        sl_thread_yield(); /* it lets go of its last connection just now */
    }
}

bool bench_stream_pipe(bench_stream ret_ends[2]) {
    HANDLE ends[2];
    if (!CreatePipe(&ends[0], &ends[1], NULL, BENCH_BUFFER_BYTES)) {
        return false;
    }
    ret_ends[0] = (bench_stream){.os = (uintptr_t)ends[0]};
    ret_ends[1] = (bench_stream){.os = (uintptr_t)ends[1]};
    return true;
}

void bench_stream_close(bench_stream *stream) {
    if (stream->os != 0) {
        (void)CloseHandle((HANDLE)stream->os);
    }
    if (stream->os_event != 0) {
        (void)CloseHandle((HANDLE)stream->os_event);
    }
    *stream = (bench_stream){0};
}

/* One call and its end; the bytes, 0 = the other end is gone. */
static size_t transfer(bench_stream *stream, void *bytes, size_t count, bool is_read) {
    OVERLAPPED how = {.hEvent = (HANDLE)stream->os_event};
    OVERLAPPED *overlapped = stream->os_event != 0 ? &how : NULL;
    HANDLE pipe = (HANDLE)stream->os;
    DWORD done = 0;
    BOOL ok = is_read ? ReadFile(pipe, bytes, (DWORD)count, &done, overlapped)
                      : WriteFile(pipe, bytes, (DWORD)count, &done, overlapped);
    if (!ok && GetLastError() == ERROR_IO_PENDING) {
        ok = GetOverlappedResult(pipe, &how, &done, TRUE);
    }
    return ok ? done : 0;
}

bool bench_stream_write(bench_stream *stream, const void *bytes, size_t count) {
    return transfer(stream, (void *)(uintptr_t)bytes, count, false) == count;
}

size_t bench_stream_read_some(bench_stream *stream, void *bytes, size_t room) {
    return transfer(stream, bytes, room, true);
}

bool bench_stream_read(bench_stream *stream, void *bytes, size_t count) {
    char *at = bytes;
    while (count > 0) {
        size_t got = bench_stream_read_some(stream, at, count);
        if (got == 0) {
            return false;
        }
        at += got;
        count -= got;
    }
    return true;
}

/* ---- far processes ------------------------------------------------------------------------- */

static HANDLE job; /* closed by our end, whatever that is */

static bool make_job(void) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    memset(&limits, 0, sizeof(limits));
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    job = job != NULL ? job : CreateJobObjectW(NULL, NULL);
    return job != NULL &&
           SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits));
}

/* Arguments: the role, who we are, the next one's name or "-", the handles of the listener and of
 * the region, or 0. */
static bool start(bench_role role, const char *next, HANDLE listener, HANDLE region,
                  PROCESS_INFORMATION *ret_process) {
    WCHAR program[MAX_PATH], command[COMMAND_CHARS];
    STARTUPINFOW how = {.cb = sizeof(how)};
    DWORD length = GetModuleFileNameW(NULL, program, MAX_PATH);
    if (length == 0 || length >= MAX_PATH || !make_job()) {
        return false;
    }
    (void)swprintf(command, COMMAND_CHARS, L"\"%ls\" bench --far %d %lu %hs %llu %llu", program,
                   (int)role, GetCurrentProcessId(), next != NULL ? next : "-",
                   (unsigned long long)(uintptr_t)listener, (unsigned long long)(uintptr_t)region);
    if (!CreateProcessW(program, command, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &how,
                        ret_process)) {
        return false;
    }
    (void)AssignProcessToJobObject(job, ret_process->hProcess);
    (void)ResumeThread(ret_process->hThread);
    (void)CloseHandle(ret_process->hThread);
    return true;
}

static HANDLE listen_at(bench_far *peer, SECURITY_ATTRIBUTES *inherited) {
    static unsigned serial;
    WCHAR wide[BENCH_NAME_BYTES + 16];
    (void)snprintf(peer->name, sizeof(peer->name), "sluice-bench-%lu-%u", GetCurrentProcessId(),
                   serial++);
    (void)snprintf(peer->address, sizeof(peer->address), "pipe:%s", peer->name);
    wide_name(peer->name, wide);
    return CreateNamedPipeW(
        wide, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
        PIPE_TYPE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1, BENCH_BUFFER_BYTES,
        BENCH_BUFFER_BYTES, 0, inherited);
}

static HANDLE share_memory(bench_far *peer, SECURITY_ATTRIBUTES *inherited) {
    HANDLE mapping = CreateFileMappingW(INVALID_HANDLE_VALUE, inherited, PAGE_READWRITE, 0,
                                        sizeof(bench_region), NULL);
    if (mapping != NULL) {
        peer->region = MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, sizeof(bench_region));
    }
    return mapping;
}

int bench_far_start(const bench_stage *stage, bench_role role, bench_place place, const char *next,
                    bench_far *ret_far) {
    const unsigned processors[] = {stage->home, stage->away, stage->third};
    SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
    PROCESS_INFORMATION process;
    *ret_far = (bench_far){.role = role};
    bool shares = role == BENCH_ROLE_RING || role == BENCH_ROLE_SHARED;
    HANDLE listener = listen_at(ret_far, &inherited);
    HANDLE region = shares ? share_memory(ret_far, &inherited) : NULL;
    bool ok = listener != INVALID_HANDLE_VALUE && (!shares || ret_far->region != NULL) &&
              start(role, next, listener, region, &process);
    if (listener != INVALID_HANDLE_VALUE) {
        (void)CloseHandle(listener);
    }
    if (region != NULL) {
        (void)CloseHandle(region);
    }
    if (ok) {
        ret_far->process_id = process.dwProcessId;
        ret_far->os_process = (uintptr_t)process.hProcess;
        ok = stage->topology == BENCH_ANY ||
             bench_machine_pin(ret_far->process_id, processors[place]);
    }
    if (!ok) {
        bench_far_stop(ret_far);
        return SLUICE_EOSLIMIT;
    }
    return SLUICE_OK;
}

void bench_far_stop(bench_far *peer) {
    if (peer->os_process != 0) {
        (void)TerminateProcess((HANDLE)peer->os_process, 0);
        (void)WaitForSingleObject((HANDLE)peer->os_process, INFINITE);
        (void)CloseHandle((HANDLE)peer->os_process);
    }
    if (peer->region != NULL) {
        (void)UnmapViewOfFile(peer->region);
    }
    *peer = (bench_far){0};
}

bool bench_far_lives(const bench_far *peer) {
    return WaitForSingleObject((HANDLE)peer->os_process, 0) == WAIT_TIMEOUT;
}

bool bench_far_process(void) {
    PROCESS_INFORMATION process;
    DWORD code = 1;
    if (!start(BENCH_ROLE_END, NULL, NULL, NULL, &process)) {
        return false;
    }
    (void)WaitForSingleObject(process.hProcess, INFINITE);
    (void)GetExitCodeProcess(process.hProcess, &code);
    (void)CloseHandle(process.hProcess);
    return code == 0;
}

/* False: no more clients. One that is gone again already (NO_DATA) is one that says nothing. */
static bool next_client(bench_stream *stream) {
    OVERLAPPED how = {.hEvent = (HANDLE)stream->os_event};
    DWORD none;
    if (ConnectNamedPipe((HANDLE)stream->os, &how) || GetLastError() == ERROR_PIPE_CONNECTED ||
        GetLastError() == ERROR_NO_DATA) {
        return true;
    }
    return GetLastError() == ERROR_IO_PENDING &&
           GetOverlappedResult((HANDLE)stream->os, &how, &none, TRUE);
}

int bench_far_serve(int count, char **argv) {
    if (count != 5) {
        return CLI_EXIT_USAGE;
    }
    bench_role role = (bench_role)atoi(argv[0]);
    HANDLE listener = (HANDLE)(uintptr_t)strtoull(argv[3], NULL, 10);
    HANDLE mapping = (HANDLE)(uintptr_t)strtoull(argv[4], NULL, 10);
    if (role == BENCH_ROLE_END) {
        return 0;
    }
    if (role == BENCH_ROLE_AWAKE) {
        bench_machine_be_idle();
        for (volatile uint64_t turns = 0;; turns++) {
        }
    }
    bench_region *region = NULL;
    if (mapping != NULL) {
        region = MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, sizeof(*region));
    }
    bench_stream stream;
    if (!stream_of(listener, &stream) || (mapping != NULL && region == NULL)) {
        return CLI_EXIT_FOUND;
    }
    while (next_client(&stream)) {
        bench_role_play(role, &stream, strcmp(argv[2], "-") != 0 ? argv[2] : NULL, region);
        (void)DisconnectNamedPipe(listener);
    }
    return CLI_EXIT_FOUND;
}
