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

void client_text_copy(char *to, size_t size, const char *from) {
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
    if (length > 0) {
        memcpy(to, from, length);
    }
    to[length] = '\0';
}

void client_detail_copy(char *to, size_t size, const char *from) {
    if (size != 0) {
        client_text_copy(to, size, from);
        sl_text_make_safe(to);
    }
}
