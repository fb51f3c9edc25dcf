/*
 * random_win.c - see random.h. RtlGenRandom (advapi32!SystemFunction036, documented under that
 * name): no handle to open and keep, no library to load, present everywhere since Windows XP.
 */
#include "base/random.h"

#include <windows.h>
/* After windows.h, which it needs. */
#include <ntsecapi.h>

#include "base/check.h"

#define SHARE_MAX 0x10000000u

static void system_fill(sl_random *random, void *bytes, size_t count) {
    unsigned char *out = bytes;
    (void)random;
    while (count > 0) {
        ULONG share = count < SHARE_MAX ? (ULONG)count : SHARE_MAX;
        SL_CHECK(RtlGenRandom(out, share), "the system gives random bytes");
        out += share;
        count -= share;
    }
}

sl_random *sl_random_system(void) {
    static sl_random system_random = {system_fill};
    return &system_random;
}
