/*
 * trust_test.c - whose broker the library talks to: the caller's choice, on every platform. The
 * broker is this process's own user; another one is at the other end in trust_other_test_posix.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/client/rig.h"

#define STRANGER "S-1-5-21-1-2-3-4" /* nobody on Windows, and no kind of user on Linux */

static int start_fake(void **state) {
    rig *r = calloc(1, sizeof(*r));
    fake_start(&r->fake);
    *state = r;
    return 0;
}

static int stop_fake(void **state) {
    rig *r = *state;
    fake_stop(&r->fake);
    free(r);
    return 0;
}

static void own_user(void **state) {
    rig *r = *state;
    sluice_session_info info = {.size = sizeof(info)};
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_THREAD), SLUICE_OK);
    assert_int_equal(sluice_session_get_info(r->session, &info), SLUICE_OK);
    engine_identity shown;
    assert_int_equal(engine_identity_parse(info.broker_user, &shown), SLUICE_OK);
    rig_close(r);
    /* What is shown may be expected. */
    assert_int_equal(rig_open_expecting(r, info.broker_user), SLUICE_OK);
    assert_int_equal(sluice_ping(r->session, RIG_LONG_NS, NULL), SLUICE_OK);
    rig_close(r);
}

static void somebody_else(void **state) {
    rig *r = *state;
    assert_int_equal(rig_open_expecting(r, STRANGER), SLUICE_EUNTRUSTED);
    assert_null(r->session);
    /* The one Hello that came is that of the next session. */
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_THREAD), SLUICE_OK);
    assert_int_equal(fake_count(&r->fake, SL_REQUEST_HELLO), 1);
    rig_close(r);
}

static void no_user(void **state) {
    static const char *const texts[] = {"", "root", "uid", "uid x", "S-1", "gid", "1000"};
    rig *r = *state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(rig_open_expecting(r, texts[i]), SLUICE_EINVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(own_user, start_fake, stop_fake),
        cmocka_unit_test_setup_teardown(somebody_else, start_fake, stop_fake),
        cmocka_unit_test_setup_teardown(no_user, start_fake, stop_fake),
    };
    return cmocka_run_group_tests_name("trust", tests, NULL, NULL);
}
