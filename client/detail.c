/*
 * detail.c - see detail.h.
 */
#include "client/detail.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"

static bool is_continuation(char c) {
    return ((unsigned char)c & 0xc0) == 0x80;
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
        size_t control = sl_text_control(from + i);
        to[at++] = control != 0 ? '?' : from[i];
        i += control != 0 ? control : 1;
    }
    to[at] = '\0';
}
