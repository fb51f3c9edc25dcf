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

/* ---- what may be shown ---- */

/* Unicode 15.1, UnicodeData.txt: all of the general categories Cc (control), Cf (format: marks that
 * reorder, join or hide what stands beside them), Zl and Zp (line and paragraph separator); the
 * noncharacters (chapter 23.7); and what is drawn as nothing at all (DerivedCoreProperties.txt,
 * Default_Ignorable_Code_Point): fillers, joiners, variation selectors, and what is kept for more
 * of the like. In order. */
static const struct {
    uint32_t first;
    uint32_t last;
} unsafe_ranges[] = {
    {0x0000, 0x001f},   {0x007f, 0x009f},   {0x00ad, 0x00ad},   {0x034f, 0x034f},
    {0x0600, 0x0605},   {0x061c, 0x061c},   {0x06dd, 0x06dd},   {0x070f, 0x070f},
    {0x0890, 0x0891},   {0x08e2, 0x08e2},   {0x115f, 0x1160},   {0x17b4, 0x17b5},
    {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},
    {0x3164, 0x3164},   {0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
    {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
    {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

static bool is_unsafe(uint32_t code) {
    size_t low = 0;
    size_t high = sizeof(unsafe_ranges) / sizeof(unsafe_ranges[0]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code > unsafe_ranges[middle].last) {
            low = middle + 1;
        } else if (code < unsafe_ranges[middle].first) {
            high = middle;
        } else {
            return true;
        }
    }
    return (code & 0xfffe) == 0xfffe; /* the last two of each plane are no characters */
}

size_t sl_text_utf8_length(const char *at, size_t room) {
    const unsigned char *bytes = (const unsigned char *)at;
    unsigned char first = bytes[0];
    if (first < 0x80) {
        return 1;
    }
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || room < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_bad = (first == 0xe0 && bytes[1] < 0xa0) || (first == 0xed && bytes[1] >= 0xa0) ||
                  (first == 0xf0 && bytes[1] < 0x90) || (first == 0xf4 && bytes[1] >= 0x90);
    return is_bad ? 0 : length;
}

/* The code of a sequence of that length. */
static uint32_t code_of(const char *at, size_t length) {
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)at[0] & masks[length];
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | ((unsigned char)at[i] & 0x3f);
    }
    return code;
}

sl_text_character sl_text_character_at(const char *at) {
    size_t room = 0;
    while (room < 4 && at[room] != '\0') {
        room++;
    }
    if (room == 0) {
        return (sl_text_character){0};
    }
    size_t length = sl_text_utf8_length(at, room);
    if (length == 0) {
        return (sl_text_character){.length = 1, .code = 0xfffd};
    }
    uint32_t code = code_of(at, length);
    return (sl_text_character){.length = length, .code = code, .is_safe = !is_unsafe(code)};
}

static void make_safe(char *text, bool keeps_lines) {
    char *to = text;
    for (const char *from = text; *from != '\0';) {
        sl_text_character character = sl_text_character_at(from);
        if (character.is_safe || (keeps_lines && *from == '\n')) {
            memmove(to, from, character.length);
            to += character.length;
        } else {
            *to++ = '?';
        }
        from += character.length;
    }
    *to = '\0';
}

void sl_text_make_safe(char *text) {
    make_safe(text, false);
}

void sl_text_make_lines_safe(char *text) {
    make_safe(text, true);
}

static void append_hex(sl_text *text, uint32_t value, unsigned digits_min) {
    static const char hex[] = "0123456789abcdef";
    char digits[8];
    unsigned count = 0;
    for (unsigned shift = 32; shift > 0;) {
        shift -= 4;
        if (count > 0 || value >> shift != 0 || shift / 4 < digits_min) {
            digits[count++] = hex[value >> shift & 15];
        }
    }
    append_bytes(text, digits, count);
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Would it be read as one of our escapes? */
static bool looks_like_escape(const char *at) {
    return at[0] == '\\' &&
           ((at[1] == 'x' && is_hex(at[2]) && is_hex(at[3])) || (at[1] == 'u' && at[2] == '{'));
}

void sl_text_append_escaped(sl_text *text, const char *string) {
    if (string == NULL) {
        string = "(null)";
    }
    while (*string != '\0') {
        sl_text_character character = sl_text_character_at(string);
        if (!character.is_safe && character.length > 1) {
            append_bytes(text, "\\u{", 3);
            append_hex(text, character.code, 1);
            append_bytes(text, "}", 1);
        } else if (!character.is_safe || *string == '"' || looks_like_escape(string)) {
            append_bytes(text, "\\x", 2);
            append_hex(text, (unsigned char)*string, 2);
        } else {
            append_bytes(text, string, character.length);
        }
        string += character.length;
    }
}

/* ---- the time ---- */

/* Days since 1970-01-01 as a date of the Gregorian calendar, in eras of 400 years that begin in
 * March, so that a leap day is a year's last. */
static void append_date(sl_text *text, uint64_t days) {
    uint64_t shifted = days + 719468; /* since 0000-03-01 */
    uint64_t era = shifted / 146097;
    uint64_t day_of_era = shifted % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month = (5 * day_of_year + 2) / 153; /* 0 = March */
    uint64_t year = era * 400 + year_of_era + (month >= 10 ? 1 : 0);
    sl_text_append_padded(text, year, 4);
    sl_text_append(text, "-");
    sl_text_append_padded(text, month < 10 ? month + 3 : month - 9, 2);
    sl_text_append(text, "-");
    sl_text_append_padded(text, day_of_year - (153 * month + 2) / 5 + 1, 2);
}

void sl_text_append_utc(sl_text *text, uint64_t utc_ns) {
    uint64_t ms = utc_ns / 1000000;
    uint64_t s = ms / 1000;
    append_date(text, s / 86400);
    sl_text_append(text, "T");
    sl_text_append_padded(text, s / 3600 % 24, 2);
    sl_text_append(text, ":");
    sl_text_append_padded(text, s / 60 % 60, 2);
    sl_text_append(text, ":");
    sl_text_append_padded(text, s % 60, 2);
    sl_text_append(text, ".");
    sl_text_append_padded(text, ms % 1000, 3);
    sl_text_append(text, "Z");
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
