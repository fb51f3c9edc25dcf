/*
 * reason.h - a sentence that says what was wrong with a peer's bytes, and where.
 *
 * For logs, and for the `detail` of a reply. Never branched on. It may quote names of fields and
 * numbers, but no bytes of the peer's.
 */
#ifndef SLUICE_PROTO_REASON_H
#define SLUICE_PROTO_REASON_H

#include <stdint.h>

#define SL_REASON_BYTES 192 /* with its NUL; fits a reply's detail */

typedef struct sl_reason {
    char text[SL_REASON_BYTES];
} sl_reason;

/* Sets the sentence to "WHERE: WHAT". Each returns `status`, so that a check can end with it.
 * reason may be NULL. Too long is cut. */
int sl_reason_set(sl_reason *reason, int status, const char *where, const char *what);
/* "WHERE: WHAT (VALUE)". */
int sl_reason_value(sl_reason *reason, int status, const char *where, const char *what,
                    uint64_t value);
/* "WHERE: VALUE WHAT". */
int sl_reason_about(sl_reason *reason, int status, const char *where, uint64_t value,
                    const char *what);
/* "WHERE: is SIZE, must be sizeof(TYPE), RIGHT". */
int sl_reason_sizeof(sl_reason *reason, int status, const char *where, uint64_t size,
                     const char *type, uint64_t right);
/* "WHERE: LENGTH bytes, at most MAX". */
int sl_reason_too_long(sl_reason *reason, int status, const char *where, uint64_t length,
                       uint64_t max);
/* "WHERE: VALUE is out of range: MIN to MAX". */
int sl_reason_range(sl_reason *reason, int status, const char *where, uint64_t value, uint64_t min,
                    uint64_t max);

#endif
