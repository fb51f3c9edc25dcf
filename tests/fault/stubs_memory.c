/*
 * stubs_memory.c - every allocation of ours asks here first.
 *
 * --wrap leads sl_account_alloc here, and sl_allocator_system, whose answer is the allocator below;
 * so a place is known by its return address both where an account is asked and where an allocator
 * is. What an account asks of its allocator is not counted twice: sites.awk leaves alloc.c out.
 */
#include <string.h>

#include "base/alloc.h"
#include "tests/fault/fault.h"
#include "tests/fault/script.h"

#define HERE __builtin_extract_return_addr(__builtin_return_address(0))

static const fault_error errors[] = {{"no memory", 0}};
static fault_call account_call = {NULL, "sl_account_alloc", FAULT_NULL, errors, 1};
static fault_call acquire_call = {NULL, "acquire", FAULT_NULL, errors, 1};
fault_call *const fault_calls[] = {&account_call, &acquire_call};
const unsigned fault_call_count = SL_ARRAY_COUNT(fault_calls);

const fault_call *fault_call_find(const char *name) {
    for (unsigned i = 0; i < fault_call_count; i++) {
        if (strcmp(fault_calls[i]->name, name) == 0) {
            return fault_calls[i];
        }
    }
    return NULL;
}

void fault_install(void) {
}

void script_engine_opened(engine *e) {
    (void)e;
}

bool fault_is_exempt(const fault_call *call, const uintptr_t args[]) {
    (void)call;
    (void)args;
    return false;
}

bool fault_apply(const fault_call *call, const fault_error *error, uintptr_t args[],
                 intptr_t *ret_value) {
    (void)call;
    (void)error;
    (void)args;
    *ret_value = 0;
    return true;
}

extern void *__real_sl_account_alloc(sl_account *account, size_t size_bytes);
extern void *__wrap_sl_account_alloc(sl_account *account, size_t size_bytes);
extern sl_allocator *__real_sl_allocator_system(void);
extern sl_allocator *__wrap_sl_allocator_system(void);

void *__wrap_sl_account_alloc(sl_account *account, size_t size_bytes) {
    uintptr_t args[FAULT_ARGS + 1] = {0};
    if (fault_enter(&account_call, HERE, args)) {
        atomic_fetch_add(&account->refused_count, 1);
        return NULL;
    }
    return __real_sl_account_alloc(account, size_bytes);
}

static void *acquire(sl_allocator *source, size_t size_bytes) {
    uintptr_t args[FAULT_ARGS + 1] = {0};
    (void)source;
    if (fault_enter(&acquire_call, HERE, args)) {
        return NULL;
    }
    return __real_sl_allocator_system()->acquire(__real_sl_allocator_system(), size_bytes);
}

static void release(sl_allocator *source, void *memory, size_t size_bytes) {
    (void)source;
    __real_sl_allocator_system()->release(__real_sl_allocator_system(), memory, size_bytes);
}

sl_allocator *__wrap_sl_allocator_system(void) {
    static sl_allocator allocator = {acquire, release};
    return &allocator;
}
