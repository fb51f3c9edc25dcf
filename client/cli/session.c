/*
 * session.c - see session.h. Thread: the main thread, except that a session it has opened may be
 * used by any.
 */
#include "client/cli/session.h"

#include <string.h>

#include "base/status.h"
#include "client/cli/out.h"

/* What a person can do about it, or NULL. */
static const char *advice(const session_choice *choice, int status) {
    switch (status) {
    case SLUICE_ENOBROKER:
    case SLUICE_ENOTFOUND:
        return choice->is_private
                   ? "--broker PATH says which sluiced to start."
                   : "\"sluiced run\" or \"sluiced service start\" starts one; --private starts\n"
                     "one for this command alone; --endpoint NAME is for one elsewhere (that of\n"
                     "the systemd service is /run/sluice/broker).";
    case SLUICE_EINVAL:
        return choice->is_private ? "--broker wants an absolute path."
                                  : "Look at --endpoint: is that a pipe's name, or a path? And\n"
                                    "--broker-user wants \"uid N\" or a SID.";
    case SLUICE_EACCESS:
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
        out_print(&text, "%s (%s)\n", detail, sluice_status_name(status));
    } else {
        out_print(&text, "%s: %s (%s)%s%s\n", where, sentence, sluice_status_name(status),
                  detail[0] != '\0' ? ": " : "", detail);
    }
    const char *help = advice(choice, status);
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
    (void)sluice_session_get_info(session, &info);
    out_complain("sluice %s: %s (%s)%s%s\n", command, sluice_status_sentence(status),
                 sluice_status_name(status), info.detail[0] != '\0' ? ": " : "", info.detail);
}
