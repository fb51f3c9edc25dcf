/*
 * consumer.c - a program of somebody else's: it sees the installed headers and library, and nothing
 * of the source tree. One pipe through a private broker, synchronously and with a callback.
 *
 *     consumer [PATH OF SLUICED]     without: where the library looks for itself
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#define SECOND UINT64_C(1000000000)
#define ALL    SLUICE_READ_ALL
#define CHECK(what, status) \
    if ((status) != SLUICE_OK) { \
        return failed(what, status); \
    }

/* The layout that programs were built with, on a 64-bit machine: what is in this list stays where
 * it is, and new members come behind (docs/abi.md). The last of each structure is named. */
#define AT(type, member, offset) \
    _Static_assert(sizeof(void *) != 8 || offsetof(type, member) == (offset), \
                   #type "." #member " has moved")
AT(sluice_result, status, 4);
AT(sluice_result, done, 16);
AT(sluice_result, handles, 32);
AT(sluice_result, can, 48);
AT(sluice_result, detail, 56);
AT(sluice_open_options, endpoint, 16);
AT(sluice_open_options, open_timeout_ns, 40);
AT(sluice_open_options, expected_user, 48);
AT(sluice_open_options, ret_detail, 56);
AT(sluice_open_options, private_log_level, 68);
AT(sluice_open_options, private_log_handle, 80);
AT(sluice_session_info, session_id, 16);
AT(sluice_session_info, credit_bytes, 56);
AT(sluice_session_info, endpoint, 96);
AT(sluice_session_info, broker_user, 960);
AT(sluice_session_info, detail, 1144);
AT(sluice_broker_info, process_id, 16);
AT(sluice_broker_info, broker_version, 104);
AT(sluice_broker_info, user, 216);
AT(sluice_ops_query, min_age_ns, 8);
AT(sluice_ops_query, reserved, 28);
AT(sluice_ops_row, worker, 64);
AT(sluice_ops_row, kind_name, 80);
AT(sluice_ops_row, user, 176);

static int failed(const char *what, int32_t status) {
    fprintf(stderr, "%s: %s (%s)\n", what, sluice_status_sentence(status),
            sluice_status_name(status));
    return 1;
}

static void on_read(void *user, sluice_operation *operation, const sluice_result *result) {
    sluice_result *copy = user;
    (void)operation;
    *copy = *result;
}

static int talk(sluice_session *session) {
    sluice_result pipe = {.size = sizeof(pipe)};
    sluice_result result = {.size = sizeof(result)};
    char text[16] = "";
    CHECK("pair", sluice_pair(session, SECOND, &pipe));
    CHECK("write", sluice_write(session, pipe.handles[1], "installed", 9, SECOND, NULL));
    CHECK("read", sluice_read(session, pipe.handles[0], text, 3, ALL, SECOND, NULL));
    result.status = 1; /* no status: not called yet */
    CHECK("start", sluice_read_start(session, pipe.handles[0], text + 3, 3, ALL, SECOND, on_read,
                                     &result, NULL));
    /* Reads of a handle end in their order, and the close runs what is due. */
    CHECK("read", sluice_read(session, pipe.handles[0], text + 6, 3, ALL, SECOND, NULL));
    CHECK("close", sluice_session_close(session));
    CHECK("callback", result.status);
    if (strcmp(text, "installed") != 0) {
        fprintf(stderr, "read \"%s\"\n", text);
        return 1;
    }
    printf("consumer: %s, through a private broker\n", text);
    return 0;
}

int main(int argc, char **argv) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE};
    options.broker_path = argc > 1 ? argv[1] : NULL;
    sluice_session *session;
    if (strcmp(sluice_version(), CONSUMER_EXPECTS_VERSION) != 0) {
        fprintf(stderr, "the library is %s, its package %s\n", sluice_version(),
                CONSUMER_EXPECTS_VERSION);
        return 1;
    }
    CHECK("open", sluice_open(&options, &session));
    return talk(session);
}
