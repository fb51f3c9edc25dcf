/*
 * session.c - see session.h. Thread: the main thread, except that a session it has opened may be
 * used by any.
 */
#include "client/cli/session.h"

#include <string.h>

#include "base/status.h"
#include "client/cli/out.h"

/* What a person can do about it, or NULL. */
static const char *advice(const session_choice *choice, int status, const char *detail) {
    switch (status) {
    case SLUICE_ENOBROKER:
    case SLUICE_ENOTFOUND:
        return choice->is_private ? "--broker PATH says which sluiced to start."
               /* Where something is already, nothing more is to be started. */
               : strstr(detail, "no broker listens") == NULL
                   ? "Look at --endpoint: what is there is no broker."
                   : "\"sluiced run\" or \"sluiced service start\" starts one; --private starts\n"
                     "one for this command alone; --endpoint NAME is for one elsewhere (that of\n"
                     "the systemd service is /run/sluice/broker).";
    case SLUICE_EINVAL:
        return choice->is_private ? NULL
                                  : "Look at --endpoint: is that a pipe's name, or a path? And\n"
                                    "--broker-user wants \"uid N\" or a SID.";
    case SLUICE_EACCESS:
        if (choice->is_private) {
            return choice->broker_path == NULL
                       ? NULL
                       : "--broker wants sluiced itself: a program that this user may run.";
        }
        return "This user may not use that broker: it lets in its own user, and those that its\n"
               "--allow names (on Linux they also have to get into the directory of the socket).";
    case SLUICE_EVERSION:
        return "Broker and tool are of different versions: install both from one release.";
    case SLUICE_EUNTRUSTED:
        return "Somebody else answers under that name. Stop it, give another --endpoint, or, if it "
               "is\nthe right one, say whose it is: --broker-user WHO.";
    case SLUICE_EUNRESPONSIVE:
    case SLUICE_ETIMEDOUT:
        return "Something is there but does not answer: look at its log, or restart it.";
    default: return NULL;
    }
}

/* The library names its own fields; people have given options. */
static void say_detail(out_text *text, const session_choice *choice, const char *detail) {
    const struct {
        const char *value;
        const char *field;
        const char *option;
    } names[] = {
        {choice->endpoint, "endpoint: ", "--endpoint: "},
        {choice->broker_path, "broker_path: ", "--broker: "},
        {choice->broker_user, "expected_user: ", "--broker-user: "},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i].field);
        if (names[i].value != NULL && strncmp(detail, names[i].field, length) == 0) {
            out_print(text, "%s%s", names[i].option, detail + length);
            return;
        }
    }
    out_print(text, "%s", detail);
}

/* "(ENAME)"; of EOS the number says more than the name. */
static void say_status(out_text *text, int status) {
    uint32_t os_error = sluice_last_error()->os_error;
    out_print(text, " (%s", sluice_status_name(status));
    if (status == SLUICE_EOS && os_error != 0) {
        out_print(text, " %u", os_error);
    }
    out_print(text, ")");
}

/* A detail that says all that the sentence says stands for it, and then names the place, too. */
static void complain(const char *command, const session_choice *choice, int status,
                     const char *detail) {
    const char *sentence = sluice_status_sentence(status);
    bool says_all =
        detail[0] != '\0' && (status == SLUICE_ENOBROKER || status == SLUICE_ENAMETOOLONG ||
                              strstr(detail, sentence) != NULL);
    const char *where = choice->is_private         ? "a private broker"
                        : choice->endpoint != NULL ? choice->endpoint
                                                   : "the default endpoint";
    out_text text = {0};
    out_print(&text, "sluice %s: ", command);
    if (says_all) {
        say_detail(&text, choice, detail);
        say_status(&text, status);
    } else {
        out_print(&text, "%s: %s", where, sentence);
        say_status(&text, status);
        out_print(&text, "%s", detail[0] != '\0' ? ": " : "");
        say_detail(&text, choice, detail);
    }
    out_print(&text, "\n");
    const char *help = advice(choice, status, detail);
    if (help != NULL) {
        out_print(&text, "%s\n", help);
    }
    (void)out_flush(&text, SL_SINK_ERROR);
}

int session_open(const char *command, const session_choice *choice, sluice_session **ret_session) {
    char detail[SLUICE_DETAIL_BYTES] = "";
    sluice_open_options options = {
        .size = sizeof(options), .ret_detail = detail, .detail_size = sizeof(detail)};
    options.mode = choice->is_private ? SLUICE_MODE_PRIVATE : SLUICE_MODE_SERVICE;
    options.delivery = choice->delivery;
    options.endpoint = choice->endpoint;
    options.client_name = choice->client_name;
    options.broker_path = choice->broker_path;
    options.expected_user = choice->broker_user;
    int status = sluice_open(&options, ret_session);
    if (status != SLUICE_OK) {
        complain(command, choice, status, detail);
    }
    return status;
}

void session_complain(const char *command, sluice_session *session, int status) {
    sluice_session_info info = {.size = sizeof(info)};
    out_text text = {0};
    out_print(&text, "sluice %s: %s", command, sluice_status_sentence(status));
    say_status(&text, status); /* of the call before: no other may come first */
    (void)sluice_session_get_info(session, &info);
    out_print(&text, "%s%s\n", info.detail[0] != '\0' ? ": " : "", info.detail);
    (void)out_flush(&text, SL_SINK_ERROR);
}
