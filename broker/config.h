/*
 * config.h - what a broker is told to be: from the configuration file, the command line or both.
 *
 * A file is lines of `name = value`; blank lines and lines that begin with # are comments. The same
 * names are options of the command line (options.h). Times and sizes need their unit: 5s, 64KiB.
 * The first thing that is wrong ends the reading, with a sentence that names it.
 */
#ifndef SLUICE_BROKER_CONFIG_H
#define SLUICE_BROKER_CONFIG_H

#include "base/log.h"
#include "broker/suggest.h"
#include "engine/engine.h"
#include "proto/limits.h"

#define CONFIG_ALLOW_MAX      16u
#define CONFIG_NAME_BYTES     128u       /* a user, a group or an engine, with its NUL */
#define CONFIG_WORKERS_MAX    64u        /* BROKER_WORKERS_MAX */
#define CONFIG_PATH_BYTES     1024u      /* a log file's path, with its NUL */
#define CONFIG_FILE_BYTES_MAX (1u << 20) /* a longer file is not ours */

typedef struct sluiced_config {
    char endpoint[ENGINE_PIPE_NAME_BYTES]; /* as it was given; "" = the default */
    char engine[CONFIG_NAME_BYTES];        /* "" = the platform's */
    char allow[CONFIG_ALLOW_MAX][CONFIG_NAME_BYTES];
    unsigned allow_line[CONFIG_ALLOW_MAX]; /* where it is in the file; 0 = the command line's */
    unsigned allow_count;  /* 0 = this user only */
    bool allow_as_root;    /* others may connect although it runs as root or LocalSystem */
    unsigned worker_count; /* 0 = one for each processor */
    sl_log_level log_level;
    char log_file[CONFIG_PATH_BYTES]; /* "" = standard error */
    sl_limits limits;
    unsigned line; /* of the file, while it is read; else 0 */
} sluiced_config;

/* One line for people, without its newline. */
typedef struct config_error {
    char text[512];
} config_error;

void config_init(sluiced_config *ret_config);

/* Sets one thing. SLUICE_OK, or EINVAL with an error that tells what was wrong with it. */
int config_set(sluiced_config *config, const char *name, const char *value,
               config_error *ret_error);

/* An error of config_set without the setting's name in front, for a caller that adds its own. */
const char *config_without_name(const char *text, const char *name);

/* Which limit was meant? (suggest_init before.) */
void config_suggest_limit(suggestion *nearest);

/* Reads a file's text; `path` is only for the error, which begins with "PATH:LINE: ". */
int config_parse(sluiced_config *config, const char *path, const char *text, size_t length,
                 config_error *ret_error);

/* What must hold between settings. SLUICE_OK, or EINVAL. */
int config_check(const sluiced_config *config, config_error *ret_error);

/* "5s", "64KiB" or "100" in the base unit: nanoseconds, bytes, 1. SLUICE_OK, or EINVAL. */
int config_parse_quantity(const char *text, sl_unit unit, uint64_t *ret_value,
                          config_error *ret_error);

#endif
