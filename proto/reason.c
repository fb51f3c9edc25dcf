/* reason.c - builds the sentences of reason.h. No allocation, no stdio. */
#include "proto/reason.h"

#include "base/text.h"

static void begin(sl_reason *reason, sl_text *text, const char *where) {
    sl_text_init(text, reason->text, sizeof(reason->text) - 1);
    sl_text_append(text, where);
    sl_text_append(text, ": ");
}

static void end(sl_reason *reason, const sl_text *text) {
    reason->text[text->length] = '\0';
}

int sl_reason_set(sl_reason *reason, int status, const char *where, const char *what) {
    if (reason != NULL) {
        sl_text text;
        begin(reason, &text, where);
        sl_text_append(&text, what);
        end(reason, &text);
    }
    return status;
}

int sl_reason_value(sl_reason *reason, int status, const char *where, const char *what,
                    uint64_t value) {
    if (reason != NULL) {
        sl_text text;
        begin(reason, &text, where);
        sl_text_append(&text, what);
        sl_text_append(&text, " (");
        sl_text_append_u64(&text, value);
        sl_text_append(&text, ")");
        end(reason, &text);
    }
    return status;
}

int sl_reason_about(sl_reason *reason, int status, const char *where, uint64_t value,
                    const char *what) {
    if (reason != NULL) {
        sl_text text;
        begin(reason, &text, where);
        sl_text_append_u64(&text, value);
        sl_text_append(&text, " ");
        sl_text_append(&text, what);
        end(reason, &text);
    }
    return status;
}

int sl_reason_sizeof(sl_reason *reason, int status, const char *where, uint64_t size,
                     const char *type, uint64_t right) {
    if (reason != NULL) {
        sl_text text;
        begin(reason, &text, where);
        sl_text_append(&text, "is ");
        sl_text_append_u64(&text, size);
        sl_text_append(&text, ", must be sizeof(");
        sl_text_append(&text, type);
        sl_text_append(&text, "), ");
        sl_text_append_u64(&text, right);
        end(reason, &text);
    }
    return status;
}

int sl_reason_too_long(sl_reason *reason, int status, const char *where, uint64_t length,
                       uint64_t max) {
    if (reason != NULL) {
        sl_text text;
        begin(reason, &text, where);
        sl_text_append_u64(&text, length);
        sl_text_append(&text, " bytes, at most ");
        sl_text_append_u64(&text, max);
        end(reason, &text);
    }
    return status;
}

int sl_reason_range(sl_reason *reason, int status, const char *where, uint64_t value, uint64_t min,
                    uint64_t max) {
    if (reason != NULL) {
        sl_text text;
        begin(reason, &text, where);
        sl_text_append_u64(&text, value);
        sl_text_append(&text, " is out of range: ");
        sl_text_append_u64(&text, min);
        sl_text_append(&text, " to ");
        sl_text_append_u64(&text, max);
        end(reason, &text);
    }
    return status;
}
