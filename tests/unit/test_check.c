/* test_check.c - a failed check says what and where and ends the process. In a child process. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/sink.h"

static const int check_line = __LINE__ + 3; /* that of the check below */
static void fail_a_check(void) {
    int two_and_two = 4;
    SL_CHECK(two_and_two == 5, "arithmetic holds");
}

static void link_twice(void) {
    sl_list a;
    sl_list b;
    sl_list node;
    sl_list_init(&a);
    sl_list_init(&b);
    sl_list_init(&node);
    sl_list_push_back(&a, &node);
    sl_list_push_back(&b, &node);
}

static void fail_with_long_words(void) {
    static char long_words[2000];
    memset(long_words, 'w', sizeof(long_words) - 1);
    sl_check_failed(__FILE__, __LINE__, "condition", long_words);
}

static void test_says_what_and_where(void **state) {
    unit_child child;
    char expected[128];
    (void)state;
    unit_child_run("fail", UNIT_CHILD_READ, &child);
    assert_true(child.has_aborted);
    (void)snprintf(expected, sizeof(expected),
                   "test_check.c:%d: arithmetic holds [two_and_two == 5]\n", check_line);
    assert_non_null(strstr(child.errors, expected));
    assert_int_equal(strncmp(child.errors, "sluice: broken invariant at ", 28), 0);
}

static void test_a_broken_list_is_caught(void **state) {
    unit_child child;
    (void)state;
    unit_child_run("list", UNIT_CHILD_READ, &child);
    assert_true(child.has_aborted);
    assert_non_null(strstr(child.errors, "list.h:"));
    assert_non_null(strstr(child.errors, "a list node is in one list at most"));
}

static void test_long_words_are_cut(void **state) {
    unit_child child;
    (void)state;
    unit_child_run("long", UNIT_CHILD_READ, &child);
    assert_true(child.has_aborted);
    assert_true(child.length > 100 && child.length <= 512);
    assert_string_equal(child.errors + child.length - 4, "...\n");
}

static void test_a_check_that_holds_is_silent(void **state) {
    unit_child child;
    (void)state;
    SL_CHECK(1 + 1 == 2, "arithmetic holds");
    unit_child_run("fine", UNIT_CHILD_READ, &child);
    assert_false(child.has_aborted);
    assert_int_equal(child.exit_code, 7);
    assert_string_equal(child.errors, "said to standard error");
}

static int run_as_child(const char *what) {
    if (strcmp(what, "fail") == 0) {
        fail_a_check();
    } else if (strcmp(what, "list") == 0) {
        link_twice();
    } else if (strcmp(what, "long") == 0) {
        fail_with_long_words();
    } else if (!sl_sink_write(SL_SINK_ERROR, "said to standard error", 22)) {
        return 8;
    }
    return 7;
}

int main(int argument_count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_what_and_where),
        cmocka_unit_test(test_a_broken_list_is_caught),
        cmocka_unit_test(test_long_words_are_cut),
        cmocka_unit_test(test_a_check_that_holds_is_silent),
    };
    if (argument_count > 1) {
        return run_as_child(arguments[1]);
    }
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
