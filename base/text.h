/*
 * text.h - builds a line in a caller's buffer: no allocation, no stdio, no locale, cut when full.
 *
 * Usable in the emergency path of a failed check and on the log thread.
 */
#ifndef SLUICE_BASE_TEXT_H
#define SLUICE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_text {
    char *bytes;
    size_t size;   /* room in bytes; no terminator is written */
    size_t length; /* bytes in use */
    bool is_cut;   /* something did not fit */
} sl_text;

void sl_text_init(sl_text *text, char *bytes, size_t size);
void sl_text_append(sl_text *text, const char *string); /* NULL reads as "(null)" */
void sl_text_append_u64(sl_text *text, uint64_t value);
void sl_text_append_i64(sl_text *text, int64_t value);
/* With leading zeros to at least `digits` digits (at most 20). */
void sl_text_append_padded(sl_text *text, uint64_t value, unsigned digits);
/* Quotes, backslashes, control characters and all bytes above 126 as \xNN; the rest as it is. */
void sl_text_append_escaped(sl_text *text, const char *string);
/* The bytes of the control character that `at`, UTF-8 with its NUL, begins with: of ASCII, or of
 * Latin 1 (U+0080 to U+009F), which terminals obey, too. 0 = none. */
size_t sl_text_control(const char *at);
/* Ends the line: a newline, preceded by "..." if anything was cut. Needs a size of at least 4. */
void sl_text_end_line(sl_text *text);

#endif
