/*
 * options.h - the command line of sluiced, its help, and its exit codes.
 */
#ifndef SLUICE_BROKER_OPTIONS_H
#define SLUICE_BROKER_OPTIONS_H

#include "broker/config.h"

/* X(name, code, when): the exit codes; --help shows them. 3 is left out: on Windows it is what
 * abort() ends with, a broken invariant. */
#define SLUICED_EXIT_TABLE(X) \
    X(OK, 0, "stopped as asked; or the private broker's client is gone") \
    X(FAILED, 1, "the system refused something else (memory, threads), or gave no answer in time") \
    X(USAGE, 2, "the command line is wrong") \
    X(CONFIG, 4, "the configuration file cannot be read, or a line of it is wrong") \
    X(ENDPOINT, 5, "the endpoint cannot be had: taken, not permitted, or no possible name") \
    X(ENGINE, 6, "the engine or its workers did not start, or could not: too few descriptors") \
    X(STUCK, 7, "stopped, but an operation or a thread was stuck in the system at the end") \
    X(SERVICE, 8, "the service manager refused, or there is none") \
    X(LOG, 9, "the log file cannot be opened")

typedef enum sluiced_exit {
#define X(name, code, when) SLUICED_EXIT_##name = (code),
    SLUICED_EXIT_TABLE(X)
#undef X
} sluiced_exit;

typedef enum options_command {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_SERVICE_INSTALL,
    OPTIONS_SERVICE_UNINSTALL,
    OPTIONS_SERVICE_START,
    OPTIONS_SERVICE_STOP,
    OPTIONS_SERVICE_STATUS,
    OPTIONS_SERVICE_RUN /* by the service manager only: not in the help */
} options_command;

#define OPTIONS_ASSIGNMENTS_MAX 64u

/* An option that sets something: applied after the configuration file, in order. */
typedef struct sluiced_assignment {
    const char *option; /* as it was given, for errors */
    char name[64];      /* the setting's, as in the file */
    const char *value;
} sluiced_assignment;

/* Points into argv, which must outlive it. */
typedef struct sluiced_options {
    options_command command;
    const char *config_path;  /* NULL = none */
    const char *private_for;  /* NULL = serves everyone that may connect */
    const char *life_line;    /* NULL = none (control_watch.h) */
    const char *service_name; /* "sluice" unless --name was given */
    const char *from_here;    /* not NULL: wherever the program lies, who may change it or not */
    sluiced_assignment assignments[OPTIONS_ASSIGNMENTS_MAX];
    unsigned assignment_count;
} sluiced_options;

/* SLUICE_OK, or EINVAL with what is wrong with the command line. */
int options_parse(int argc, char *const *argv, sluiced_options *ret_options,
                  config_error *ret_error);

/* Applies what the command line sets. SLUICE_OK, or EINVAL. */
int options_apply(const sluiced_options *options, sluiced_config *config, config_error *ret_error);

/* Writes the help, with the limits' table, into the buffer. */
void options_help(char *ret_text, size_t size);

#endif
