/*
 * session.c - see session.h. Thread: the main thread, except that a session it has opened may be
 * used by any.
 */
#include "client/cli/session.h"

#include <string.h>

#include "base/status.h"
#include "client/cli/os.h"
#include "client/cli/out.h"

/* What a person can do where no broker is. */
static void advise_absence(out_text *text, const session_choice *choice) {
    out_print(text, "%s; %s;\n--endpoint NAME is for one elsewhere%s.\n", os_words.starts,
              choice->without != NULL ? choice->without
                                      : "--private starts one for this command alone",
              os_words.elsewhere);
}

/* ... about a private broker, or NULL. */
static const char *private_advice(const session_choice *choice, int status, const char *detail) {
    bool has_program = strstr(detail, "there is no program") == NULL;
    if (choice->broker_path != NULL &&
        (status == SLUICE_EACCESS || (status == SLUICE_ENOBROKER && has_program))) {
        return "--broker wants sluiced itself: a program that this user may run.";
    }
    return status == SLUICE_ENOBROKER || status == SLUICE_ENOTFOUND
               ? "--broker PATH says which sluiced to start."
           : status == SLUICE_EVERSION
               ? "Broker and tool are of different versions: install both from one release."
               : NULL;
}

/* ... about one that is, or should be, there. */
static void advise(out_text *text, const session_choice *choice, int status, const char *detail) {
    switch (status) {
    case SLUICE_ENOBROKER:
    case SLUICE_ENOTFOUND:
        /* Where something is already, nothing more is to be started. */
        if (strstr(detail, "no broker listens") == NULL) {
            out_print(text, "Look at --endpoint: what is there is no broker, or one too busy to "
                            "say more.\n");
        } else {
            advise_absence(text, choice);
        }
        break;
    case SLUICE_EACCESS:
        out_print(text,
                  "This user may not use that broker: it lets in its own user, and those that its\n"
                  "--allow names%s.\n",
                  os_words.access);
        break;
    case SLUICE_EVERSION:
        out_print(text,
                  "Broker and tool are of different versions: install both from one release.\n");
        break;
    case SLUICE_EUNTRUSTED:
        out_print(text,
                  "Somebody else answers under that name. Stop it, give another --endpoint, or, if "
                  "it is\nthe right one, say whose it is: --broker-user WHO.\n");
        break;
    case SLUICE_EUNRESPONSIVE:
    case SLUICE_ETIMEDOUT:
        out_print(text,
                  "Something is there but does not answer: look at its log, or restart it.\n");
        break;
    default: break;
    }
}

/* The library names its own fields; people have given options. NULL: it is about none of them. */
static const char *say_detail(out_text *text, const session_choice *choice, const char *detail) {
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
            return names[i].value;
        }
    }
    out_print(text, "%s", detail);
    return NULL;
}

/* The value of an option makes no sense: then that is all, as with any other option. */
static bool complain_of_usage(const char *command, const session_choice *choice, int status,
                              const char *detail) {
    out_text text = {0};
    out_print(&text, "sluice %s: ", command);
    const char *value = say_detail(&text, choice, detail);
    if (value == NULL || (status != SLUICE_EINVAL && status != SLUICE_ENAMETOOLONG)) {
        out_deinit(&text);
        return false;
    }
    out_print(&text, ", not \"%.60s%s\" (see: sluice %s --help)\n", value,
              strlen(value) > 60 ? "..." : "", command);
    (void)out_flush(&text, SL_SINK_ERROR);
    return true;
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
        (void)say_detail(&text, choice, detail);
        say_status(&text, status);
    } else {
        out_print(&text, "%s: %s", where, sentence);
        say_status(&text, status);
        out_print(&text, "%s", detail[0] != '\0' ? ": " : "");
        (void)say_detail(&text, choice, detail);
    }
    out_print(&text, "\n");
    const char *help = choice->is_private ? private_advice(choice, status, detail) : NULL;
    if (help != NULL) {
        out_print(&text, "%s\n", help);
    } else if (!choice->is_private) {
        advise(&text, choice, status, detail);
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
    if (status != SLUICE_OK && complain_of_usage(command, choice, status, detail)) {
        return SLUICE_EINVAL;
    }
    if (status != SLUICE_OK) {
        complain(command, choice, status, detail);
    }
    return status;
}

int session_exit_code(int status) {
    return status == SLUICE_OK       ? CLI_EXIT_OK
           : status == SLUICE_EINVAL ? CLI_EXIT_USAGE
                                     : CLI_EXIT_NOBROKER;
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
