/*
 * out.h - what the tool says: text that grows, JSON, tables; numbers and times for people.
 *
 * Everything is built in memory and written at once by the main thread through base/sink.h, so that
 * no other thread of the tool ever does synchronous output. Running out of memory, and a standard
 * output that refuses what is written, are remembered, and told by out_end.
 */
#ifndef SLUICE_CLI_OUT_H
#define SLUICE_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sink.h"

#if defined(__MINGW_PRINTF_FORMAT)
#define OUT_LIKE_PRINTF(at, rest) __attribute__((format(__MINGW_PRINTF_FORMAT, at, rest)))
#elif defined(__GNUC__)
#define OUT_LIKE_PRINTF(at, rest) __attribute__((format(printf, at, rest)))
#else
#define OUT_LIKE_PRINTF(at, rest)
#endif

/* Text that grows. All zero = empty. */
typedef struct out_text {
    char *bytes;
    size_t length;
    size_t room;
    bool failed;
} out_text;

/* As it is. All else below makes it safe for a terminal, whoever chose it: a path, a broker's
 * version. */
void out_append(out_text *text, const char *bytes, size_t count);
void out_print(out_text *text, const char *format, ...) OUT_LIKE_PRINTF(2, 3);
void out_deinit(out_text *text);

/* Writes and empties the text; false = not all of it could be built or written. What was lost of
 * standard output is remembered, too: see out_end. */
bool out_flush(out_text *text, sl_sink sink);

/* The last act of the tool, whatever it did: false, and complained of, if something that was for
 * standard output did not get there. */
bool out_end(void);

/* One piece of text at once, at most 1 KiB. */
void out_say(const char *format, ...) OUT_LIKE_PRINTF(1, 2);
void out_complain(const char *format, ...) OUT_LIKE_PRINTF(1, 2);
/* On a terminal: what takes the place of the line before, and an empty one instead. */
void out_progress(const char *format, ...) OUT_LIKE_PRINTF(1, 2);
void out_progress_end(void);

/* ---- JSON ---------------------------------------------------------------------------------- */

/* A writer for one document, indented. `name` is NULL for a member of an array and for the whole.
 */
typedef struct out_json {
    out_text *text;
    unsigned depth;
    bool has_member; /* the object or array at work has a member already */
} out_json;

void out_json_init(out_json *json, out_text *text);
void out_json_object(out_json *json, const char *name);
void out_json_array(out_json *json, const char *name);
void out_json_end_object(out_json *json);
void out_json_end_array(out_json *json);
void out_json_u64(out_json *json, const char *name, uint64_t value);
void out_json_i64(out_json *json, const char *name, int64_t value);
void out_json_f64(out_json *json, const char *name, double value);
void out_json_bool(out_json *json, const char *name, bool value);
void out_json_null(out_json *json, const char *name);
void out_json_string(out_json *json, const char *name, const char *value);

/* ---- tables -------------------------------------------------------------------------------- */

#define OUT_COLUMNS_MAX 12u
#define OUT_CELL_BYTES  96u /* a SID fits, with its words */

typedef struct out_cell {
    char text[OUT_CELL_BYTES];
} out_cell;

/* Columns are as wide as their widest cell; a heading that begins with '>' aligns to the right. */
typedef struct out_table {
    const char *const *headings;
    unsigned columns;
    out_cell *cells; /* row by row */
    size_t count;
    size_t room;
    bool failed;
} out_table;

void out_table_init(out_table *table, const char *const *headings, unsigned columns);
void out_table_cell(out_table *table, const char *format, ...) OUT_LIKE_PRINTF(2, 3);
/* Appends the table to the text and frees it. */
void out_table_end(out_table *table, out_text *text);

/* ---- for people ---------------------------------------------------------------------------- */

#define OUT_NUMBER_BYTES 32u

/* "1,234,567" */
const char *out_number(uint64_t value, char text[OUT_NUMBER_BYTES]);
/* "1.23 us", "4.5 ms", "12 s", "3 min 20 s", "24 h" */
const char *out_duration(uint64_t duration_ns, char text[OUT_NUMBER_BYTES]);
/* "12 B", "1.5 KiB" */
const char *out_bytes(uint64_t bytes, char text[OUT_NUMBER_BYTES]);

#endif
