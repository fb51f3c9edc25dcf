/* random_posix.c - see random.h. getrandom(2): blocks only before the pool is seeded, at boot. */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/check.h"

static void system_fill(sl_random *random, void *bytes, size_t count) {
    unsigned char *out = bytes;
    (void)random;
    while (count > 0) {
        ssize_t got = getrandom(out, count, 0);
        if (got < 0) {
            SL_CHECK(errno == EINTR, "the system gives random bytes");
            continue;
        }
        out += got;
        count -= (size_t)got;
    }
}

sl_random *sl_random_system(void) {
    static sl_random system_random = {system_fill};
    return &system_random;
}
