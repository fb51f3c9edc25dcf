/*
 * options.c - see options.h. Every option is a row of a table: its name, whether it takes a value,
 * the commands that know it, and what it sets. "--name value" and "--name=value" are the same.
 */
#include "broker/options.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "base/text.h"

enum { FOR_RUN = 1, FOR_INSTALL = 2, FOR_OTHER_SERVICE = 4, FOR_SERVICE_RUN = 8 };
#define FOR_SETTINGS (FOR_RUN | FOR_INSTALL | FOR_SERVICE_RUN)
#define FOR_SERVICE  (FOR_INSTALL | FOR_OTHER_SERVICE | FOR_SERVICE_RUN)

typedef struct option_row {
    const char *name;
    const char *setting; /* NULL = not one of the configuration's */
    unsigned commands;
    const char *fixed; /* the value of an option that takes none; NULL = it takes one */
} option_row;

static const option_row rows[] = {
    {"--endpoint", "endpoint", FOR_SETTINGS, NULL},
    {"--workers", "workers", FOR_SETTINGS, NULL},
    {"--engine", "engine", FOR_SETTINGS, NULL},
    {"--allow", "allow", FOR_SETTINGS, NULL},
    {"--allow-as-root", "allow_as_root", FOR_SETTINGS, "yes"},
    {"--log-level", "log_level", FOR_SETTINGS, NULL},
    {"--log-file", "log_file", FOR_SETTINGS, NULL},
    {"--limit", NULL, FOR_SETTINGS, NULL},
    {"--config", NULL, FOR_SETTINGS, NULL},
    {"--private-for", NULL, FOR_RUN, NULL},
    {"--life-line", NULL, FOR_RUN, NULL},
    {"--name", NULL, FOR_SERVICE, NULL},
    {"--from-here", NULL, FOR_INSTALL, "yes"},
};

static const struct {
    const char *word;
    options_command command;
    unsigned bit;
} service_commands[] = {
    {"install", OPTIONS_SERVICE_INSTALL, FOR_INSTALL},
    {"uninstall", OPTIONS_SERVICE_UNINSTALL, FOR_OTHER_SERVICE},
    {"start", OPTIONS_SERVICE_START, FOR_OTHER_SERVICE},
    {"stop", OPTIONS_SERVICE_STOP, FOR_OTHER_SERVICE},
    {"status", OPTIONS_SERVICE_STATUS, FOR_OTHER_SERVICE},
    {"run", OPTIONS_SERVICE_RUN, FOR_SERVICE_RUN},
};

static int usage(config_error *error, const char *what, const char *which) {
    (void)snprintf(error->text, sizeof(error->text), "%.200s%.200s (see sluiced --help)", what,
                   which);
    sl_text_make_safe(error->text);
    return SLUICE_EINVAL;
}

/* There is no such name; but there may be one that is like it. */
static int unknown(config_error *error, const char *what, const suggestion *nearest) {
    if (nearest->best == NULL) {
        return usage(error, what, nearest->word);
    }
    (void)snprintf(error->text, sizeof(error->text), "%.200s%.200s; did you mean %s?", what,
                   nearest->word, nearest->best);
    sl_text_make_safe(error->text);
    return SLUICE_EINVAL;
}

static int unknown_option(config_error *error, const char *word, size_t length,
                          unsigned command_bit) {
    suggestion nearest;
    suggest_init(&nearest, word, length);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(rows); i++) {
        if ((rows[i].commands & command_bit) != 0) {
            suggest_consider(&nearest, rows[i].name);
        }
    }
    return unknown(error, word[0] == '-' ? "unknown option " : "unexpected word ", &nearest);
}

static const option_row *find_row(const char *word, size_t length) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(rows); i++) {
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, word, length) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static int assign(sluiced_options *o, const option_row *row, const char *value,
                  config_error *ret_error) {
    if (o->assignment_count == OPTIONS_ASSIGNMENTS_MAX) {
        return usage(ret_error, "too many options; use --config", "");
    }
    sluiced_assignment *a = &o->assignments[o->assignment_count];
    a->option = row->name;
    a->value = value;
    if (row->setting != NULL) {
        memcpy(a->name, row->setting, strlen(row->setting) + 1);
    } else {
        const char *equals = strchr(value, '=');
        size_t length = equals == NULL ? 0 : (size_t)(equals - value);
        if (length == 0 || length >= sizeof(a->name)) {
            return usage(ret_error, "--limit wants NAME=VALUE, not ", value);
        }
        memcpy(a->name, value, length);
        a->name[length] = '\0';
        if (sl_limit_find(a->name) == NULL) {
            suggestion nearest;
            suggest_init(&nearest, a->name, length);
            config_suggest_limit(&nearest);
            return unknown(ret_error, "--limit: there is no limit ", &nearest);
        }
        a->value = equals + 1;
    }
    o->assignment_count++;
    return SLUICE_OK;
}

static int take_option(sluiced_options *o, const option_row *row, const char *value,
                       config_error *ret_error) {
    const char **place = NULL;
    if (strcmp(row->name, "--config") == 0) {
        place = &o->config_path;
    } else if (strcmp(row->name, "--private-for") == 0) {
        place = &o->private_for;
    } else if (strcmp(row->name, "--life-line") == 0) {
        place = &o->life_line;
    } else if (strcmp(row->name, "--name") == 0) {
        place = &o->service_name;
    } else if (strcmp(row->name, "--from-here") == 0) {
        place = &o->from_here;
    }
    if (*value == '\0') {
        return usage(ret_error, "an empty value for ", row->name);
    }
    if (place == NULL) {
        return assign(o, row, value, ret_error);
    }
    if (*place != NULL) {
        return usage(ret_error, "given twice: ", row->name);
    }
    *place = value;
    return SLUICE_OK;
}

static bool is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int parse_options(int argc, char *const *argv, int at, unsigned command_bit,
                         sluiced_options *o, config_error *ret_error) {
    while (at < argc) {
        const char *word = argv[at++];
        if (is_help(word)) {
            o->command = OPTIONS_HELP;
            return SLUICE_OK;
        }
        size_t length = strcspn(word, "=");
        const option_row *row = find_row(word, length);
        if (row == NULL) {
            return unknown_option(ret_error, word, length, command_bit);
        }
        if ((row->commands & command_bit) == 0) {
            return usage(ret_error, "this command has no option ", row->name);
        }
        const char *value = word[length] == '=' ? word + length + 1 : NULL;
        if (row->fixed != NULL) {
            if (value != NULL) {
                return usage(ret_error, "no value belongs to ", row->name);
            }
            value = row->fixed;
        } else if (value == NULL) {
            if (at == argc) {
                return usage(ret_error, "a value is missing after ", row->name);
            }
            value = argv[at++];
        }
        int status = take_option(o, row, value, ret_error);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    return SLUICE_OK;
}

/* A service's name becomes part of a registry path, an account and a command line. */
static int check_service_name(const sluiced_options *o, config_error *ret_error) {
    size_t length = strlen(o->service_name);
    bool is_fine = length > 0 && length <= 64;
    for (size_t i = 0; i < length; i++) {
        char c = o->service_name[i];
        is_fine = is_fine && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.');
    }
    if (!is_fine) {
        return usage(ret_error, "--name wants 1 to 64 letters, digits, '-', '_', '.', not ",
                     o->service_name);
    }
    return SLUICE_OK;
}

static bool has_allow(const sluiced_options *o) {
    for (unsigned i = 0; i < o->assignment_count; i++) {
        if (strcmp(o->assignments[i].name, "allow") == 0) {
            return true;
        }
    }
    return false;
}

static int parse_service(int argc, char *const *argv, sluiced_options *o, config_error *ret_error) {
    if (argc < 3) {
        return usage(ret_error, "service wants install, uninstall, start, stop or status", "");
    }
    if (is_help(argv[2])) {
        o->command = OPTIONS_HELP;
        return SLUICE_OK;
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(service_commands); i++) {
        if (strcmp(argv[2], service_commands[i].word) != 0) {
            continue;
        }
        o->command = service_commands[i].command;
        int status = parse_options(argc, argv, 3, service_commands[i].bit, o, ret_error);
        if (status == SLUICE_OK && o->command == OPTIONS_SERVICE_INSTALL && !has_allow(o)) {
            return usage(ret_error, "service install wants --allow USER|GROUP: who may connect",
                         "");
        }
        return status;
    }
    return usage(ret_error, "service wants install, uninstall, start, stop or status, not ",
                 argv[2]);
}

int options_parse(int argc, char *const *argv, sluiced_options *ret_options,
                  config_error *ret_error) {
    memset(ret_options, 0, sizeof(*ret_options));
    if (argc < 2) {
        return usage(ret_error, "a command is missing: sluiced run", "");
    }
    const char *word = argv[1];
    int status = SLUICE_OK;
    if (strcmp(word, "run") == 0) {
        ret_options->command = OPTIONS_RUN;
        status = parse_options(argc, argv, 2, FOR_RUN, ret_options, ret_error);
        if (status == SLUICE_OK && ret_options->command == OPTIONS_RUN &&
            ret_options->life_line != NULL && ret_options->private_for == NULL) {
            return usage(ret_error, "--life-line belongs to --private-for: whose end it tells", "");
        }
    } else if (strcmp(word, "service") == 0) {
        status = parse_service(argc, argv, ret_options, ret_error);
    } else if (is_help(word)) {
        ret_options->command = OPTIONS_HELP;
    } else if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        ret_options->command = OPTIONS_VERSION;
    } else {
        return usage(ret_error, "want run, service, --version or --help, not ", word);
    }
    if (ret_options->service_name == NULL) {
        ret_options->service_name = "sluice";
    }
    return status == SLUICE_OK ? check_service_name(ret_options, ret_error) : status;
}

int options_apply(const sluiced_options *options, sluiced_config *config, config_error *ret_error) {
    for (unsigned i = 0; i < options->assignment_count; i++) {
        const sluiced_assignment *a = &options->assignments[i];
        config_error detail;
        if (config_set(config, a->name, a->value, &detail) != SLUICE_OK) {
            /* An option says which setting it is; --limit does not. */
            bool says_which = strcmp(a->option, "--limit") != 0;
            const char *what = config_without_name(detail.text, says_which ? a->name : "");
            (void)snprintf(ret_error->text, sizeof(ret_error->text), "%s: %.440s", a->option, what);
            return SLUICE_EINVAL;
        }
    }
    return SLUICE_OK;
}
