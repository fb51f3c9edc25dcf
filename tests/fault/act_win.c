/*
 * act_win.c - see act.h, script.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "tests/fault/act_client.h"

const char *const act_access = "D:P(A;;0x12019b;;;WD)";
const char *const act_nobody = "S-1-5-21-1-2-3-4000";
const bool act_pipes_half_close = false;
const unsigned act_crowd = 6; /* an endpoint has 4 instances a listener here, and no acceptor */

static unsigned names;

void script_place(void) {
}

/* Windows has no fork. */
void *fault_share(size_t size) {
    void *memory = calloc(1, size);
    EXPECT(memory != NULL);
    return memory;
}

engine_address script_pipe_address(void) {
    engine_address address;
    char name[ENGINE_PIPE_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "\\\\.\\pipe\\sluice-fault-%lu-%u", GetCurrentProcessId(),
                   ++names);
    EXPECT(engine_address_pipe(&address, name) == SLUICE_OK);
    return address;
}

/* A pipe's name goes with its last instance: none is ever stale. */
void script_leave_stale_name(const engine_address *address) {
    (void)address;
}

void script_take_rights(bool takes) {
    (void)takes;
}

/* Wine does not tell: always 0. */
unsigned script_count_handles(void) {
    DWORD count = 0;
    return GetProcessHandleCount(GetCurrentProcess(), &count) ? count : 0;
}

unsigned script_count_names(void) {
    return 0;
}

/* ---- the client library ---------------------------------------------------------------------- */

void script_client_pipe(char *ret_address, size_t size) {
    (void)snprintf(ret_address, size, "pipe:sluice-fault-%lu-%u", GetCurrentProcessId(), ++names);
}

void script_client_place(void) {
}

void script_wait_for_waitable(sluice_session *session, uint64_t limit_ns) {
    uint64_t waitable;
    EXPECT(sluice_waitable(session, &waitable) == SLUICE_OK);
    EXPECT(WaitForSingleObject((HANDLE)(uintptr_t)waitable, (DWORD)(limit_ns / SL_NS_PER_MS)) ==
           WAIT_OBJECT_0);
}

/* Windows keeps nothing of a child for its parent. */
unsigned script_collect_children(uint64_t limit_ns) {
    (void)limit_ns;
    return 0;
}

const char *const act_log_path = "\\\\.\\NUL";

void script_private_begin(void) {
}

bool act_make_stranger(engine_rights *rights) {
    (void)rights;
    return false; /* no token but our own to be had */
}

void act_detour(engine_address *address) {
    (void)address;
}

void act_grant(script *s, const engine_rights *rights) {
    (void)s;
    (void)rights;
}

bool act_name_no_socket(engine_address *address) {
    (void)address;
    return false;
}

bool act_link(const engine_address *to, engine_address *ret_link) {
    (void)to;
    (void)ret_link;
    return false;
}

void act_unlink(const engine_address *link) {
    (void)link;
}
