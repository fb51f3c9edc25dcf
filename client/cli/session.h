/*
 * session.h - how the commands find their broker, and what they say when there is none.
 */
#ifndef SLUICE_CLI_SESSION_H
#define SLUICE_CLI_SESSION_H

#include <sluice/sluice.h>
#include <stdbool.h>

#include "client/cli/args.h"

typedef struct session_choice {
    const char *endpoint;    /* NULL = the default one */
    const char *broker_user; /* whose the service must be; NULL = the library's choice */
    const char *broker_path; /* of a private broker; NULL = beside the tool */
    bool is_private;
    const char *client_name;
    uint32_t delivery;
    const char *without; /* what the command can do instead; NULL = --private */
} session_choice;

/* The options that every command with a broker has; for the tables of options. */
/* clang-format off */
#define SESSION_OPTIONS(choice_endpoint, choice_broker_user, choice_broker_path, \
                        choice_is_private) \
    {"endpoint", "NAME", ARGS_TEXT, &(choice_endpoint), 0, 0, NULL, \
     "where the broker listens: a pipe's name on Windows, a socket's\n" \
     "path on Linux (default: that of `sluiced run`)"}, \
        {"broker-user", "WHO", ARGS_TEXT, &(choice_broker_user), 0, 0, NULL, \
         "whose that broker must be: \"uid 998\" or a SID (default: yours,\n" \
         "root's or a service's)"}, \
        {"private", NULL, ARGS_FLAG, &(choice_is_private), 0, 0, NULL, \
         "start a broker for this command alone"}, \
    { \
        "broker", "PATH", ARGS_TEXT, &(choice_broker_path), 0, 0, NULL, \
            "--private: the sluiced to start (default: the one beside\nthis program)" \
    }
/* clang-format on */

/* What goes with what among them; for the tables of rules. */
#define SESSION_RULES \
    {"broker", ARGS_NEEDS, "private"}, {"private", ARGS_EXCLUDES, "endpoint"}, { \
        "private", ARGS_EXCLUDES, "broker-user" \
    }

/* Opens a session. On failure says what is wrong and what to do. EINVAL: the value of an option,
 * whatever the library calls it. */
int session_open(const char *command, const session_choice *choice, sluice_session **ret_session);
/* The tool's exit code for what session_open returned. */
int session_exit_code(int status);
/* A call of that session has failed: says so, and what the broker said if it ended the session. */
void session_complain(const char *command, sluice_session *session, int status);

#endif
