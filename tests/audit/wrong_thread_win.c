/*
 * wrong_thread_win.c - wrong programs: threads that do both kinds of I/O, or touch what is
 * another's.
 */
#include "cases_win.h"

#include <process.h>
#include <stdio.h>
#include <stdlib.h>
#include <ws2tcpip.h>

#include "sluice_audit.h"

/* ---- both kinds on one thread ---------------------------------------------------------------- */

/* Enough overlapped I/O to be a worker: one read, cancelled and dequeued. */
static void be_worker(void) {
    HANDLE port = port_create();
    pipe_ends ends;
    pipe_open(port, &ends);
    OVERLAPPED overlapped = {0};
    read_begin(ends.server, &overlapped);
    CancelIoEx(ends.server, &overlapped);
    must(port_wait(port) == &overlapped, "get the read's packet");
    pipe_close(&ends);
    CloseHandle(port);
}

static void print_worker(void *context) {
    (void)context;
    be_worker();
    puts("a worker that prints");
}

static void both_print(void) {
    on_thread(print_worker, NULL);
}

static void format_worker(void *context) {
    (void)context;
    be_worker();
    fprintf(stderr, "a worker that prints a number: %d\n", 1);
}

static void both_format(void) {
    on_thread(format_worker, NULL);
}

static void write_worker(void *context) {
    (void)context;
    be_worker();
    DWORD count = 0;
    (void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "x\n", 2, &count, NULL);
}

static void both_write(void) {
    on_thread(write_worker, NULL);
}

/* The other way round: a thread that opened a pipe becomes a worker. */
static void open_worker(void *context) {
    (void)context;
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    CloseHandle(
        pipe_connect(FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION));
    CloseHandle(server);
    be_worker();
}

static void both_open(void) {
    on_thread(open_worker, NULL);
}

static void lookup_worker(void *context) {
    (void)context;
    be_worker();
    struct addrinfo *found = NULL;
    if (getaddrinfo("127.0.0.1", "80", NULL, &found) == 0) {
        freeaddrinfo(found);
    }
}

static void both_lookup(void) {
    on_thread(lookup_worker, NULL);
}

static void receive_worker(void *context) {
    (void)context;
    be_worker();
    SOCKET socket_value = WSASocketW(AF_INET, SOCK_DGRAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    char byte = 0;
    u_long on = 1;
    ioctlsocket(socket_value, (long)FIONBIO,
                &on); /* so that the case ends; it is synchronous all the same */
    (void)recv(socket_value, &byte, 1, 0);
    closesocket(socket_value);
}

static void both_receive(void) {
    on_thread(receive_worker, NULL);
}

/* ---- what belongs to another thread ---------------------------------------------------------- */

/* A worker's rig that a second thread reaches into while the worker waits. */
typedef struct shared {
    HANDLE port;
    pipe_ends ends;
    OVERLAPPED overlapped[2];
    bool reads; /* a read is pending on the server's end */
    thread_fn intruder;
} shared;

static void shared_worker(void *context) {
    shared *rig = context;
    rig->port = port_create();
    pipe_open(rig->port, &rig->ends);
    if (rig->reads) {
        read_begin(rig->ends.server, &rig->overlapped[0]);
    }
    on_thread(rig->intruder, rig);
}

static void finish(shared *rig, unsigned index) {
    CancelIoEx(rig->ends.server, &rig->overlapped[index]);
    must(port_wait(rig->port) == &rig->overlapped[index], "get the read's packet");
}

static void close_all(shared *rig) {
    pipe_close(&rig->ends);
    CloseHandle(rig->port);
}

static void close_intruder(void *context) {
    shared *rig = context;
    CloseHandle(rig->ends.client);
}

static void close_foreign_worker(void *context) {
    shared *rig = context;
    shared_worker(rig);
    CloseHandle(rig->ends.server);
    CloseHandle(rig->port);
}

static void close_foreign(void) {
    shared rig = {.intruder = close_intruder};
    on_thread(close_foreign_worker, &rig);
}

static void cancel_intruder(void *context) {
    shared *rig = context;
    CancelIoEx(rig->ends.server, &rig->overlapped[0]);
}

static void cancel_foreign_worker(void *context) {
    shared *rig = context;
    shared_worker(rig);
    must(port_wait(rig->port) == &rig->overlapped[0], "get the read's packet");
    close_all(rig);
}

static void cancel_foreign(void) {
    shared rig = {.intruder = cancel_intruder, .reads = true};
    on_thread(cancel_foreign_worker, &rig);
}

/* The second thread stays until its read is over: only the issue is wrong. */
static HANDLE issued;
static HANDLE ended;

static void issue_intruder(void *context) {
    shared *rig = context;
    read_begin(rig->ends.server, &rig->overlapped[1]);
    SetEvent(issued);
    WaitForSingleObject(ended, INFINITE);
}

static void issue_foreign_worker(void *context) {
    shared *rig = context;
    rig->port = port_create();
    pipe_open(rig->port, &rig->ends);
    HANDLE thread = thread_begin(issue_intruder, rig);
    WaitForSingleObject(issued, INFINITE);
    finish(rig, 1);
    SetEvent(ended);
    thread_join(thread);
    close_all(rig);
}

/* Also caught as dequeue-foreign, when the owner gets the packet of the other thread's request. */
static void issue_foreign(void) {
    shared rig = {.intruder = issue_intruder};
    issued = CreateEventW(NULL, TRUE, FALSE, NULL);
    ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    on_thread(issue_foreign_worker, &rig);
}

static void dequeue_intruder(void *context) {
    shared *rig = context;
    must(port_wait(rig->port) == NULL, "get the wake-up");
}

static void dequeue_foreign_worker(void *context) {
    shared *rig = context;
    rig->port = port_create();
    PostQueuedCompletionStatus(rig->port, 0, 0, NULL);
    must(port_wait(rig->port) == NULL, "get the wake-up");
    PostQueuedCompletionStatus(rig->port, 0, 0, NULL);
    on_thread(dequeue_intruder, rig);
    CloseHandle(rig->port);
}

static void dequeue_foreign(void) {
    shared rig = {0};
    on_thread(dequeue_foreign_worker, &rig);
}

/* ---- the hang that this project is about ----------------------------------------------------- */

typedef struct anonymous {
    HANDLE read;
    HANDLE write;
} anonymous;

static void blocking_reader(void *context) {
    anonymous *pipe = context;
    char byte = 0;
    DWORD count = 0;
    (void)ReadFile(pipe->read, &byte, 1, &count, NULL); /* whatever becomes of it */
}

static void blocking_writer(void *context) {
    anonymous *pipe = context;
    DWORD count = 0;
    (void)WriteFile(pipe->write, "x", 1, &count, NULL);
}

/* Until a thread has begun the call. */
static void await_call(const char *function) {
    while (sluice_audit_calls(function) == 0) {
        SwitchToThread();
    }
}

static void await_close(uint64_t closes_before) {
    while (sluice_audit_calls("CloseHandle") == closes_before) {
        SwitchToThread();
    }
}

static void canceller(void *context) {
    anonymous *pipe = context;
    OVERLAPPED overlapped = {0};
    CancelIoEx(pipe->read, &overlapped);
}

/* CancelIoEx on a handle on which a thread sits in a synchronous read. The write lets both go, on
 * real Windows too, where the cancel itself may wait. The OVERLAPPED is of no request:
 * cancel-stale as well. */
static void cancel_synchronous(void) {
    anonymous pipe;
    must(CreatePipe(&pipe.read, &pipe.write, NULL, 0), "make a pipe");
    HANDLE reader = thread_begin(blocking_reader, &pipe);
    await_call("ReadFile");
    HANDLE second = thread_begin(canceller, &pipe);
    await_call("CancelIoEx");
    on_thread(blocking_writer, &pipe);
    thread_join(second);
    thread_join(reader);
    CloseHandle(pipe.read);
    CloseHandle(pipe.write);
}

static void closer(void *context) {
    CloseHandle(((anonymous *)context)->read);
}

/* A handle closed under a synchronous read. */
static void close_synchronous(void) {
    anonymous pipe;
    must(CreatePipe(&pipe.read, &pipe.write, NULL, 0), "make a pipe");
    HANDLE reader = thread_begin(blocking_reader, &pipe);
    await_call("ReadFile");
    uint64_t closes = sluice_audit_calls("CloseHandle");
    HANDLE second = thread_begin(closer, &pipe);
    await_close(closes);
    on_thread(blocking_writer, &pipe);
    thread_join(second);
    thread_join(reader);
    CloseHandle(pipe.write);
}

/* CancelSynchronousIo at a thread that does overlapped I/O. */
static void waiting_worker(void *context) {
    (void)context;
    be_worker();
    SetEvent(issued);
    WaitForSingleObject(ended, INFINITE);
}

static void cancel_worker(void) {
    issued = CreateEventW(NULL, TRUE, FALSE, NULL);
    ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    HANDLE thread = thread_begin(waiting_worker, NULL);
    WaitForSingleObject(issued, INFINITE);
    CancelSynchronousIo(thread);
    SetEvent(ended);
    thread_join(thread);
}

/* ---- the end of threads and of the process --------------------------------------------------- */

static OVERLAPPED orphan;

static void orphan_worker(void *context) {
    (void)context;
    HANDLE port = port_create();
    pipe_ends ends;
    pipe_open(port, &ends);
    read_begin(ends.server, &orphan);
}

static void thread_exit(void) {
    on_thread(orphan_worker, NULL);
}

/* Ends of the process that run no exit hooks must not be a way around the exit code. */
static void exit_process(void) {
    CloseHandle(pipe_create(0, true));
    ExitProcess(0);
}

static void exit_at_once(void) {
    CloseHandle(pipe_create(0, true));
    _exit(0);
}

static void terminate(void) {
    CloseHandle(pipe_create(0, true));
    TerminateProcess(GetCurrentProcess(), 0);
}

const audit_case discipline_cases[] = {
    {"both-print", both_print, "both-kinds"},
    {"both-format", both_format, "both-kinds"},
    {"both-write", both_write, "both-kinds"},
    {"both-open", both_open, "both-kinds"},
    {"both-lookup", both_lookup, "both-kinds"},
    {"both-receive", both_receive, "both-kinds"},
    {"close-foreign", close_foreign, "close-foreign"},
    {"cancel-foreign", cancel_foreign, "cancel-foreign"},
    {"issue-foreign", issue_foreign, "issue-foreign dequeue-foreign"},
    {"dequeue-foreign", dequeue_foreign, "dequeue-foreign"},
    {"cancel-synchronous", cancel_synchronous, "cancel-synchronous cancel-stale"},
    {"close-synchronous", close_synchronous, "close-outstanding"},
    {"cancel-worker", cancel_worker, "cancel-worker"},
    {"thread-exit", thread_exit, "thread-exit-outstanding"},
    {"exit-process", exit_process, "pipe-remote"},
    {"exit-at-once", exit_at_once, "pipe-remote"},
    {"terminate", terminate, "pipe-remote"},
    {NULL, NULL, NULL},
};
