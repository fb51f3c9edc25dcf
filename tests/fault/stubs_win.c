/*
 * stubs_win.c - what stands between our objects and the system's DLLs, one stub a call.
 *
 * Our objects call through the pointers __imp_NAME of the import table; fault_install bends each to
 * a stub here. A stub saves the argument registers, asks fault_enter(slot, return address,
 * arguments), and either returns what that says or jumps to the true function with registers and
 * stack as they were, so that any signature will do. x86-64 only.
 */
#if !defined(__x86_64__)
#error "the stubs are written for x86-64"
#endif

#include "engine/iocp.h"

#include <stdio.h>
#include <string.h>

#include "tests/fault/calls_win.h"
#include "tests/fault/fault.h"
#include "tests/fault/script.h"

#define E(error) {#error, error}

/* 0x20 bytes of home space for fault_enter; four arguments, two it leaves alone, its result. */
#define STUB(symbol) \
    __asm__(".text\n" \
            ".globl fault_stub_" #symbol "\n" \
            "fault_stub_" #symbol ":\n" \
            "pushq %rbp\n" \
            "movq %rsp, %rbp\n" \
            "subq $0x60, %rsp\n" \
            "movq %rcx, 0x20(%rsp)\n" \
            "movq %rdx, 0x28(%rsp)\n" \
            "movq %r8, 0x30(%rsp)\n" \
            "movq %r9, 0x38(%rsp)\n" \
            "leaq fault_slot_" #symbol "(%rip), %rcx\n" \
            "movq 8(%rbp), %rdx\n" \
            "leaq 0x20(%rsp), %r8\n" \
            "call fault_enter\n" \
            "testb %al, %al\n" \
            "jne 1f\n" \
            "movq 0x20(%rsp), %rcx\n" \
            "movq 0x28(%rsp), %rdx\n" \
            "movq 0x30(%rsp), %r8\n" \
            "movq 0x38(%rsp), %r9\n" \
            "movq %rbp, %rsp\n" \
            "popq %rbp\n" \
            "jmp *fault_slot_" #symbol "(%rip)\n" \
            "1: movq 0x50(%rsp), %rax\n" \
            "movq %rbp, %rsp\n" \
            "popq %rbp\n" \
            "ret\n");

#define SLOT(symbol, how_it_fails, ...) \
    extern void fault_stub_##symbol(void); \
    extern fault_call fault_slot_##symbol; \
    static const fault_error errors_##symbol[] = {__VA_ARGS__}; \
    fault_call fault_slot_##symbol = {.name = #symbol, \
                                      .how = FAULT_##how_it_fails, \
                                      .errors = errors_##symbol, \
                                      .error_count = SL_ARRAY_COUNT(errors_##symbol)}; \
    STUB(symbol)
FAULT_CALLS(SLOT)
FAULT_EXTENSIONS(SLOT)

#define ROW(symbol, how, ...) &fault_slot_##symbol,
fault_call *const fault_calls[] = {FAULT_CALLS(ROW) FAULT_EXTENSIONS(ROW)};
const unsigned fault_call_count = SL_ARRAY_COUNT(fault_calls);

const fault_call *fault_call_find(const char *name) {
    for (unsigned i = 0; i < fault_call_count; i++) {
        if (strcmp(fault_calls[i]->name, name) == 0) {
            return fault_calls[i];
        }
    }
    return NULL;
}

#define POINTER(symbol, how, ...) extern void (*__imp_##symbol)(void);
FAULT_CALLS(POINTER)

static void bend(fault_call *call, void (**pointer)(void), void (*stub)(void)) {
    DWORD before;
    EXPECT(VirtualProtect((void *)pointer, sizeof(*pointer), PAGE_READWRITE, &before));
    call->real = *pointer;
    *pointer = stub;
}

void fault_install(void) {
#define BEND(symbol, how, ...) bend(&fault_slot_##symbol, &__imp_##symbol, fault_stub_##symbol);
    FAULT_CALLS(BEND)
}

/* An engine has asked for these anew. */
void script_engine_opened(engine *base) {
    iocp_engine *e = SL_CONTAINER_OF(base, iocp_engine, engine);
    void (*stub)(void) = fault_stub_AcceptEx;
    memcpy(&fault_slot_AcceptEx.real, &e->accept_ex, sizeof(stub));
    memcpy(&e->accept_ex, &stub, sizeof(stub));
    stub = fault_stub_ConnectEx;
    memcpy(&fault_slot_ConnectEx.real, &e->connect_ex, sizeof(stub));
    memcpy(&e->connect_ex, &stub, sizeof(stub));
}

/* ---- how a call fails ------------------------------------------------------------------------ */

bool fault_is_exempt(const fault_call *call, const uintptr_t args[]) {
    (void)call;
    (void)args;
    return false;
}

typedef intptr_t(WINAPI *plain_call)(uintptr_t, uintptr_t, uintptr_t, uintptr_t);

bool fault_apply(const fault_call *call, const fault_error *error, uintptr_t args[],
                 intptr_t *ret_value) {
    bool is_done = call->how == FAULT_DONE || call->how == FAULT_DONE_NULL;
    if (is_done) {
        plain_call real;
        memcpy(&real, &call->real, sizeof(real));
        (void)real(args[0], args[1], args[2], args[3]);
    }
    bool is_null = call->how == FAULT_NULL || call->how == FAULT_DONE_NULL;
    *ret_value = call->how == FAULT_CODE ? error->value : is_null ? 0 : -1;
    SetLastError((DWORD)error->value); /* Winsock's, too */
    return true;
}
