/*
 * cases_win.c - runs one case of the run-time audit's self-test: audit_cases CASE. See cases_win.h.
 */
#include "cases_win.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice_audit.h"

#define WAIT_MS 10000

typedef struct thread_start {
    thread_fn run;
    void *context;
} thread_start;

static char read_byte; /* where the cases' reads go; nobody looks */
static WCHAR last_name[64];
static LONG name_count;

void must(bool condition, const char *what) {
    if (!condition) {
        /* From whatever thread: the case is void anyway. */
        printf("audit_cases: cannot %s (error %lu)\n", what, (unsigned long)GetLastError());
        fflush(stdout);
        TerminateProcess(GetCurrentProcess(), 2);
    }
}

static DWORD WINAPI thread_main(void *parameter) {
    thread_start start = *(thread_start *)parameter;
    free(parameter);
    start.run(start.context);
    return 0;
}

HANDLE thread_begin(thread_fn run, void *context) {
    thread_start *start = malloc(sizeof *start);
    must(start != NULL, "allocate");
    start->run = run;
    start->context = context;
    HANDLE thread = CreateThread(NULL, 0, thread_main, start, 0, NULL);
    must(thread != NULL, "start a thread");
    return thread;
}

void thread_join(HANDLE thread) {
    must(WaitForSingleObject(thread, WAIT_MS) == WAIT_OBJECT_0, "join a thread");
    CloseHandle(thread);
}

void on_thread(thread_fn run, void *context) {
    thread_join(thread_begin(run, context));
}

HANDLE pipe_create(DWORD pipe_mode, bool has_security) {
    swprintf(last_name, 64, L"\\\\.\\pipe\\sluice-audit-%lu-%ld",
             (unsigned long)GetCurrentProcessId(), (long)InterlockedIncrement(&name_count));
    /* An empty DACL would shut us out as well; this one grants everyone, and is explicit. */
    SECURITY_DESCRIPTOR descriptor;
    InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION);
    SetSecurityDescriptorDacl(&descriptor, TRUE, NULL, FALSE);
    SECURITY_ATTRIBUTES security = {sizeof security, &descriptor, FALSE};
    HANDLE pipe = CreateNamedPipeW(last_name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, pipe_mode,
                                   1, 4096, 4096, 0, has_security ? &security : NULL);
    must(pipe != INVALID_HANDLE_VALUE, "create a pipe");
    return pipe;
}

HANDLE pipe_connect(DWORD flags) {
    HANDLE pipe =
        CreateFileW(last_name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, flags, NULL);
    must(pipe != INVALID_HANDLE_VALUE, "open a pipe");
    return pipe;
}

static void open_client(void *context) {
    *(HANDLE *)context =
        pipe_connect(FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION);
}

void pipe_open(HANDLE port, pipe_ends *ret_ends) {
    ret_ends->server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    on_thread(open_client, &ret_ends->client);
    must(CreateIoCompletionPort(ret_ends->server, port, 1, 0) != NULL, "associate");
    must(CreateIoCompletionPort(ret_ends->client, port, 2, 0) != NULL, "associate");
}

void pipe_close(const pipe_ends *ends) {
    CloseHandle(ends->client);
    CloseHandle(ends->server);
}

HANDLE port_create(void) {
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    must(port != NULL, "create a port");
    return port;
}

OVERLAPPED *port_wait(HANDLE port) {
    OVERLAPPED_ENTRY entry;
    ULONG count = 0;
    must(GetQueuedCompletionStatusEx(port, &entry, 1, &count, WAIT_MS, FALSE) && count == 1,
         "dequeue a packet");
    return entry.lpOverlapped;
}

void read_begin(HANDLE pipe, OVERLAPPED *overlapped) {
    must(!ReadFile(pipe, &read_byte, 1, NULL, overlapped) && GetLastError() == ERROR_IO_PENDING,
         "leave a read pending");
}

static const audit_case *find(const char *name) {
    const audit_case *const lists[] = {right_cases, pipe_cases, request_cases, discipline_cases};
    for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (const audit_case *each = lists[i]; each->name != NULL; each++) {
            if (strcmp(each->name, name) == 0) {
                return each;
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    const audit_case *chosen = argc == 2 ? find(argv[1]) : NULL;
    if (chosen == NULL) {
        printf("usage: audit_cases CASE\n");
        return 2;
    }
    WSADATA data;
    must(WSAStartup(MAKEWORD(2, 2), &data) == 0, "start Winsock");
    printf("case %s expects %s\n", chosen->name,
           chosen->expected == NULL ? "none" : chosen->expected);
    fflush(stdout);
    chosen->run();
    printf("case %s has run\n", chosen->name);
    return 0;
}
