/*
 * no_launch.h - the hooks of a client's core that has a service and starts no broker of its own.
 */
#ifndef SLUICE_TESTS_CLIENT_NO_LAUNCH_H
#define SLUICE_TESTS_CLIENT_NO_LAUNCH_H

#include <stdbool.h>

#include "base/check.h"

static inline void no_launch(void *user) {
    (void)user;
    SL_CHECK(false, "nobody asks for a private broker");
}

static inline bool no_launch_has_ended(void *user) {
    (void)user;
    return true;
}

#endif
