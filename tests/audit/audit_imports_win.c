/*
 * audit_imports_win.c - puts the interposer between our objects and the import libraries.
 *
 * A MinGW object calls a DLL's function through a pointer, `call *__imp_ReadFile`, or, when it was
 * declared without dllimport, through a thunk named ReadFile that jumps through that pointer. Both
 * symbols come from a small archive member of the import library, one member per function, that the
 * linker takes only when one of them is still undefined. This object defines both, and as an object
 * (not an archive member) it is always linked, so the import library's member never is. That is why
 * the two must be defined together: one alone would draw in the member and clash.
 *
 * The true address is not in the executable's import table any more; audit_start_win.c asks the
 * DLL's export table for it.
 *
 * x86-64 only. No OS header here: these definitions would clash with its declarations.
 */
#if !defined(__x86_64__)
#error "the interposer's stubs are written for x86-64"
#endif

/* A stub saves the argument registers, tells audit_note(slot, return address, first argument), and
 * jumps to the true function with registers and stack as they were: any signature will do.
 * 4 pushes and 0x68 keep the stack aligned and leave 0x20 bytes of home space for audit_note. */
#define AUDIT_STUB(name)                      \
    __asm__(".text\n"                         \
            ".globl audit_" #name "\n"        \
            "audit_" #name ":\n"              \
            "pushq %rcx\n"                    \
            "pushq %rdx\n"                    \
            "pushq %r8\n"                     \
            "pushq %r9\n"                     \
            "subq $0x68, %rsp\n"              \
            "movups %xmm0, 0x20(%rsp)\n"      \
            "movups %xmm1, 0x30(%rsp)\n"      \
            "movups %xmm2, 0x40(%rsp)\n"      \
            "movups %xmm3, 0x50(%rsp)\n"      \
            "movq %rcx, %r8\n"                \
            "movq 0x88(%rsp), %rdx\n"         \
            "leaq audit_slot_" #name "(%rip), %rcx\n" \
            "call audit_note\n"               \
            "movups 0x20(%rsp), %xmm0\n"      \
            "movups 0x30(%rsp), %xmm1\n"      \
            "movups 0x40(%rsp), %xmm2\n"      \
            "movups 0x50(%rsp), %xmm3\n"      \
            "addq $0x68, %rsp\n"              \
            "popq %r9\n"                      \
            "popq %r8\n"                      \
            "popq %rdx\n"                     \
            "popq %rcx\n"                     \
            "jmp *audit_slot_" #name "(%rip)\n");

#define AUDIT_IMPORT(name)               \
    __asm__(".data\n"                    \
            ".balign 8\n"                \
            ".globl __imp_" #name "\n"   \
            "__imp_" #name ":\n"         \
            ".quad audit_" #name "\n"    \
            ".text\n"                    \
            ".globl " #name "\n"         \
            #name ":\n"                  \
            "jmp *__imp_" #name "(%rip)\n");

#define AUDIT_WRAP(dll, name) AUDIT_IMPORT(name)
#define AUDIT_NOTE(dll, name, class) AUDIT_IMPORT(name) AUDIT_STUB(name)
#include "audit_functions.h"

/* Keeps the translation unit non-empty for -Wpedantic, and names the object for the linker. */
extern const char audit_imports_present;
const char audit_imports_present = 1;
