/*
 * out.c - see out.h. Owner: the command that reports. Thread: the main thread.
 */
#include "client/cli/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/check.h"
#include "base/text.h"

#define TEXT_ROOM  1024u
#define LINE_BYTES 1024u

#define PROGRESS_COLUMNS 60 /* no line about progress is longer */

/* Something that was for standard output is lost. */
static sl_atomic_u32 is_output_lost; /* any thread may say something */

static bool reserve(out_text *text, size_t count) {
    if (text->failed) {
        return false;
    }
    if (text->room - text->length >= count) {
        return true;
    }
    sl_allocator *heap = sl_allocator_system();
    size_t room = text->room == 0 ? TEXT_ROOM : text->room;
    while (room - text->length < count) {
        room *= 2;
    }
    char *bytes = heap->acquire(heap, room);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    if (text->length > 0) {
        memcpy(bytes, text->bytes, text->length);
    }
    if (text->bytes != NULL) {
        heap->release(heap, text->bytes, text->room);
    }
    text->bytes = bytes;
    text->room = room;
    return true;
}

void out_append(out_text *text, const char *bytes, size_t count) {
    if (count > 0 && reserve(text, count)) {
        memcpy(text->bytes + text->length, bytes, count);
        text->length += count;
    }
}

static void append_string(out_text *text, const char *string) {
    out_append(text, string, strlen(string));
}

static void note_loss(bool ok, sl_sink sink) {
    if (!ok && sink == SL_SINK_OUTPUT) {
        atomic_store(&is_output_lost, 1);
    }
}

void out_print(out_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int count = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (count >= 0 && reserve(text, (size_t)count + 1)) {
        (void)vsnprintf(text->bytes + text->length, (size_t)count + 1, format, again);
        sl_text_make_lines_safe(text->bytes + text->length);
        text->length += strlen(text->bytes + text->length);
    }
    va_end(again);
}

void out_deinit(out_text *text) {
    if (text->bytes != NULL) {
        sl_allocator_system()->release(sl_allocator_system(), text->bytes, text->room);
    }
    *text = (out_text){0};
}

bool out_flush(out_text *text, sl_sink sink) {
    bool ok =
        !text->failed && (text->length == 0 || sl_sink_write(sink, text->bytes, text->length));
    note_loss(ok, sink);
    out_deinit(text);
    return ok;
}

bool out_end(void) {
    bool is_lost = atomic_load(&is_output_lost) != 0;
    if (is_lost) {
        out_complain("sluice: not all of the output could be written\n");
    }
    return !is_lost;
}

OUT_LIKE_PRINTF(2, 0)
static void say_to(sl_sink sink, const char *format, va_list arguments) {
    char line[LINE_BYTES];
    int count = vsnprintf(line, sizeof(line), format, arguments);
    if (count > 0) {
        sl_text_make_lines_safe(line);
        bool ok = sl_sink_write(sink, line, strlen(line));
        note_loss(ok, sink);
    }
}

void out_say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_to(SL_SINK_OUTPUT, format, arguments);
    va_end(arguments);
}

void out_complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_to(SL_SINK_ERROR, format, arguments);
    va_end(arguments);
}

/* The carriage return is ours: one in the text would let it pass for something else. */
void out_progress(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)sl_sink_write(SL_SINK_ERROR, "\r", 1);
    say_to(SL_SINK_ERROR, format, arguments);
    va_end(arguments);
}

void out_progress_end(void) {
    out_progress("%*s", PROGRESS_COLUMNS, "");
    out_progress("%s", "");
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* One UTF-16 unit, or two. */
static void append_code(out_text *text, uint32_t code) {
    if (code >= 0x10000) {
        code -= 0x10000;
        out_print(text, "\\u%04x", (unsigned)(0xd800 + (code >> 10)));
        code = 0xdc00 + (code & 0x3ff);
    }
    out_print(text, "\\u%04x", (unsigned)code);
}

/* What may not be shown is escaped, so that a terminal does not obey it, and a reader gets it as it
 * was; a byte that is no UTF-8 cannot be told in JSON: U+FFFD. */
static void append_quoted(out_text *text, const char *string) {
    append_string(text, "\"");
    while (*string != '\0') {
        sl_text_character character = sl_text_character_at(string);
        if (!character.is_safe) {
            append_code(text, character.code);
        } else if (*string == '"' || *string == '\\') {
            char escape[2] = {'\\', *string};
            out_append(text, escape, 2);
        } else {
            out_append(text, string, character.length);
        }
        string += character.length;
    }
    append_string(text, "\"");
}

static void new_line(out_json *json) {
    append_string(json->text, "\n");
    for (unsigned i = 0; i < json->depth; i++) {
        append_string(json->text, "  ");
    }
}

static void begin_member(out_json *json, const char *name) {
    if (json->has_member) {
        append_string(json->text, ",");
    }
    if (json->depth > 0) {
        new_line(json);
    }
    if (name != NULL) {
        append_quoted(json->text, name);
        append_string(json->text, ": ");
    }
    json->has_member = true;
}

static void open_nested(out_json *json, const char *name, const char *bracket) {
    begin_member(json, name);
    append_string(json->text, bracket);
    json->depth++;
    json->has_member = false;
}

static void close_nested(out_json *json, const char *bracket) {
    SL_CHECK(json->depth > 0, "a JSON object or array is open");
    json->depth--;
    if (json->has_member) {
        new_line(json);
    }
    append_string(json->text, bracket);
    json->has_member = true;
    if (json->depth == 0) {
        append_string(json->text, "\n");
    }
}

void out_json_init(out_json *json, out_text *text) {
    *json = (out_json){.text = text};
}

void out_json_object(out_json *json, const char *name) {
    open_nested(json, name, "{");
}

void out_json_array(out_json *json, const char *name) {
    open_nested(json, name, "[");
}

void out_json_end_object(out_json *json) {
    close_nested(json, "}");
}

void out_json_end_array(out_json *json) {
    close_nested(json, "]");
}

void out_json_u64(out_json *json, const char *name, uint64_t value) {
    begin_member(json, name);
    out_print(json->text, "%llu", (unsigned long long)value);
}

void out_json_i64(out_json *json, const char *name, int64_t value) {
    begin_member(json, name);
    out_print(json->text, "%lld", (long long)value);
}

void out_json_f64(out_json *json, const char *name, double value) {
    begin_member(json, name);
    out_print(json->text, "%.3f", value);
}

void out_json_bool(out_json *json, const char *name, bool value) {
    begin_member(json, name);
    append_string(json->text, value ? "true" : "false");
}

void out_json_null(out_json *json, const char *name) {
    begin_member(json, name);
    append_string(json->text, "null");
}

void out_json_string(out_json *json, const char *name, const char *value) {
    begin_member(json, name);
    append_quoted(json->text, value);
}

/* ---- tables -------------------------------------------------------------------------------- */

void out_table_init(out_table *table, const char *const *headings, unsigned columns) {
    SL_CHECK(columns > 0 && columns <= OUT_COLUMNS_MAX, "a table has a few columns");
    *table = (out_table){.headings = headings, .columns = columns};
}

void out_table_cell(out_table *table, const char *format, ...) {
    sl_allocator *heap = sl_allocator_system();
    if (table->count == table->room && !table->failed) {
        size_t room = table->room == 0 ? 64 : table->room * 2;
        out_cell *cells = heap->acquire(heap, room * sizeof(*cells));
        if (cells == NULL) {
            table->failed = true;
        } else if (table->cells != NULL) {
            memcpy(cells, table->cells, table->count * sizeof(*cells));
            heap->release(heap, table->cells, table->room * sizeof(*cells));
        }
        if (cells != NULL) {
            table->cells = cells;
            table->room = room;
        }
    }
    if (table->failed) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(table->cells[table->count].text, OUT_CELL_BYTES, format, arguments);
    va_end(arguments);
    /* What others chose (a client's name) must not speak to the terminal. */
    sl_text_make_safe(table->cells[table->count].text);
    table->count++;
}

static void append_cell(out_text *text, const char *cell, size_t width, bool right, bool last) {
    if (right) {
        out_print(text, "%*s", (int)width, cell);
    } else if (last) {
        append_string(text, cell);
    } else {
        out_print(text, "%-*s", (int)width, cell);
    }
    append_string(text, last ? "\n" : "  ");
}

void out_table_end(out_table *table, out_text *text) {
    size_t widths[OUT_COLUMNS_MAX];
    for (unsigned column = 0; column < table->columns; column++) {
        const char *heading = table->headings[column];
        widths[column] = strlen(heading) - (heading[0] == '>' ? 1 : 0);
        for (size_t i = column; i < table->count; i += table->columns) {
            size_t length = strlen(table->cells[i].text);
            widths[column] = length > widths[column] ? length : widths[column];
        }
    }
    for (unsigned column = 0; column < table->columns; column++) {
        const char *heading = table->headings[column];
        bool right = heading[0] == '>';
        append_cell(text, right ? heading + 1 : heading, widths[column], right,
                    column + 1 == table->columns);
    }
    for (size_t i = 0; i < table->count; i++) {
        unsigned column = (unsigned)(i % table->columns);
        append_cell(text, table->cells[i].text, widths[column], table->headings[column][0] == '>',
                    column + 1 == table->columns);
    }
    text->failed = text->failed || table->failed;
    if (table->cells != NULL) {
        sl_allocator_system()->release(sl_allocator_system(), table->cells,
                                       table->room * sizeof(*table->cells));
    }
    *table = (out_table){0};
}

/* ---- for people ---------------------------------------------------------------------------- */

const char *out_number(uint64_t value, char text[OUT_NUMBER_BYTES]) {
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            text[at++] = ',';
        }
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *out_duration(uint64_t duration_ns, char text[OUT_NUMBER_BYTES]) {
    double value = (double)duration_ns;
    if (duration_ns < 1000) {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%u ns", (unsigned)duration_ns);
    } else if (duration_ns < 1000000) {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%.1f us", value / 1e3);
    } else if (duration_ns < 1000000000) {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%.1f ms", value / 1e6);
    } else if (duration_ns < 120 * UINT64_C(1000000000)) {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%.1f s", value / 1e9);
    } else {
        unsigned long long seconds = duration_ns / 1000000000u;
        bool is_hours = seconds >= 3600;
        unsigned long long whole = is_hours ? seconds / 3600 : seconds / 60;
        unsigned long long rest = is_hours ? seconds / 60 % 60 : seconds % 60;
        int length = snprintf(text, OUT_NUMBER_BYTES, "%llu %s", whole, is_hours ? "h" : "min");
        if (rest != 0) {
            (void)snprintf(text + length, OUT_NUMBER_BYTES - (size_t)length, " %llu %s", rest,
                           is_hours ? "min" : "s");
        }
    }
    return text;
}

const char *out_bytes(uint64_t bytes, char text[OUT_NUMBER_BYTES]) {
    if (bytes < 1024) {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%u B", (unsigned)bytes);
    } else if (bytes < 1024 * 1024) {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%.1f KiB", (double)bytes / 1024);
    } else {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%.1f MiB", (double)bytes / (1024 * 1024));
    }
    return text;
}
