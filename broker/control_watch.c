/*
 * control_watch.c - see control_watch.h: what is the same on every system.
 */
#include "broker/control_watch.h"

#include <string.h>

#include "base/status.h"

int control_watch_status(int uv_error) {
    switch (uv_error) {
    case 0: return SLUICE_OK;
    case UV_EMFILE:
    case UV_ENFILE: return SLUICE_EOSLIMIT;
    case UV_ENOMEM: return SLUICE_ENOMEM;
    default: return SLUICE_EOS;
    }
}

uint64_t control_watch_number(const char *text, char end) {
    uint64_t number = 0;
    for (; *text >= '0' && *text <= '9' && number < UINT64_MAX / 16; text++) {
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return *text == end ? number : 0;
}

uint64_t control_watch_process(const char *who) {
    const char *first = strchr(who, ':');
    const char *second = first != NULL ? strchr(first + 1, ':') : NULL;
    if (first == NULL) {
        return control_watch_number(who, '\0');
    }
    return second != NULL ? control_watch_number(second + 1, '\0') : 0;
}
