/*
 * session.c - see session.h. Thread: the main thread, except that a session it has opened may be
 * used by any.
 */
#include "client/cli/session.h"

#include "base/status.h"
#include "client/cli/out.h"

/* What a person can do about it, or NULL. */
static const char *advice(const session_choice *choice, int status) {
    switch (status) {
    case SLUICE_ENOBROKER:
    case SLUICE_ENOTFOUND:
        return choice->is_private
                   ? "No sluiced could be started: give its path with --broker PATH."
                   : "Start one with \"sluiced run\" (or \"sluiced service start\"), name its\n"
                     "endpoint with --endpoint NAME (that of the systemd service is\n"
                     "/run/sluice/broker), or use --private to start one for this command alone.";
    case SLUICE_EINVAL:
        return choice->is_private ? "--broker wants an absolute path."
                                  : "Look at --endpoint: is that a pipe's name, or a path? And\n"
                                    "--broker-user wants \"uid N\" or a SID.";
    case SLUICE_EACCESS:
        return "This user may not use that broker: it lets in its own user, and whom its --allow\n"
               "names (on Linux they also have to get into the directory of the socket).";
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
        const char *help = advice(choice, status);
        const char *where = choice->endpoint != NULL ? choice->endpoint : "the default endpoint";
        out_complain("sluice %s: %s%s: %s (%s)%s%s\n%s%s", command,
                     choice->is_private ? "a private broker" : "the broker at ",
                     choice->is_private ? "" : where, sluice_status_sentence(status),
                     sluice_status_name(status), detail[0] != '\0' ? ": " : "", detail,
                     help != NULL ? help : "", help != NULL ? "\n" : "");
    }
    return status;
}

void session_complain(const char *command, sluice_session *session, int status) {
    sluice_session_info info = {.size = sizeof(info)};
    (void)sluice_session_get_info(session, &info);
    out_complain("sluice %s: %s (%s)%s%s\n", command, sluice_status_sentence(status),
                 sluice_status_name(status), info.detail[0] != '\0' ? ": " : "", info.detail);
}
