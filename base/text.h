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
/* To stand between quotes, readable and without ambiguity: quotes, control characters and bytes
 * that are no UTF-8 as \xNN, other unsafe characters as \u{N}; a backslash as \x5c where it could
 * be taken for the beginning of one of these. The rest is as it is. */
void sl_text_append_escaped(sl_text *text, const char *string);
/* "2026-11-27T21:15:48.123Z": nanoseconds since the beginning of 1970, UTC. */
void sl_text_append_utc(sl_text *text, uint64_t utc_ns);

/* The length of the UTF-8 sequence at `at`, of which `room` > 0 bytes are there; 0: it is none
 * (overlong, a surrogate, above U+10FFFF, cut). */
size_t sl_text_utf8_length(const char *at, size_t room);
/* Text that others chose must not speak to a terminal, nor forge a line of a log, nor show what it
 * is not. A character is safe unless it is a control or format character, a line or
 * paragraph separator, or none at all. */
typedef struct sl_text_character {
    size_t length; /* in bytes; 0 = the end; 1 for a byte that is no UTF-8 */
    uint32_t code; /* then U+FFFD */
    bool is_safe;
} sl_text_character;

/* The first one of `at`, which ends with a NUL. */
sl_text_character sl_text_character_at(const char *at);
/* What is not safe becomes '?', each. */
void sl_text_make_safe(char *text);
/* The same of text in lines: it keeps its line feeds. */
void sl_text_make_lines_safe(char *text);
/* Ends the line: a newline, preceded by "..." if anything was cut. Needs a size of at least 4. */
void sl_text_end_line(sl_text *text);

#endif
