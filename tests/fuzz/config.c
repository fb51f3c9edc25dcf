/*
 * config.c - the configuration's parser: a file is taken, or refused with one line that names file
 * and line; nothing in between.
 */
#include "broker/config.h"
#include "tests/fuzz/fuzz.h"

#define PATH "the.conf"

static void check_error(const config_error *error) {
    size_t length = strnlen(error->text, sizeof(error->text));
    FUZZ_EXPECT(length > 0 && length < sizeof(error->text));
    FUZZ_EXPECT(strchr(error->text, '\n') == NULL);
}

static void check_quantity(fuzz_input *in) {
    char text[32];
    size_t count;
    const uint8_t *from = fuzz_take(in, sizeof(text) - 1, &count);
    memcpy(text, from, count);
    text[count] = '\0';
    for (unsigned unit = SL_UNIT_NS; unit <= SL_UNIT_COUNT; unit++) {
        config_error error = {""};
        uint64_t value = 0;
        if (config_parse_quantity(text, (sl_unit)unit, &value, &error) != 0) {
            check_error(&error);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    sluiced_config config;
    config_error error = {""};
    uint8_t *exact = fuzz_exact(bytes, size);
    config_init(&config);
    int status = config_parse(&config, PATH, (const char *)exact, size, &error);
    free(exact);
    if (status != 0) {
        check_error(&error);
        FUZZ_EXPECT(strncmp(error.text, PATH ":", sizeof(PATH)) == 0);
    } else if (config_check(&config, &error) != 0) {
        check_error(&error);
    } else {
        sl_reason reason = {""};
        FUZZ_EXPECT(sl_limits_check(&config.limits, &reason) == 0);
        FUZZ_EXPECT(config.allow_count <= CONFIG_ALLOW_MAX);
        FUZZ_EXPECT(config.worker_count <= CONFIG_WORKERS_MAX);
        FUZZ_EXPECT(strnlen(config.endpoint, sizeof(config.endpoint)) < sizeof(config.endpoint));
    }
    fuzz_input in = {bytes, size};
    check_quantity(&in);
    return 0;
}
