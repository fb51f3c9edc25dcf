/*
 * deps_test.c - proves that each dependency links, runs and is the version its headers belong to.
 *
 * libuv: a timer fires on a loop, which then closes clean. protobuf-c: a message of its own
 * descriptor type survives a round trip, and an allocator of ours sees every allocation. cmocka:
 * runs all this.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <protobuf-c/protobuf-c.h>
#include <uv.h>

static void uv_header_and_library_agree(void **state) {
    (void)state;
    char version[32];
    (void)snprintf(version, sizeof(version), "%d.%d.%d", UV_VERSION_MAJOR, UV_VERSION_MINOR,
                   UV_VERSION_PATCH);
    assert_string_equal(uv_version_string(), version);
    assert_int_equal(uv_version(), UV_VERSION_HEX);
}

static void on_timer(uv_timer_t *timer) {
    *(int *)timer->data += 1;
    uv_close((uv_handle_t *)timer, NULL);
}

static void uv_loop_runs_a_timer(void **state) {
    (void)state;
    int fired = 0;
    uv_loop_t loop;
    uv_timer_t timer;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = &fired;
    assert_int_equal(uv_timer_start(&timer, on_timer, 1, 0), 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fired, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void protobuf_c_header_and_library_agree(void **state) {
    (void)state;
    assert_string_equal(protobuf_c_version(), PROTOBUF_C_VERSION);
    assert_int_equal(protobuf_c_version_number(), PROTOBUF_C_VERSION_NUMBER);
}

/*
 * A message type by hand, as protoc-c would generate it:
 * message Probe { required uint32 id = 1; optional bytes blob = 2; }
 */
typedef struct probe {
    ProtobufCMessage base;
    uint32_t id;
    protobuf_c_boolean has_blob;
    ProtobufCBinaryData blob;
} probe;

static const ProtobufCFieldDescriptor probe_fields[] = {
    {.name = "id",
     .id = 1,
     .label = PROTOBUF_C_LABEL_REQUIRED,
     .type = PROTOBUF_C_TYPE_UINT32,
     .offset = offsetof(probe, id)},
    {.name = "blob",
     .id = 2,
     .label = PROTOBUF_C_LABEL_OPTIONAL,
     .type = PROTOBUF_C_TYPE_BYTES,
     .quantifier_offset = offsetof(probe, has_blob),
     .offset = offsetof(probe, blob)},
};
static const unsigned probe_by_name[] = {1, 0};
static const ProtobufCIntRange probe_ranges[] = {{1, 0}, {0, 2}};
static const ProtobufCMessageDescriptor probe_descriptor = {
    .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    .name = "Probe",
    .short_name = "Probe",
    .c_name = "probe",
    .package_name = "",
    .sizeof_message = sizeof(probe),
    .n_fields = 2,
    .fields = probe_fields,
    .fields_sorted_by_name = probe_by_name,
    .n_field_ranges = 1,
    .field_ranges = probe_ranges,
};

static void *count_alloc(void *balance, size_t size) {
    *(int *)balance += 1;
    return malloc(size);
}

static void count_free(void *balance, void *pointer) {
    if (pointer != NULL) {
        *(int *)balance -= 1;
        free(pointer);
    }
}

static void protobuf_c_packs_and_unpacks(void **state) {
    (void)state;
    uint8_t blob[3] = {0xde, 0x00, 0xad};
    probe sent = {.base = {.descriptor = &probe_descriptor}, .id = 300, .has_blob = 1};
    sent.blob.len = sizeof(blob);
    sent.blob.data = blob;

    /* field 1 = varint 300; field 2 = 3 bytes: fixed by the protobuf encoding */
    const uint8_t expected[] = {0x08, 0xac, 0x02, 0x12, 0x03, 0xde, 0x00, 0xad};
    uint8_t wire[16];
    assert_int_equal(protobuf_c_message_get_packed_size(&sent.base), sizeof(expected));
    assert_int_equal(protobuf_c_message_pack(&sent.base, wire), sizeof(expected));
    assert_memory_equal(wire, expected, sizeof(expected));

    int balance = 0;
    ProtobufCAllocator allocator = {count_alloc, count_free, &balance};
    probe *got =
        (probe *)protobuf_c_message_unpack(&probe_descriptor, &allocator, sizeof(expected), wire);
    assert_non_null(got);
    assert_true(balance > 0);
    assert_int_equal(got->id, 300);
    assert_int_equal(got->blob.len, sizeof(blob));
    assert_memory_equal(got->blob.data, blob, sizeof(blob));
    protobuf_c_message_free_unpacked(&got->base, &allocator);
    assert_int_equal(balance, 0);

    /* A truncated message is refused and leaks nothing. */
    assert_null(
        protobuf_c_message_unpack(&probe_descriptor, &allocator, sizeof(expected) - 1, wire));
    assert_int_equal(balance, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uv_header_and_library_agree),
        cmocka_unit_test(uv_loop_runs_a_timer),
        cmocka_unit_test(protobuf_c_header_and_library_agree),
        cmocka_unit_test(protobuf_c_packs_and_unpacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
