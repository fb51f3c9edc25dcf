/*
 * args.h - command lines: a command is a table of options, from which parsing and --help come.
 */
#ifndef SLUICE_CLI_ARGS_H
#define SLUICE_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of the tool; told in `sluice --help`. */
enum {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FOUND = 1,     /* it ran, and found what must not be; or could not write its output */
    CLI_EXIT_USAGE = 2,     /* the command line is wrong */
    CLI_EXIT_NOBROKER = 3,  /* no broker there, it cannot be used, or it was lost */
    CLI_EXIT_UNCERTAIN = 4, /* selftest: nothing failed, but not everything could be certified */
    CLI_EXIT_INTERRUPTED = 5, /* hangtest: it was interrupted, and had found nothing wrong */
};

typedef enum args_kind {
    ARGS_FLAG,     /* bool */
    ARGS_COUNT,    /* uint64_t, least to most */
    ARGS_DURATION, /* uint64_t nanoseconds, least to most; "5s", "100ms", "2m", "250us" */
    ARGS_TEXT,     /* const char * */
    ARGS_CHOICE,   /* const char *, one of `choices` */
} args_kind;

typedef struct args_option {
    const char *name;       /* without "--" */
    const char *value_name; /* in --help; NULL for a flag */
    args_kind kind;
    void *value; /* holds the default beforehand */
    uint64_t least, most;
    const char *const *choices; /* ends with NULL */
    const char *help;           /* lines separated by \n */
} args_option;

typedef enum args_relation {
    ARGS_NEEDS,    /* the option means nothing without the other */
    ARGS_EXCLUDES, /* the two do not go together, in whatever order they come */
} args_relation;

/* Holds if `option` was given. The other is "NAME", which is there if it was given, or
 * "NAME=VALUE", which is there if a choice has that value, also by default; NULL = any other. */
typedef struct args_rule {
    const char *option;
    args_relation relation;
    const char *other;
} args_rule;

#define ARGS_OPTIONS_MAX 32u

typedef struct args_command {
    const char *name;     /* how it is called: "sluice status" */
    const char *synopsis; /* what follows the name in the usage line */
    const char *about;    /* teaches; ends with a newline */
    const args_option *options;
    size_t option_count; /* ARGS_OPTIONS_MAX at most */
    const args_rule *rules;
    size_t rule_count;
} args_command;

typedef enum args_verdict { ARGS_RUN, ARGS_SHOWN, ARGS_WRONG } args_verdict;

/* Takes argv[0..count), without the command's name. --help prints (ARGS_SHOWN); what is wrong, or
 * against a rule, is said in one line on standard error (ARGS_WRONG). */
args_verdict args_parse(const args_command *command, int count, char **argv);

/* "5s" and the like; false when it is none. */
bool args_duration(const char *text, uint64_t *ret_ns);

/* Digits only, "1,000" and "1000" alike; false when it is none, or too large. */
bool args_count(const char *text, uint64_t *ret_value);

#endif
