/* tables_test.c - limits, versions, addresses as text, the traits of requests, statuses. */
#include "proto/address.h"
#include "proto/version.h"
#include "tests/proto/proto_test.h"

static void defaults_are_those_of_the_design(void **state) {
    (void)state;
    sl_limits limits;
    sl_limits_default(&limits);
    assert_int_equal(limits.call_grace_ns, 1000000000);
    assert_int_equal(limits.close_grace_ns, 5000000000);
    assert_int_equal(limits.drain_grace_ns, 5000000000);
    assert_int_equal(limits.ping_interval_ns, 1000000000);
    assert_int_equal(limits.unresponsive_ns, 5000000000);
    assert_int_equal(limits.no_progress_ns, 60000000000);
    assert_int_equal(limits.stream_chunk_bytes, 65536);
    assert_int_equal(limits.receive_buffer_bytes, 65536);
    assert_int_equal(limits.idle_buffer_bytes, 4096);
    assert_int_equal(limits.credit_operations, 1024);
    assert_int_equal(limits.credit_bytes, 16777216);
    assert_int_equal(limits.handles, 16384);
    assert_int_equal(limits.opener_threads, 8);
    assert_int_equal(limits.opens_given_up, 8);
    assert_int_equal(limits.zombies, 64);
    sl_reason reason = {""};
    assert_int_equal(sl_limits_check(&limits, &reason), SLUICE_OK);
}

static void every_limit_takes_its_range_and_no_more(void **state) {
    (void)state;
    const sl_limit_info *info = NULL;
    for (size_t i = 0; (info = sl_limit_at(i)) != NULL; i++) {
        sl_limits limits;
        sl_limits_default(&limits);
        sl_reason reason = {""};
        assert_ptr_equal(sl_limit_find(info->name), info);
        assert_int_equal(sl_limit_get(&limits, info), info->standard);
        assert_int_equal(sl_limits_set(&limits, info->name, info->min, &reason), SLUICE_OK);
        assert_int_equal(sl_limit_get(&limits, info), info->min);
        assert_int_equal(sl_limits_set(&limits, info->name, info->max, &reason), SLUICE_OK);
        assert_int_equal(sl_limit_get(&limits, info), info->max);
        assert_int_equal(sl_limits_set(&limits, info->name, info->max + 1, &reason), SLUICE_EINVAL);
        assert_non_null(strstr(reason.text, info->name));
        if (info->min > 0) {
            assert_int_equal(sl_limits_set(&limits, info->name, info->min - 1, NULL),
                             SLUICE_EINVAL);
        }
        assert_int_equal(sl_limit_get(&limits, info), info->max);
    }
}

static void limits_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    sl_limits limits;
    sl_reason reason = {""};
    sl_limits_default(&limits);
    assert_int_equal(sl_limits_set(&limits, "unresponsive", SL_SEC, &reason), SLUICE_OK);
    assert_int_equal(sl_limits_check(&limits, &reason), SLUICE_EINVAL);
    assert_string_equal(reason.text, "unresponsive_ns: must be at least twice ping_interval_ns");
    sl_limits_default(&limits);
    limits.receive_buffer_bytes = 4096;
    limits.idle_buffer_bytes = 8192;
    assert_int_equal(sl_limits_check(&limits, &reason), SLUICE_EINVAL);
    sl_limits_default(&limits);
    limits.zombies = 0;
    assert_int_equal(sl_limits_check(&limits, &reason), SLUICE_EINVAL);
    assert_string_equal(reason.text, "zombies: 0 is out of range: 1 to 4096");
    assert_int_equal(sl_limits_set(&limits, "zombie", 1, &reason), SLUICE_EINVAL);
    assert_null(sl_limit_find(""));
    assert_null(sl_limit_find("zombies_bytes"));
    assert_non_null(sl_limit_find("payload"));
}

static void limits_read_like_people_write_them(void **state) {
    (void)state;
    static const struct {
        uint64_t value;
        sl_unit unit;
        const char *text;
    } cases[] = {
        {0, SL_UNIT_NS, "0"},
        {1, SL_UNIT_NS, "1 ns"},
        {1500000, SL_UNIT_NS, "1,500 us"},
        {SL_SEC, SL_UNIT_NS, "1 s"},
        {600 * SL_SEC, SL_UNIT_NS, "10 min"},
        {86400 * SL_SEC, SL_UNIT_NS, "24 h"},
        {1000, SL_UNIT_BYTES, "1,000 bytes"},
        {65536, SL_UNIT_BYTES, "64 KiB"},
        {SL_GIB, SL_UNIT_BYTES, "1 GiB"},
        {1024, SL_UNIT_COUNT, "1,024"},
        {UINT64_MAX, SL_UNIT_COUNT, "18,446,744,073,709,551,615"},
        {UINT64_MAX, SL_UNIT_NS, "18,446,744,073,709,551,615 ns"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[SL_LIMIT_TEXT_BYTES];
        assert_string_equal(sl_limit_text(cases[i].value, cases[i].unit, text), cases[i].text);
    }
}

static void a_refusal_names_its_limit(void **state) {
    (void)state;
    sl_reason reason;
    assert_int_equal(sl_limit_reached(&reason, SL_LIMIT_SESSION, "credit_operations", 1024),
                     SLUICE_EQUOTA);
    assert_string_equal(reason.text, "the session's limit credit_operations of 1,024 is reached");
    assert_int_equal(sl_limit_reached(&reason, SL_LIMIT_USER, "credit_bytes", 3 * SL_MIB),
                     SLUICE_EQUOTA);
    assert_string_equal(reason.text, "this user's limit credit_bytes of 3 MiB is reached");
    assert_int_equal(sl_limit_reached(&reason, SL_LIMIT_BROKER, "of_nobody", 4097), SLUICE_EQUOTA);
    assert_string_equal(reason.text, "the broker's limit of_nobody of 4,097 is reached");
    assert_int_equal(sl_limit_reached(NULL, SL_LIMIT_BROKER, "sessions", 1), SLUICE_EQUOTA);
}

static void a_session_gets_its_wish_within_bounds(void **state) {
    (void)state;
    sl_limits broker;
    sl_limits_default(&broker);
    sl_session_limits granted;
    sl_session_limits any = {0};
    sl_limits_grant(&broker, &any, &granted);
    assert_int_equal(granted.control_bytes, 65536);
    assert_int_equal(granted.credit_operations, 1024);
    assert_int_equal(granted.credit_bytes, 16777216);
    sl_session_limits wanted = {1, UINT32_MAX, 65536, 20, UINT64_MAX, 1};
    sl_limits_grant(&broker, &wanted, &granted);
    assert_int_equal(granted.control_bytes, 4096);   /* never less than the table's minimum */
    assert_int_equal(granted.fragment_bytes, 65536); /* never more than the broker's */
    assert_int_equal(granted.payload_bytes, 65536);
    assert_int_equal(granted.credit_operations, 20);
    assert_int_equal(granted.credit_bytes, 16777216);
    assert_int_equal(granted.handles, 16);
    sl_reason reason = {""};
    assert_int_equal(sl_session_limits_check(&granted, &reason), SLUICE_OK);
    granted.fragment_bytes = 65537;
    assert_int_equal(sl_session_limits_check(&granted, &reason), SLUICE_EPROTOCOL);
    assert_string_equal(reason.text, "fragment_bytes: 65537 is out of range: 4096 to 65536");
}

static void the_highest_common_version_holds(void **state) {
    (void)state;
    static const struct {
        sl_version_range ours;
        sl_version_range theirs;
        int status;
        uint32_t version;
    } cases[] = {
        {{1, 1}, {1, 1}, SLUICE_OK, 1},
        {{1, 1}, {1, 9}, SLUICE_OK, 1},
        {{1, 3}, {2, 9}, SLUICE_OK, 3},
        {{2, 3}, {3, 4}, SLUICE_OK, 3},
        {{1, 9}, {4, 5}, SLUICE_OK, 5},
        {{1, 1}, {2, 2}, SLUICE_EVERSION, 0},
        {{1, 3}, {4, 9}, SLUICE_EVERSION, 0},
        {{1, 1}, {0, 0}, SLUICE_EINVAL, 0},
        {{1, 1}, {0, 1}, SLUICE_EINVAL, 0},
        {{1, 1}, {2, 1}, SLUICE_EINVAL, 0},
        {{1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}, SLUICE_OK, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sl_reason reason = {""};
        uint32_t version = 0;
        assert_int_equal(sl_version_choose(cases[i].ours, cases[i].theirs, &version, &reason),
                         cases[i].status);
        assert_int_equal(version, cases[i].version);
        assert_int_equal(reason.text[0] == '\0', cases[i].status == SLUICE_OK);
        version = 0;
        assert_int_equal(sl_version_choose(cases[i].theirs, cases[i].ours, &version, NULL),
                         cases[i].status);
        assert_int_equal(version, cases[i].version);
    }
    sl_reason reason;
    uint32_t version = 0;
    (void)sl_version_choose((sl_version_range){2, 3}, (sl_version_range){1, 1}, &version, &reason);
    assert_string_equal(reason.text, "version: this side speaks 2 to 3, the other 1");
}

static void addresses_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int status;
        const char *name;
        uint16_t port;
    } cases[] = {
        {"pipe:demo", SLUICE_OK, "demo", 0},
        {"pipe:/run/user/1000/a b.sock", SLUICE_OK, "/run/user/1000/a b.sock", 0},
        {"pipe:a:b", SLUICE_OK, "a:b", 0},
        {"tcp:localhost:80", SLUICE_OK, "localhost", 80},
        {"tcp:127.0.0.1:0", SLUICE_OK, "127.0.0.1", 0},
        {"tcp:[::1]:65535", SLUICE_OK, "::1", 65535},
        {"tcp:[fe80::1%2]:1", SLUICE_OK, "fe80::1%2", 1},
        {"pipe:", SLUICE_EINVAL, NULL, 0},
        {"pipe:a\nb", SLUICE_EINVAL, NULL, 0},
        {"tcp:", SLUICE_EINVAL, NULL, 0},
        {"tcp::80", SLUICE_EINVAL, NULL, 0},
        {"tcp:host", SLUICE_EINVAL, NULL, 0},
        {"tcp:host:", SLUICE_EINVAL, NULL, 0},
        {"tcp:host:65536", SLUICE_EINVAL, NULL, 0},
        {"tcp:host:4294967376", SLUICE_EINVAL, NULL, 0},
        {"tcp:host:-1", SLUICE_EINVAL, NULL, 0},
        {"tcp:host:8 ", SLUICE_EINVAL, NULL, 0},
        {"tcp:::1:80", SLUICE_EINVAL, NULL, 0},
        {"tcp:[::1:80", SLUICE_EINVAL, NULL, 0},
        {"tcp:[]:80", SLUICE_EINVAL, NULL, 0},
        {"tcp:[:80", SLUICE_EINVAL, NULL, 0},
        {"tcp:a]b:80", SLUICE_EINVAL, NULL, 0},
        {"demo", SLUICE_EINVAL, NULL, 0},
        {"", SLUICE_EINVAL, NULL, 0},
        {"udp:localhost:80", SLUICE_EINVAL, NULL, 0},
        {"PIPE:demo", SLUICE_EINVAL, NULL, 0},
    };
    static const char forms[] = "address: want pipe:NAME, tcp:HOST:PORT or tcp:[IPV6]:PORT";
    sl_address none;
    sl_reason which;
    const char *const unknown[] = {"x", "pope:x", "", "pipe", "Tcp:h:1"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_int_equal(sl_address_parse(unknown[i], &none, &which), SLUICE_EINVAL);
        assert_string_equal(which.text, forms);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sl_address address;
        sl_reason reason = {""};
        assert_int_equal(sl_address_parse(cases[i].text, &address, &reason), cases[i].status);
        assert_int_equal(reason.text[0] == '\0', cases[i].status == SLUICE_OK);
        if (cases[i].status == SLUICE_OK) {
            assert_string_equal(address.name, cases[i].name);
            assert_int_equal(address.port, cases[i].port);
            char text[SL_ADDRESS_BYTES];
            assert_string_equal(sl_address_text(&address, text), cases[i].text);
        }
    }
    char text[5 + SL_ADDRESS_NAME_BYTES + 1] = "pipe:";
    memset(text + 5, 'x', SL_ADDRESS_NAME_BYTES);
    sl_address address;
    assert_int_equal(sl_address_parse(text, &address, NULL), SLUICE_ENAMETOOLONG);
    text[5 + SL_ADDRESS_NAME_BYTES - 1] = '\0';
    assert_int_equal(sl_address_parse(text, &address, NULL), SLUICE_OK);
    memset(text, 'x', sizeof(text));
    memcpy(text, "tcp:", 4);
    memcpy(text + 4 + SL_ADDRESS_HOST_BYTES, ":80", 4);
    assert_int_equal(sl_address_parse(text, &address, NULL), SLUICE_ENAMETOOLONG);
    memcpy(text + 4 + SL_ADDRESS_HOST_BYTES - 1, ":80", 4);
    assert_int_equal(sl_address_parse(text, &address, NULL), SLUICE_OK);
}

static void pipes_of_windows_have_one_name(void **state) {
    (void)state;
    static const char elsewhere[] = "endpoint: a pipe of another machine, or no pipe: only "
                                    "\\\\.\\pipe\\NAME and NAME are reached";
    static const char nothing[] =
        "endpoint: nothing is left of the pipe's name without its dots and blanks";
    static const char parent[] = "endpoint: \"..\" is no part of a pipe's name";
    static const struct {
        const char *given;
        const char *name; /* NULL: refused */
        const char *why;
    } cases[] = {
        {"x", "x", ""},
        {"\\\\.\\pipe\\x", "x", ""},
        {"\\\\?\\PIPE\\a\\b", "a\\b", ""},
        {"//./Pipe/x", "x", ""},
        {"\\x", "\\x", ""},
        {"pipe\\x", "pipe\\x", ""},
        {"\\\\server\\pipe\\x", NULL, elsewhere},
        {"\\\\.\\mailslot\\x", NULL, elsewhere},
        {"\\\\.\\pipe", NULL, elsewhere},
        {"//x", NULL, elsewhere},
        {"\\\\.\\pipe\\", NULL, nothing},
        {"..", NULL, nothing},
        {" . ", NULL, nothing},
        {"x/../y", NULL, parent},
        {"\\\\.\\pipe\\x\\..", NULL, parent},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *name = NULL;
        sl_reason reason = {""};
        int status = cases[i].name != NULL ? SLUICE_OK : SLUICE_EINVAL;
        assert_int_equal(sl_address_windows_pipe(cases[i].given, "endpoint", &name, &reason),
                         status);
        assert_string_equal(reason.text, cases[i].why);
        if (status == SLUICE_OK) {
            assert_string_equal(name, cases[i].name);
        }
    }
}

static void numeric_addresses_are_written(void **state) {
    (void)state;
    sl_address address;
    char text[SL_ADDRESS_BYTES];
    sl_address_from_ipv4(&address, (const uint8_t[4]){127, 0, 0, 1}, 80);
    assert_string_equal(sl_address_text(&address, text), "tcp:127.0.0.1:80");
    static const struct {
        uint8_t bytes[16];
        uint32_t scope;
        const char *text;
    } cases[] = {
        {{0}, 0, "tcp:[::]:1"},
        {{[15] = 1}, 0, "tcp:[::1]:1"},
        {{0x20, 1, 0xd, 0xb8, [15] = 0x10}, 0, "tcp:[2001:db8::10]:1"},
        {{0x20, 1, [7] = 1, [15] = 1}, 0, "tcp:[2001:0:0:1::1]:1"},
        {{0xfe, 0x80, [15] = 1}, 2, "tcp:[fe80::1%2]:1"},
        {{0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 0}, 0, "tcp:[1:2:3:4:5:6:7:0]:1"},
        {{0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 0, 0, 0}, 0, "tcp:[1:2:3:4:5:6::]:1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sl_address_from_ipv6(&address, cases[i].bytes, cases[i].scope, 1);
        assert_string_equal(sl_address_text(&address, text), cases[i].text);
    }
}

static void requests_have_the_traits_the_protocol_says(void **state) {
    (void)state;
    const unsigned free_of_charge = SL_REQUEST_IS_KNOWN | SL_REQUEST_IS_ANSWERED;
    const unsigned stands = SL_REQUEST_IS_KNOWN | SL_REQUEST_HAS_NO_ID;
    assert_int_equal(sl_request_traits(SL_REQUEST_CANCEL), stands);
    assert_int_equal(sl_request_traits(SL_REQUEST_STREAM_READ), stands);
    assert_int_equal(sl_request_traits(SL_REQUEST_STREAM_CANCEL), stands);
    assert_int_equal(sl_request_traits(SL_REQUEST_WRITE_DATA),
                     SL_REQUEST_IS_KNOWN | SL_REQUEST_HAS_PAYLOAD);
    assert_int_equal(sl_request_traits(SL_REQUEST_CLOSE), free_of_charge);
    assert_int_equal(sl_request_traits(SL_REQUEST_PING), free_of_charge);
    assert_int_equal(sl_request_traits(SL_REQUEST_HELLO), free_of_charge);
    assert_true(sl_request_traits(SL_REQUEST_READ) & SL_REQUEST_TAKES_CREDIT);
    assert_false(sl_request_traits(SL_REQUEST_READ) & SL_REQUEST_HAS_PAYLOAD);
    assert_int_equal(sl_request_traits(SL_REQUEST_NONE), 0);
    assert_int_equal(sl_request_traits((sl_request_kind)99), 0);
    assert_string_equal(sl_request_kind_name(SL_REQUEST_WRITE_DATA), "write_data");
    assert_string_equal(sl_request_kind_name((sl_request_kind)1), "unknown");
    assert_string_equal(sl_operation_state_name(SL_OPERATION_ZOMBIE), "zombie");
    assert_string_equal(sl_operation_state_name((sl_operation_state)5), "unknown");
}

static void statuses_are_numbered_without_gaps(void **state) {
    (void)state;
    for (int status = 0; status > -SLUICE_STATUS_COUNT; status--) {
        assert_string_not_equal(sl_status_name(status), "UNKNOWN");
        size_t length = strlen(sl_status_sentence(status));
        assert_true(length > 0 && length <= SL_DETAIL_BYTES);
    }
    assert_string_equal(sl_status_name(-SLUICE_STATUS_COUNT), "UNKNOWN");
    assert_string_equal(sl_status_name(SLUICE_EOS), "EOS");
    assert_int_equal(SLUICE_EPROTOCOL, -24);
    assert_int_equal(SLUICE_ESYNCHANDLE, -37);
}

static void reasons_are_cut_not_overrun(void **state) {
    (void)state;
    char what[2 * SL_REASON_BYTES];
    memset(what, 'w', sizeof(what) - 1);
    what[sizeof(what) - 1] = '\0';
    sl_reason reason;
    assert_int_equal(sl_reason_set(&reason, SLUICE_EINVAL, "here", what), SLUICE_EINVAL);
    assert_int_equal(strlen(reason.text), SL_REASON_BYTES - 1);
    assert_int_equal(sl_reason_value(&reason, -1, "here", "much", UINT64_MAX), -1);
    assert_string_equal(reason.text, "here: much (18446744073709551615)");
    assert_int_equal(sl_reason_set(NULL, -2, "here", what), -2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_design),
        cmocka_unit_test(every_limit_takes_its_range_and_no_more),
        cmocka_unit_test(limits_that_contradict_each_other_are_refused),
        cmocka_unit_test(limits_read_like_people_write_them),
        cmocka_unit_test(a_refusal_names_its_limit),
        cmocka_unit_test(a_session_gets_its_wish_within_bounds),
        cmocka_unit_test(the_highest_common_version_holds),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(numeric_addresses_are_written),
        cmocka_unit_test(requests_have_the_traits_the_protocol_says),
        cmocka_unit_test(statuses_are_numbered_without_gaps),
        cmocka_unit_test(reasons_are_cut_not_overrun),
        cmocka_unit_test(pipes_of_windows_have_one_name),
    };
    return cmocka_run_group_tests_name("proto_tables", tests, NULL, NULL);
}
