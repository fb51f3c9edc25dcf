/*
 * args.c - see args.h. Thread: the main thread, before anything else runs.
 */
#include "client/cli/args.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "client/cli/out.h"

bool args_count(const char *text, uint64_t *ret_value) {
    uint64_t value = 0;
    size_t digits = 0;
    for (; *text != '\0'; text++) {
        if (*text == ',' && digits > 0) {
            continue;
        }
        if (*text < '0' || *text > '9' || ++digits > 18) {
            return false;
        }
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *ret_value = value;
    return digits > 0;
}

bool args_duration(const char *text, uint64_t *ret_ns) {
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"us", SL_NS_PER_US},    {"ms", SL_NS_PER_MS},      {"s", SL_NS_PER_S},
                 {"m", 60 * SL_NS_PER_S}, {"min", 60 * SL_NS_PER_S}, {"h", 3600 * SL_NS_PER_S}};
    size_t digits = strspn(text, "0123456789");
    char number[16];
    uint64_t value;
    if (digits == 0 || digits > 9) {
        return false;
    }
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!args_count(number, &value)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            *ret_ns = value * units[i].ns;
            return true;
        }
    }
    return false;
}

static void print_lines(out_text *text, const char *lines, const char *indent) {
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        out_print(text, "%.*s\n", (int)length, lines);
        lines += length;
        if (*lines == '\n') {
            lines++;
        }
        if (*lines != '\0') {
            out_print(text, "%s", indent);
        }
    }
}

static void show_help(const args_command *command) {
    out_text text = {0};
    out_print(&text, "Usage: %s %s\n\n%s\nOptions:\n", command->name, command->synopsis,
              command->about);
    for (size_t i = 0; i < command->option_count; i++) {
        const args_option *option = &command->options[i];
        char heading[64];
        size_t length = 0;
        heading[0] = '\0';
        const char *parts[] = {option->name, option->value_name != NULL ? " " : "",
                               option->value_name != NULL ? option->value_name : ""};
        for (size_t part = 0; part < 3; part++) {
            size_t room = sizeof(heading) - 1 - length;
            size_t bytes = strlen(parts[part]) < room ? strlen(parts[part]) : room;
            memcpy(heading + length, parts[part], bytes);
            length += bytes;
        }
        heading[length] = '\0';
        out_print(&text, "  --%-24s ", heading);
        print_lines(&text, option->help, "                             ");
    }
    out_print(&text, "  --%-24s %s\n", "help", "this page");
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

static args_verdict wrong(const args_command *command, const char *what, const char *which) {
    out_complain("%s: %s%s (see: %s --help)\n", command->name, what, which, command->name);
    return ARGS_WRONG;
}

static args_verdict take_number(const args_command *command, const args_option *option,
                                const char *text) {
    uint64_t value;
    bool is_time = option->kind == ARGS_DURATION;
    if (!(is_time ? args_duration(text, &value) : args_count(text, &value))) {
        out_complain("%s: --%s wants a %s, not \"%s\"\n", command->name, option->name,
                     is_time ? "time such as 5s, 100ms or 2m" : "number", text);
        return ARGS_WRONG;
    }
    if (value < option->least || value > option->most) {
        char least[OUT_NUMBER_BYTES], most[OUT_NUMBER_BYTES];
        out_complain("%s: --%s wants %s to %s\n", command->name, option->name,
                     is_time ? out_duration(option->least, least)
                             : out_number(option->least, least),
                     is_time ? out_duration(option->most, most) : out_number(option->most, most));
        return ARGS_WRONG;
    }
    *(uint64_t *)option->value = value;
    return ARGS_RUN;
}

static args_verdict take_choice(const args_command *command, const args_option *option,
                                const char *text) {
    out_text all = {0};
    for (size_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *(const char **)option->value = option->choices[i];
            out_deinit(&all);
            return ARGS_RUN;
        }
        out_print(&all, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    }
    out_complain("%s: --%s is one of %.*s, not \"%s\"\n", command->name, option->name,
                 (int)all.length, all.bytes, text);
    out_deinit(&all);
    return ARGS_WRONG;
}

static args_verdict take_value(const args_command *command, const args_option *option,
                               const char *text) {
    switch (option->kind) {
    case ARGS_COUNT:
    case ARGS_DURATION: return take_number(command, option, text);
    case ARGS_CHOICE: return take_choice(command, option, text);
    case ARGS_TEXT:
        if (*text == '\0') {
            return wrong(command, "an empty value for --", option->name);
        }
        *(const char **)option->value = text;
        return ARGS_RUN;
    case ARGS_FLAG:
    default: return wrong(command, "no value belongs to --", option->name);
    }
}

/* The option that "--NAME" or "--NAME=VALUE" names, and where its value starts, or NULL. */
static const args_option *find(const args_command *command, const char *word,
                               const char **ret_value) {
    size_t length = strcspn(word, "=");
    for (size_t i = 0; i < command->option_count; i++) {
        const args_option *option = &command->options[i];
        if (strlen(option->name) == length && strncmp(option->name, word, length) == 0) {
            *ret_value = word[length] == '=' ? word + length + 1 : NULL;
            return option;
        }
    }
    return NULL;
}

/* ---- rules --------------------------------------------------------------------------------- */

typedef bool args_given[ARGS_OPTIONS_MAX];

/* What is there of a rule's other side, or NULL. */
static const args_option *find_other(const args_command *command, const args_rule *rule,
                                     const args_given given) {
    if (rule->other != NULL) {
        const char *value;
        const args_option *other = find(command, rule->other, &value);
        SL_CHECK(other != NULL, "a rule is about options of its command");
        bool is_there = value == NULL ? given[other - command->options]
                                      : strcmp(*(const char *const *)other->value, value) == 0;
        return is_there ? other : NULL;
    }
    for (size_t i = 0; i < command->option_count; i++) {
        if (given[i] && strcmp(command->options[i].name, rule->option) != 0) {
            return &command->options[i];
        }
    }
    return NULL;
}

static bool is_kept(const args_command *command, const args_rule *rule, const args_given given) {
    const char *value;
    const args_option *option = find(command, rule->option, &value);
    SL_CHECK(option != NULL && value == NULL, "a rule is about an option of its command");
    if (!given[option - command->options]) {
        return true;
    }
    const args_option *other = find_other(command, rule, given);
    if (rule->relation == ARGS_NEEDS && other == NULL) {
        out_complain("%s: --%s means something only with --%s (see: %s --help)\n", command->name,
                     rule->option, rule->other, command->name);
        return false;
    }
    if (rule->relation == ARGS_EXCLUDES && other != NULL) {
        out_complain("%s: --%s and --%s exclude each other (see: %s --help)\n", command->name,
                     rule->option, rule->other != NULL ? rule->other : other->name, command->name);
        return false;
    }
    return true;
}

static args_verdict check_rules(const args_command *command, const args_given given) {
    for (size_t i = 0; i < command->rule_count; i++) {
        if (!is_kept(command, &command->rules[i], given)) {
            return ARGS_WRONG;
        }
    }
    return ARGS_RUN;
}

args_verdict args_parse(const args_command *command, int count, char **argv) {
    args_given given = {false};
    SL_CHECK(command->option_count <= ARGS_OPTIONS_MAX, "each option of a command has its place");
    for (int i = 0; i < count; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            show_help(command);
            return ARGS_SHOWN;
        }
    }
    for (int i = 0; i < count; i++) {
        const char *value = NULL;
        if (strncmp(argv[i], "--", 2) != 0) {
            return wrong(command, "unexpected word ", argv[i]);
        }
        const args_option *option = find(command, argv[i] + 2, &value);
        if (option == NULL) {
            return wrong(command, "no such option: ", argv[i]);
        }
        if (given[option - command->options]) {
            return wrong(command, "given twice: --", option->name);
        }
        given[option - command->options] = true;
        if (option->kind == ARGS_FLAG && value == NULL) {
            *(bool *)option->value = true;
            continue;
        }
        if (value == NULL && option->kind != ARGS_FLAG) {
            if (i + 1 >= count) {
                return wrong(command, "a value is missing after ", argv[i]);
            }
            value = argv[++i];
        }
        if (take_value(command, option, value) != ARGS_RUN) {
            return ARGS_WRONG;
        }
    }
    return check_rules(command, given);
}
