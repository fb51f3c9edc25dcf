/*
 * rig.h - what the tests of the client share: a fake broker and a session with it.
 */
#ifndef SLUICE_TESTS_CLIENT_RIG_H
#define SLUICE_TESTS_CLIENT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "client/include/sluice/sluice.h"
#include "client/tuning.h"
#include "tests/client/fake.h"

#define RIG_GRACE_NS (200 * SL_NS_PER_MS)
/* What a loaded machine may add to a bound on time. */
#define RIG_SLACK_NS (1500 * SL_NS_PER_MS)
#define RIG_LONG_NS  (20 * SL_NS_PER_S)

typedef struct rig {
    fake_broker fake;
    sluice_session *session;
    sl_alloc_failpoint memory; /* the session's */
} rig;

/* cmocka's setup and teardown: a broker and a session by delivery THREAD. */
int rig_setup(void **state);
/* ... that does not take a broker for dead that a loaded machine keeps waiting: for what is not
 * about silence. The library sends no pings of its own to it. */
int rig_setup_patient(void **state);
int rig_teardown(void **state);

int32_t rig_open(rig *r, uint32_t delivery);
/* The same with a wish whose broker it must be; NULL = the library's choice. */
int32_t rig_open_expecting(rig *r, const char *expected_user);
void rig_close(rig *r);
void rig_pair(rig *r, sluice_handle ret_ends[2]);
uint64_t rig_now_ns(void);

/* Counts callbacks, and remembers the last result. */
typedef struct rig_tally {
    sl_atomic_u32 count;
    sl_atomic_u32 by_status[64];
    sluice_result last;
} rig_tally;

void rig_count(void *user, sluice_operation *operation, const sluice_result *result);
/* Waits until so many callbacks were counted; false: they did not come. */
bool rig_wait(rig_tally *tally, uint32_t count);

#endif
