/*
 * check.h - invariants that are checked in release builds too.
 *
 * A failed check is a broken invariant of ours: it says what and where on standard error and
 * aborts. It is never used on a peer's input, a caller's argument or an operating-system error.
 */
#ifndef SLUICE_BASE_CHECK_H
#define SLUICE_BASE_CHECK_H

#include <stddef.h>

/* `what` is a literal that names the broken invariant, for a person reading a crash report. */
#define SL_CHECK(condition, what) \
    ((condition) ? (void)0 : sl_check_failed(__FILE__, __LINE__, #condition, (what)))

#if defined(__GNUC__)
#define SL_NORETURN __attribute__((noreturn))
#else
#define SL_NORETURN __declspec(noreturn)
#endif

/* Writes one line (file, line, condition, what) through the emergency sink and ends the process.
 * Allocates nothing, takes no lock and uses no stdio. */
SL_NORETURN void sl_check_failed(const char *file, int line, const char *condition,
                                 const char *what);

/* The structure around a member; NULL-safe it is not. */
#define SL_CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define SL_ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
