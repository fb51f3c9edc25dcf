/*
 * bench_peer_win.c - the raw side of `sluice bench` on Windows: blocking calls on named pipes.
 *
 * The echo process is this program with a hidden command line; it has a few threads, each serving
 * one connection after another with synchronous calls, and ends with its job. The tool's raw side:
 * kept out of the audit's judgement (docs/audit.md).
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "client/cli/bench.h"

#define SERVERS    4 /* threads of each kind: connections at a time */
#define NAME_CHARS 64
#define TRIES      2000

struct bench_peer {
    char name[NAME_CHARS], address[NAME_CHARS + 8];
    HANDLE job, process;
    HANDLE echo, relay;
    HANDLE pipe[2];
};

bool bench_peer_pin(unsigned processor) {
    return SetProcessAffinityMask(GetCurrentProcess(), (DWORD_PTR)1 << processor) != 0;
}

static bool write_all(HANDLE pipe, const char *bytes, DWORD count) {
    DWORD done = 0;
    return WriteFile(pipe, bytes, count, &done, NULL) && done == count;
}

static bool read_all(HANDLE pipe, char *bytes, DWORD count) {
    while (count > 0) {
        DWORD got = 0;
        if (!ReadFile(pipe, bytes, count, &got, NULL) || got == 0) {
            return false;
        }
        bytes += got;
        count -= got;
    }
    return true;
}

static bool exchange(HANDLE pipe) {
    char bytes[BENCH_BYTES];
    memset(bytes, 'x', sizeof(bytes));
    return write_all(pipe, bytes, sizeof(bytes)) && read_all(pipe, bytes, sizeof(bytes));
}

/* "\\.\pipe\NAME" with a suffix for the relay. */
static void wide_name(const char *name, bool is_relay, WCHAR *ret_wide) {
    WCHAR *at = ret_wide;
    for (const char *prefix = "\\\\.\\pipe\\"; *prefix != '\0'; prefix++) {
        *at++ = (WCHAR)*prefix;
    }
    for (; *name != '\0'; name++) {
        *at++ = (WCHAR)*name;
    }
    if (is_relay) {
        *at++ = L'r';
    }
    *at = 0;
}

/* The echo process may not listen yet, or be busy with an earlier connection. */
static HANDLE connect_to(const char *name, bool is_relay) {
    WCHAR wide[NAME_CHARS + 16];
    wide_name(name, is_relay, wide);
    for (int i = 0; i < TRIES; i++) {
        HANDLE pipe = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                                  SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
        if (pipe != INVALID_HANDLE_VALUE) {
            return pipe;
        }
        (void)WaitForSingleObject(GetCurrentThread(), 5); /* a thread waits in vain for itself */
    }
    return INVALID_HANDLE_VALUE;
}

/* ---- the echo process ---------------------------------------------------------------------- */

typedef struct server {
    const char *name;
    bool is_relay;
} server;

static void serve_connections(void *context) {
    const server *self = context;
    WCHAR wide[NAME_CHARS + 16];
    wide_name(self->name, self->is_relay, wide);
    for (;;) {
        HANDLE pipe = CreateNamedPipeW(wide, PIPE_ACCESS_DUPLEX,
                                       PIPE_TYPE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                                       PIPE_UNLIMITED_INSTANCES, 65536, 65536, 0, NULL);
        HANDLE next = INVALID_HANDLE_VALUE;
        char bytes[BENCH_BYTES];
        if (pipe == INVALID_HANDLE_VALUE) {
            return;
        }
        if (ConnectNamedPipe(pipe, NULL) || GetLastError() == ERROR_PIPE_CONNECTED) {
            if (self->is_relay) {
                next = connect_to(self->name, false);
            }
            while (read_all(pipe, bytes, sizeof(bytes))) {
                if (self->is_relay && !(write_all(next, bytes, sizeof(bytes)) &&
                                        read_all(next, bytes, sizeof(bytes)))) {
                    break;
                }
                if (!write_all(pipe, bytes, sizeof(bytes))) {
                    break;
                }
            }
        }
        if (next != INVALID_HANDLE_VALUE) {
            (void)CloseHandle(next);
        }
        (void)CloseHandle(pipe);
    }
}

int bench_peer_serve(const char *name) {
    static server servers[2];
    sl_thread threads[2 * SERVERS];
    for (unsigned i = 0; i < 2; i++) {
        servers[i] = (server){.name = name, .is_relay = i == 1};
    }
    for (unsigned i = 0; i < 2 * SERVERS; i++) {
        if (sl_thread_start(&threads[i], "bench-echo", serve_connections, &servers[i % 2]) !=
            SLUICE_OK) {
            return 1;
        }
    }
    for (unsigned i = 0; i < 2 * SERVERS; i++) {
        sl_thread_join(&threads[i]); /* never: the job ends this process */
    }
    return 0;
}

/* ---- the tool ------------------------------------------------------------------------------ */

static bool start_process(bench_peer *peer) {
    WCHAR program[MAX_PATH], command[MAX_PATH + 128];
    STARTUPINFOW start = {.cb = sizeof(start)};
    PROCESS_INFORMATION information;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    DWORD length = GetModuleFileNameW(NULL, program, MAX_PATH);
    if (length == 0 || length >= MAX_PATH) {
        return false;
    }
    (void)swprintf(command, MAX_PATH + 128, L"\"%ls\" bench --serve %hs", program, peer->name);
    memset(&limits, 0, sizeof(limits));
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    peer->job = CreateJobObjectW(NULL, NULL);
    if (peer->job == NULL ||
        !SetInformationJobObject(peer->job, JobObjectExtendedLimitInformation, &limits,
                                 sizeof(limits)) ||
        !CreateProcessW(program, command, NULL, NULL, FALSE, CREATE_SUSPENDED, NULL, NULL, &start,
                        &information)) {
        return false;
    }
    peer->process = information.hProcess;
    (void)AssignProcessToJobObject(peer->job, information.hProcess);
    (void)ResumeThread(information.hThread);
    (void)CloseHandle(information.hThread);
    return true;
}

int bench_peer_start(bench_peer **ret_peer) {
    bench_peer *peer = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*peer));
    if (peer == NULL) {
        return SLUICE_ENOMEM;
    }
    *ret_peer = peer;
    peer->echo = peer->relay = INVALID_HANDLE_VALUE;
    (void)snprintf(peer->name, sizeof(peer->name), "sluice-bench-%lu", GetCurrentProcessId());
    (void)snprintf(peer->address, sizeof(peer->address), "pipe:%s", peer->name);
    if (!start_process(peer)) {
        return SLUICE_EOS;
    }
    peer->echo = connect_to(peer->name, false);
    peer->relay = connect_to(peer->name, true);
    bool ok = peer->echo != INVALID_HANDLE_VALUE && peer->relay != INVALID_HANDLE_VALUE &&
              CreatePipe(&peer->pipe[0], &peer->pipe[1], NULL, 65536);
    return ok ? SLUICE_OK : SLUICE_EOS;
}

void bench_peer_stop(bench_peer *peer) {
    if (peer == NULL) {
        return;
    }
    if (peer->process != NULL) {
        (void)TerminateProcess(peer->process, 0);
        (void)WaitForSingleObject(peer->process, 5000);
    }
    HANDLE handles[] = {peer->echo,    peer->relay,   peer->pipe[0],
                        peer->pipe[1], peer->process, peer->job};
    for (unsigned i = 0; i < 6; i++) {
        if (handles[i] != NULL && handles[i] != INVALID_HANDLE_VALUE) {
            (void)CloseHandle(handles[i]);
        }
    }
    sl_allocator_system()->release(sl_allocator_system(), peer, sizeof(*peer));
}

const char *bench_peer_address(const bench_peer *peer) {
    return peer->address;
}

bool bench_peer_ping(bench_peer *peer) {
    return exchange(peer->echo);
}

bool bench_peer_relay(bench_peer *peer) {
    return exchange(peer->relay);
}

bool bench_peer_calls(bench_peer *peer) {
    char bytes[BENCH_BYTES] = {'x'};
    return write_all(peer->pipe[1], bytes, sizeof(bytes)) &&
           read_all(peer->pipe[0], bytes, sizeof(bytes));
}

void bench_peer_wait(uint64_t waitable) {
    (void)WaitForSingleObject((HANDLE)(uintptr_t)waitable, 1000);
}
