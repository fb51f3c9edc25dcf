/*
 * text.c - a bounded line builder.
 *
 * Owner: whoever owns the buffer. Thread: any, one at a time. Lifetime: the buffer's.
 * It exists because the two writers of lines, a failed check and the log thread, want neither stdio
 * (locks, allocation, locale) nor the different printf dialects of the C runtimes. Text from peers
 * goes through sl_text_append_escaped, so that nobody can forge a second log line.
 */
#include "base/text.h"

#include <string.h>

static const char cut_mark[] = "...\n";
#define CUT_MARK_BYTES (sizeof(cut_mark) - 1)

static void append_bytes(sl_text *text, const char *bytes, size_t count) {
    size_t room = text->size - text->length;
    if (count > room) {
        count = room;
        text->is_cut = true;
    }
    memcpy(text->bytes + text->length, bytes, count);
    text->length += count;
}

void sl_text_init(sl_text *text, char *bytes, size_t size) {
    text->bytes = bytes;
    text->size = size;
    text->length = 0;
    text->is_cut = false;
}

void sl_text_append(sl_text *text, const char *string) {
    if (string == NULL) {
        string = "(null)";
    }
    append_bytes(text, string, strlen(string));
}

void sl_text_append_padded(sl_text *text, uint64_t value, unsigned digits) {
    char reversed[20];
    char forward[20];
    size_t count = 0;
    if (digits > sizeof(reversed)) {
        digits = (unsigned)sizeof(reversed);
    }
    do {
        reversed[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count < digits) {
        reversed[count++] = '0';
    }
    for (size_t i = 0; i < count; i++) {
        forward[i] = reversed[count - 1 - i];
    }
    append_bytes(text, forward, count);
}

void sl_text_append_u64(sl_text *text, uint64_t value) {
    sl_text_append_padded(text, value, 1);
}

void sl_text_append_i64(sl_text *text, int64_t value) {
    if (value < 0) {
        append_bytes(text, "-", 1);
        sl_text_append_u64(text, ~(uint64_t)value + 1); /* INT64_MIN has no positive twin */
        return;
    }
    sl_text_append_u64(text, (uint64_t)value);
}

void sl_text_append_escaped(sl_text *text, const char *string) {
    static const char hex[] = "0123456789abcdef";
    if (string == NULL) {
        string = "(null)";
    }
    for (; *string != '\0'; string++) {
        unsigned char byte = (unsigned char)*string;
        if (byte < 32 || byte > 126 || byte == '"' || byte == '\\') {
            char escape[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
            append_bytes(text, escape, sizeof(escape));
        } else {
            append_bytes(text, string, 1);
        }
    }
}

size_t sl_text_control(const char *at) {
    unsigned char first = (unsigned char)at[0];
    unsigned char second = first == 0xc2 ? (unsigned char)at[1] : 0;
    if ((first < 0x20 && first != '\0') || first == 0x7f) {
        return 1;
    }
    return second >= 0x80 && second < 0xa0 ? 2 : 0;
}

void sl_text_end_line(sl_text *text) {
    if (!text->is_cut && text->length < text->size) {
        text->bytes[text->length++] = '\n';
        return;
    }
    text->is_cut = true;
    if (text->length > text->size - CUT_MARK_BYTES) {
        text->length = text->size - CUT_MARK_BYTES;
    }
    append_bytes(text, cut_mark, CUT_MARK_BYTES);
}
