/*
 * stubs_posix.c - what --wrap puts between our objects and the C library, one stub a call.
 *
 * A stub saves the argument registers, asks fault_enter(slot, return address, arguments), and
 * either returns what that says or jumps to the true function with registers and stack as they
 * were, so that any signature will do. x86-64 only.
 */
#if !defined(__x86_64__)
#error "the stubs are written for x86-64"
#endif

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <uv.h>

#include "engine/epoll.h"
#include "tests/fault/calls_posix.h"
#include "tests/fault/fault.h"
#include "tests/fault/script.h"

#define E(error) {#error, error}
#define SHORT    {"SHORT", FAULT_SHORT}

/* 0x50 bytes keep the stack aligned: six arguments, the result, and al, which says how many vector
 * registers a variadic call uses. */
#define STUB(symbol) \
    __asm__(".text\n" \
            ".globl __wrap_" #symbol "\n" \
            ".type __wrap_" #symbol ", @function\n" \
            "__wrap_" #symbol ":\n" \
            "pushq %rbp\n" \
            "movq %rsp, %rbp\n" \
            "subq $0x50, %rsp\n" \
            "movq %rdi, 0x00(%rsp)\n" \
            "movq %rsi, 0x08(%rsp)\n" \
            "movq %rdx, 0x10(%rsp)\n" \
            "movq %rcx, 0x18(%rsp)\n" \
            "movq %r8, 0x20(%rsp)\n" \
            "movq %r9, 0x28(%rsp)\n" \
            "movq %rax, 0x40(%rsp)\n" \
            "leaq fault_slot_" #symbol "(%rip), %rdi\n" \
            "movq 8(%rbp), %rsi\n" \
            "movq %rsp, %rdx\n" \
            "call fault_enter\n" \
            "testb %al, %al\n" \
            "jne 1f\n" \
            "movq 0x00(%rsp), %rdi\n" \
            "movq 0x08(%rsp), %rsi\n" \
            "movq 0x10(%rsp), %rdx\n" \
            "movq 0x18(%rsp), %rcx\n" \
            "movq 0x20(%rsp), %r8\n" \
            "movq 0x28(%rsp), %r9\n" \
            "movq 0x40(%rsp), %rax\n" \
            "leave\n" \
            "jmp *fault_slot_" #symbol "(%rip)\n" \
            "1: movq 0x30(%rsp), %rax\n" \
            "leave\n" \
            "ret\n");

#define SLOT(symbol, how_it_fails, ...) \
    extern void __real_##symbol(void); \
    extern void __wrap_##symbol(void); \
    extern fault_call fault_slot_##symbol; \
    static const fault_error errors_##symbol[] = {__VA_ARGS__}; \
    fault_call fault_slot_##symbol = {.real = __real_##symbol, \
                                      .name = #symbol, \
                                      .how = FAULT_##how_it_fails, \
                                      .errors = errors_##symbol, \
                                      .error_count = SL_ARRAY_COUNT(errors_##symbol)}; \
    STUB(symbol)
FAULT_ENGINE_CALLS(SLOT)
FAULT_OTHER_CALLS(SLOT)

#define ROW(symbol, how, ...) &fault_slot_##symbol,
fault_call *const fault_calls[] = {FAULT_ENGINE_CALLS(ROW) FAULT_OTHER_CALLS(ROW)};
const unsigned fault_call_count = SL_ARRAY_COUNT(fault_calls);

/* A call through the engine's table is known by its place in there. */
const fault_call *fault_call_find(const char *name) {
#define PLACE(symbol, how, ...) {offsetof(engine_epoll_call_table, symbol), &fault_slot_##symbol},
    static const struct {
        size_t offset;
        const fault_call *call;
    } places[] = {FAULT_ENGINE_CALLS(PLACE)};
    if (strncmp(name, "engine_epoll_calls", strlen("engine_epoll_calls")) == 0) {
        size_t offset = 0;
        for (const char *at = name + strlen("engine_epoll_calls+0x"); *at != '\0'; at++) {
            offset = offset * 16 + (size_t)(strchr("0123456789abcdef", *at) - "0123456789abcdef");
        }
        for (size_t i = 0; i < SL_ARRAY_COUNT(places); i++) {
            if (places[i].offset == offset) {
                return places[i].call;
            }
        }
        return NULL;
    }
    for (unsigned i = 0; i < fault_call_count; i++) {
        if (strcmp(fault_calls[i]->name, name) == 0) {
            return fault_calls[i];
        }
    }
    return NULL;
}

/* Its calls go through a table that is everybody's. */
void script_engine_opened(engine *e) {
    (void)e;
}

/* The table leads straight to the stubs: a stub sees who called it, and that must not be one of the
 * functions in epoll_status.c that only pass a call on. */
void fault_install(void) {
    void (*stub)(void);
#define LEAD(symbol, how, ...) \
    stub = __wrap_##symbol; \
    _Static_assert(sizeof(stub) == sizeof(engine_epoll_calls.symbol), "pointers have one size"); \
    memcpy(&engine_epoll_calls.symbol, &stub, sizeof(stub));
    FAULT_ENGINE_CALLS(LEAD)
}
