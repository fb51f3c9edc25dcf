/*
 * audit_start_win.c - start and end of the interposer: true addresses, exit hook, thread ends.
 *
 * Runs as the first constructor, before main and before other constructors. The true functions are
 * taken from the DLLs' export tables through ntdll's loader, because GetProcAddress itself is
 * interposed.
 */
#include <stdlib.h>

#include "audit_win.h"

#include <winternl.h>

NTSYSAPI NTSTATUS NTAPI LdrGetProcedureAddress(PVOID module, PANSI_STRING name, ULONG ordinal,
                                               PVOID *ret_address);

#define AUDIT_WRAP(dll_name, function) \
    extern void entry_##function(void) __asm__("audit_" #function); \
    audit_function audit_slot_##function = { \
        .entry = entry_##function, \
        .name = #function, \
        .dll = AUDIT_##dll_name, \
        .class = AUDIT_CLASS_WRAP, \
        .index = AUDIT_INDEX_##function, \
    };
#define AUDIT_NOTE(dll_name, function, function_class) \
    extern void entry_##function(void) __asm__("audit_" #function); \
    audit_function audit_slot_##function = { \
        .entry = entry_##function, \
        .name = #function, \
        .dll = AUDIT_##dll_name, \
        .class = AUDIT_CLASS_##function_class, \
        .index = AUDIT_INDEX_##function, \
    };
#include "audit_functions.h"
#undef AUDIT_WRAP
#undef AUDIT_NOTE

#define AUDIT_WRAP(dll, name)        &audit_slot_##name,
#define AUDIT_NOTE(dll, name, class) &audit_slot_##name,
audit_function *const audit_functions[AUDIT_FUNCTION_COUNT] = {
#include "audit_functions.h"
};
#undef AUDIT_WRAP
#undef AUDIT_NOTE

/* Set in the environment of an audited process, and so in that of its children, whose output their
 * parent may read and compare: they print only if they have a violation to tell. */
#define CHILD_MARK L"SLUICE_AUDIT_CHILD"
static bool is_child;

/* The exit hook ran: the end of the process has nothing left to report. */
static bool has_reported;

static audit_code export_of(HMODULE module, const char *name) {
    if (module == NULL) {
        return NULL;
    }
    ANSI_STRING string;
    string.Buffer = (char *)(uintptr_t)name;
    string.Length = (USHORT)lstrlenA(name);
    string.MaximumLength = (USHORT)(string.Length + 1);
    PVOID address = NULL;
    if (LdrGetProcedureAddress(module, &string, 0, &address) != 0) {
        return NULL;
    }
    return (audit_code)(uintptr_t)address;
}

static void resolve(void) {
    HMODULE modules[] = {
        [AUDIT_KERNEL32] = GetModuleHandleW(L"kernel32.dll"),
        [AUDIT_NTDLL] = GetModuleHandleW(L"ntdll.dll"),
        /* The executable imports nothing from ws2_32 any more, so nobody may have loaded it. */
        [AUDIT_WS2_32] = LoadLibraryW(L"ws2_32.dll"),
        [AUDIT_CRT] = GetModuleHandleW(L"msvcrt.dll"),
        [AUDIT_EXTENSION] = LoadLibraryW(L"mswsock.dll"),
    };
    if (modules[AUDIT_CRT] == NULL) {
        modules[AUDIT_CRT] = GetModuleHandleW(L"ucrtbase.dll");
    }
    for (unsigned i = 0; i < AUDIT_FUNCTION_COUNT; i++) {
        audit_function *function = audit_functions[i];
        function->address = export_of(modules[function->dll], function->name);
    }
}

static void on_exit_hook(void) {
    has_reported = true;
    audit_report_at_exit(is_child);
}

__attribute__((constructor(101))) static void audit_start(void) {
    resolve();
    audit_state_start();
    audit_thread_self()->is_main = true;
    is_child = GetEnvironmentVariableW(CHILD_MARK, NULL, 0) > 0;
    SetEnvironmentVariableW(CHILD_MARK, L"1");
    /* First registered, last run: after the tests' own exit hooks. */
    atexit(on_exit_hook);
}

/* These end the process without exit hooks. The true ones are called with our exit code then. */
static UINT last_word(UINT code) {
    if (!has_reported) {
        on_exit_hook();
    }
    return code;
}

void WINAPI audit_ExitProcess(UINT code) {
    audit_site site = AUDIT_SITE(ExitProcess, 0);
    audit_enter(&site);
    AUDIT_TRUE(ExitProcess)(last_word(code));
}

BOOL WINAPI audit_TerminateProcess(HANDLE process, UINT code) {
    audit_site site = AUDIT_SITE(TerminateProcess, process);
    audit_enter(&site);
    return AUDIT_TRUE(TerminateProcess)(process,
                                        process == GetCurrentProcess() ? last_word(code) : code);
}

void audit__exit(int code) {
    audit_site site = AUDIT_SITE(_exit, 0);
    audit_enter(&site);
    AUDIT_TRUE(_exit)((int)last_word((UINT)code));
}
