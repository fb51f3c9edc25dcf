/*
 * test_sink_win.c - standard handles that are none: what is written to them goes nowhere, also when
 * the system gives out their number again. (On Linux: sluiced.streams.)
 */
#include "unit.h"

#include <windows.h>

#include "base/sink.h"

#define TRIES 64

/* Handles of files of ours up to the one that has the number; NULL = none has got it. */
static HANDLE take_number(HANDLE number, HANDLE *ret_others, unsigned *ret_count) {
    WCHAR folder[MAX_PATH];
    WCHAR path[MAX_PATH];
    assert_true(GetTempPathW(MAX_PATH, folder) > 0);
    for (*ret_count = 0; *ret_count < TRIES;) {
        assert_int_not_equal(GetTempFileNameW(folder, L"slc", 0, path), 0);
        HANDLE file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                                  FILE_FLAG_DELETE_ON_CLOSE, NULL);
        assert_true(file != INVALID_HANDLE_VALUE);
        if (file == number) {
            return file;
        }
        ret_others[(*ret_count)++] = file;
    }
    return NULL;
}

static void test_a_stale_number(DWORD stream, sl_sink sink) {
    HANDLE others[TRIES];
    unsigned count;
    LARGE_INTEGER length;
    uint32_t os_error;
    HANDLE before = GetStdHandle(stream);
    HANDLE number = CreateEventW(NULL, FALSE, FALSE, NULL);
    assert_non_null(number);
    assert_true(CloseHandle(number));
    assert_true(SetStdHandle(stream, number));
    assert_true(sl_sink_prepare(&os_error));
    HANDLE file = take_number(number, others, &count);
    bool is_written = sl_sink_write(sink, "words", 5);
    assert_true(SetStdHandle(stream, before));
    assert_non_null(file);
    assert_false(is_written);
    assert_true(GetFileSizeEx(file, &length));
    assert_true(length.QuadPart == 0);
    assert_true(CloseHandle(file));
    while (count > 0) {
        assert_true(CloseHandle(others[--count]));
    }
}

static void test_stale_numbers(void **state) {
    (void)state;
    test_a_stale_number(STD_OUTPUT_HANDLE, SL_SINK_OUTPUT);
    test_a_stale_number(STD_ERROR_HANDLE, SL_SINK_ERROR);
}

static void test_what_is_there_stays(void **state) {
    static const DWORD streams[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    uint32_t os_error;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        HANDLE before = GetStdHandle(streams[i]);
        HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);
        assert_true(SetStdHandle(streams[i], event));
        assert_true(sl_sink_prepare(&os_error));
        assert_ptr_equal(GetStdHandle(streams[i]), event);
        assert_true(SetStdHandle(streams[i], NULL));
        assert_true(sl_sink_prepare(&os_error));
        assert_null(GetStdHandle(streams[i]));
        assert_true(SetStdHandle(streams[i], before));
        assert_true(CloseHandle(event));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_numbers),
        cmocka_unit_test(test_what_is_there_stays),
    };
    return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
