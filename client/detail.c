/*
 * detail.c - see detail.h.
 */
#include "client/detail.h"

#include <stdbool.h>
#include <string.h>

static bool is_continuation(char c) {
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Of the bytes at c, how many are a control character: C0, DEL, or C1 (U+0080 to U+009F). */
static size_t control_bytes(const char *c) {
    unsigned char first = (unsigned char)c[0];
    if (first < 0x20 || first == 0x7f) {
        return 1;
    }
    return first == 0xc2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0 ? 2 : 0;
}

void client_detail_copy(char *to, size_t size, const char *from) {
    if (size == 0) {
        return;
    }
    size_t length = from == NULL ? 0 : strlen(from);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && is_continuation(from[length])) {
            length--;
        }
    }
    size_t at = 0;
    for (size_t i = 0; i < length;) {
        size_t control = control_bytes(from + i);
        to[at++] = control != 0 ? '?' : from[i];
        i += control != 0 ? control : 1;
    }
    to[at] = '\0';
}
