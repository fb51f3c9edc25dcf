/*
 * config.c - see config.h. Pure: text in, structure out; no file is opened here (startup.h).
 *
 * Everything that a file or a command line can set goes through config_set, so both know the same
 * names, take the same values and complain in the same words.
 */
#include "broker/config.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "base/text.h"

void config_init(sluiced_config *ret_config) {
    memset(ret_config, 0, sizeof(*ret_config));
    ret_config->log_level = SL_LOG_INFO;
    sl_limits_default(&ret_config->limits);
}

/* An error is one line, whatever the text was that it quotes. */
static int refused(config_error *error) {
    sl_text_make_safe(error->text);
    return SLUICE_EINVAL;
}

/* ---- values ---- */

typedef struct suffix {
    const char *name;
    uint64_t size;
} suffix;

static const suffix time_suffixes[] = {{"ns", 1},     {"us", 1000},         {"ms", SL_MSEC},
                                       {"s", SL_SEC}, {"min", 60 * SL_SEC}, {"h", 3600 * SL_SEC},
                                       {NULL, 0}};
static const suffix size_suffixes[] = {{"", 1},         {"B", 1},        {"KiB", SL_KIB},
                                       {"MiB", SL_MIB}, {"GiB", SL_GIB}, {NULL, 0}};
static const suffix count_suffixes[] = {{"", 1}, {NULL, 0}};

static const struct {
    const suffix *suffixes;
    const char *example;
} units[] = {
    [SL_UNIT_NS] = {time_suffixes, "a time with its unit (ns, us, ms, s, min, h), such as 5s"},
    [SL_UNIT_BYTES] = {size_suffixes, "bytes, or a size with KiB, MiB or GiB, such as 64KiB"},
    [SL_UNIT_COUNT] = {count_suffixes, "a whole number without unit, such as 1024"},
};

static int bad_value(config_error *error, const char *value, const char *wanted) {
    (void)snprintf(error->text, sizeof(error->text), "\"%.100s\" is not %s", value, wanted);
    return refused(error);
}

int config_parse_quantity(const char *text, sl_unit unit, uint64_t *ret_value,
                          config_error *ret_error) {
    const char *at = text;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return bad_value(ret_error, text, "a number that fits 64 bits");
        }
        number = number * 10 + digit;
    }
    if (at == text) {
        return bad_value(ret_error, text, units[unit].example);
    }
    if (number == 0 && *at == '\0') {
        *ret_value = 0; /* nothing of any unit */
        return SLUICE_OK;
    }
    at += strspn(at, " ");
    for (const suffix *s = units[unit].suffixes; s->name != NULL; s++) {
        if (strcmp(at, s->name) == 0) {
            if (number > UINT64_MAX / s->size) {
                return bad_value(ret_error, text, "a number that fits 64 bits");
            }
            *ret_value = number * s->size;
            return SLUICE_OK;
        }
    }
    return bad_value(ret_error, text, units[unit].example);
}

/* ---- settings ---- */

static int copy_text(char *ret_text, size_t size, const char *value, config_error *ret_error) {
    size_t length = strlen(value);
    if (length >= size) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "longer than %u bytes",
                       (unsigned)size - 1);
        return SLUICE_EINVAL;
    }
    memcpy(ret_text, value, length + 1);
    return SLUICE_OK;
}

static int set_endpoint(sluiced_config *config, const char *value, config_error *ret_error) {
    return copy_text(config->endpoint, sizeof(config->endpoint), value, ret_error);
}

static int set_engine(sluiced_config *config, const char *value, config_error *ret_error) {
    if (engine_backend_find(value) != NULL) {
        return copy_text(config->engine, sizeof(config->engine), value, ret_error);
    }
    char names[128] = "";
    size_t length = 0;
    for (unsigned i = 0; engine_backend_at(i) != NULL && length < sizeof(names); i++) {
        length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s",
                                   i == 0 ? "" : ", ", engine_backend_name(engine_backend_at(i)));
    }
    (void)snprintf(ret_error->text, sizeof(ret_error->text),
                   "\"%.100s\" is not an engine of this program; it has: %s", value, names);
    return SLUICE_EINVAL;
}

static int set_workers(sluiced_config *config, const char *value, config_error *ret_error) {
    uint64_t count;
    int status = config_parse_quantity(value, SL_UNIT_COUNT, &count, ret_error);
    if (status == SLUICE_OK && count > CONFIG_WORKERS_MAX) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "%s is out of range: 1 to %u, or 0 = one for each processor", value,
                       CONFIG_WORKERS_MAX);
        return SLUICE_EINVAL;
    }
    if (status == SLUICE_OK) {
        config->worker_count = (unsigned)count;
    }
    return status;
}

static int set_log_level(sluiced_config *config, const char *value, config_error *ret_error) {
    static const char *const names[] = {[SL_LOG_ERROR] = "error",
                                        [SL_LOG_WARN] = "warn",
                                        [SL_LOG_INFO] = "info",
                                        [SL_LOG_DEBUG] = "debug"};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(names); i++) {
        if (strcmp(names[i], value) == 0) {
            config->log_level = (sl_log_level)i;
            return SLUICE_OK;
        }
    }
    return bad_value(ret_error, value, "a log level: error, warn, info or debug");
}

static int set_log_file(sluiced_config *config, const char *value, config_error *ret_error) {
    return copy_text(config->log_file, sizeof(config->log_file), value, ret_error);
}

static int add_allow(sluiced_config *config, const char *value, config_error *ret_error) {
    if (config->allow_count == CONFIG_ALLOW_MAX) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "more than %u users and groups: make a group of them", CONFIG_ALLOW_MAX);
        return SLUICE_EINVAL;
    }
    int status = copy_text(config->allow[config->allow_count], CONFIG_NAME_BYTES, value, ret_error);
    config->allow_line[config->allow_count] = config->line;
    config->allow_count += status == SLUICE_OK;
    return status;
}

static int set_allow_as_root(sluiced_config *config, const char *value, config_error *ret_error) {
    bool is_yes = strcmp(value, "yes") == 0;
    if (!is_yes && strcmp(value, "no") != 0) {
        return bad_value(ret_error, value, "yes or no");
    }
    config->allow_as_root = is_yes;
    return SLUICE_OK;
}

static int set_limit(sluiced_config *config, const sl_limit_info *limit, const char *value,
                     config_error *ret_error) {
    uint64_t number;
    int status = config_parse_quantity(value, limit->unit, &number, ret_error);
    if (status == SLUICE_OK && (number < limit->min || number > limit->max)) {
        char min[SL_LIMIT_TEXT_BYTES];
        char max[SL_LIMIT_TEXT_BYTES];
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "%s is out of range: %s to %s",
                       value, sl_limit_text(limit->min, limit->unit, min),
                       sl_limit_text(limit->max, limit->unit, max));
        return SLUICE_EINVAL;
    }
    return status == SLUICE_OK ? sl_limits_set(&config->limits, limit->name, number, NULL) : status;
}

typedef int (*set_fn)(sluiced_config *config, const char *value, config_error *ret_error);

static const struct {
    const char *name;
    set_fn set;
    bool may_repeat;
} settings[] = {
    {"endpoint", set_endpoint, false},   {"engine", set_engine, false},
    {"workers", set_workers, false},     {"allow", add_allow, true},
    {"allow_as_root", set_allow_as_root, false},
    {"log_level", set_log_level, false}, {"log_file", set_log_file, false},
};

#define LIMITS_MAX   64u
#define SETTINGS_MAX (SL_ARRAY_COUNT(settings) + LIMITS_MAX)

static int find_setting(const char *name) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(settings); i++) {
        if (strcmp(settings[i].name, name) == 0) {
            return (int)i;
        }
    }
    const sl_limit_info *limit = sl_limit_find(name);
    for (unsigned i = 0; limit != NULL && i < LIMITS_MAX; i++) {
        if (sl_limit_at(i) == limit) {
            return (int)(SL_ARRAY_COUNT(settings) + i);
        }
    }
    return -1;
}

void config_suggest_limit(suggestion *nearest) {
    for (unsigned i = 0; sl_limit_at(i) != NULL; i++) {
        suggest_consider(nearest, sl_limit_at(i)->name);
    }
}

static int no_setting(const char *name, config_error *ret_error) {
    suggestion nearest;
    suggest_init(&nearest, name, strlen(name));
    for (unsigned i = 0; i < SL_ARRAY_COUNT(settings); i++) {
        suggest_consider(&nearest, settings[i].name);
    }
    config_suggest_limit(&nearest);
    if (nearest.best != NULL) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "there is no setting \"%.100s\"; did you mean %s?", name, nearest.best);
    } else {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "there is no setting \"%.100s\" (sluiced --help lists them)", name);
    }
    return refused(ret_error);
}

int config_set(sluiced_config *config, const char *name, const char *value,
               config_error *ret_error) {
    int index = find_setting(name);
    if (index < 0) {
        return no_setting(name, ret_error);
    }
    config_error detail;
    int status = SLUICE_OK;
    if (*value == '\0') {
        (void)snprintf(detail.text, sizeof(detail.text), "the value is missing");
        status = SLUICE_EINVAL;
    } else if ((size_t)index < SL_ARRAY_COUNT(settings)) {
        status = settings[index].set(config, value, &detail);
    } else {
        status = set_limit(config, sl_limit_find(name), value, &detail);
    }
    if (status != SLUICE_OK) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "%.60s: %.440s", name,
                       detail.text);
        return refused(ret_error);
    }
    return SLUICE_OK;
}

const char *config_without_name(const char *text, const char *name) {
    size_t length = strlen(name);
    bool has_name = strncmp(text, name, length) == 0 && strncmp(text + length, ": ", 2) == 0;
    return has_name ? text + length + 2 : text;
}

int config_check(const sluiced_config *config, config_error *ret_error) {
    sl_reason reason;
    int status = sl_limits_check(&config->limits, &reason);
    if (status != SLUICE_OK) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "%s", reason.text);
    }
    return status;
}

/* ---- the file ---- */

typedef struct line_reader {
    const char *path;
    unsigned number;
    unsigned set_in[SETTINGS_MAX]; /* the line in which a setting was seen */
    char line[1024];
} line_reader;

static int bad_line(const line_reader *reader, config_error *error, const char *what) {
    (void)snprintf(error->text, sizeof(error->text), "%.200s:%u: %.280s", reader->path,
                   reader->number, what);
    return SLUICE_EINVAL;
}

static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t')) {
        length--;
    }
    text[length] = '\0';
    return text;
}

/* reader->line holds the line, terminated, without control characters. */
static int take_line(sluiced_config *config, line_reader *reader, config_error *ret_error) {
    char *name = trim(reader->line);
    if (*name == '\0' || *name == '#') {
        return SLUICE_OK;
    }
    char *equals = strchr(name, '=');
    if (equals == NULL || equals == name) {
        return bad_line(reader, ret_error, "want: name = value");
    }
    *equals = '\0';
    char *value = trim(equals + 1);
    name = trim(name);

    int index = find_setting(name);
    config_error detail;
    if (index >= 0 && reader->set_in[index] != 0) {
        (void)snprintf(detail.text, sizeof(detail.text), "%s: set already in line %u", name,
                       reader->set_in[index]);
        return bad_line(reader, ret_error, detail.text);
    }
    config->line = reader->number;
    int status = config_set(config, name, value, &detail);
    config->line = 0;
    if (status != SLUICE_OK) {
        return bad_line(reader, ret_error, detail.text);
    }
    if ((size_t)index >= SL_ARRAY_COUNT(settings) || !settings[index].may_repeat) {
        reader->set_in[index] = reader->number;
    }
    return SLUICE_OK;
}

static int copy_line(line_reader *reader, const char *text, size_t length,
                     config_error *ret_error) {
    if (length > 0 && text[length - 1] == '\r') {
        length--;
    }
    if (length >= sizeof(reader->line)) {
        return bad_line(reader, ret_error, "the line is longer than 1,023 bytes");
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < ' ' && c != '\t') || c == 127) {
            return bad_line(reader, ret_error, "a control character: this is no text in UTF-8");
        }
    }
    memcpy(reader->line, text, length);
    reader->line[length] = '\0';
    return SLUICE_OK;
}

int config_parse(sluiced_config *config, const char *path, const char *text, size_t length,
                 config_error *ret_error) {
    line_reader reader = {.path = path, .number = 0};
    static const char mark[] = "\xef\xbb\xbf"; /* some Windows editors begin UTF-8 with it */
    size_t at = length >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    while (at < length) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line_length = end == NULL ? length - at : (size_t)(end - (text + at));
        reader.number++;
        int status = copy_line(&reader, text + at, line_length, ret_error);
        if (status == SLUICE_OK) {
            status = take_line(config, &reader, ret_error);
        }
        if (status != SLUICE_OK) {
            return status;
        }
        at += line_length + 1;
    }
    return SLUICE_OK;
}
