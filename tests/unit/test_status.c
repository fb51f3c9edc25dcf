/* test_status.c - the table of results: every number has a name and a sentence, no other has. */
#include "unit.h"

#include <string.h>

#include "base/status.h"

static void test_every_status_has_a_name_and_a_sentence(void **state) {
    (void)state;
    for (int i = 0; i < SLUICE_STATUS_COUNT; i++) {
        assert_string_not_equal(sl_status_name(-i), "UNKNOWN");
        size_t length = strlen(sl_status_sentence(-i));
        assert_true(length > 10 && sl_status_sentence(-i)[length - 1] != '.');
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(sl_status_name(-i), sl_status_name(-j));
        }
    }
}

/* The numbers are part of the ABI: this list is written down a second time on purpose. */
static void test_numbers_never_change(void **state) {
    static const char *const names[SLUICE_STATUS_COUNT] = {
        "OK",          "EEOF",          "ECANCELED",    "ETIMEDOUT",
        "ECLOSED",     "EINVAL",        "ENOTSUP",      "ENOMEM",
        "EQUOTA",      "EOSLIMIT",      "EBROKENPIPE",  "ERESET",
        "EREFUSED",    "EUNREACHABLE",  "EADDRINUSE",   "EADDRNOTAVAIL",
        "ENAMETAKEN",  "ENOTFOUND",     "ENAMETOOLONG", "EACCESS",
        "ETRUNCATED",  "ETOOLARGE",     "EBUSY",        "EOS",
        "EPROTOCOL",   "EVERSION",      "ENOBROKER",    "EUNTRUSTED",
        "EBROKERLOST", "EUNRESPONSIVE", "ESTALE",       "EBADHANDLE",
        "ETORN",       "EABANDONED",    "ESHUTDOWN",    "EDEADLK",
        "EFORKED",     "ESYNCHANDLE"};
    (void)state;
    for (int i = 0; i < SLUICE_STATUS_COUNT; i++) {
        assert_string_equal(sl_status_name(-i), names[i]);
    }
    assert_int_equal(SLUICE_ECANCELED, -2);
    assert_int_equal(SLUICE_EOS, -23);
    assert_int_equal(SLUICE_ESYNCHANDLE, -37);
}

static void test_other_numbers_are_unknown(void **state) {
    static const int others[] = {1, 100, -SLUICE_STATUS_COUNT, -1000, INT32_MAX, INT32_MIN};
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_string_equal(sl_status_name(others[i]), "UNKNOWN");
        assert_non_null(sl_status_sentence(others[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_a_name_and_a_sentence),
        cmocka_unit_test(test_numbers_never_change),
        cmocka_unit_test(test_other_numbers_are_unknown),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
