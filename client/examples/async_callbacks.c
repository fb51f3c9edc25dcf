/*
 * async_callbacks.c - an echo over TCP with callbacks: no thread of ours waits for anything but the
 * end. The callbacks run one after another on a thread of the library.
 *
 *     async_callbacks [PATH OF SLUICED]
 */
#include <stdio.h>

#include <sluice/sluice.h>

#define SECOND UINT64_C(1000000000)

typedef struct echo {
    sluice_session *session;
    sluice_handle client;
    sluice_handle server;
    char in[64];
    char back[64];
    sluice_handle end_reader; /* a pipe of our own, through which the callbacks wake main */
    sluice_handle end_writer;
} echo;

/* 'y': the echo came back; 'n': something failed. Callbacks on the library's thread may wait; one
 * that runs while the session is being closed gets ECLOSED here. */
static void finish(echo *e, const char *outcome) {
    (void)sluice_write(e->session, e->end_writer, outcome, 1, 10 * SECOND, NULL);
}

static int is_bad(echo *e, const char *what, int32_t status) {
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s\n", what, sluice_status_sentence(status));
        finish(e, "n");
    }
    return status != SLUICE_OK;
}

/* In a callback. The detail is a sentence of the broker's, or "". */
static int has_failed(echo *e, const char *what, const sluice_result *result) {
    if (result->status != SLUICE_OK && result->detail[0] != '\0') {
        fprintf(stderr, "%s\n", result->detail);
    }
    return is_bad(e, what, result->status);
}

static void on_back(void *user, sluice_operation *operation, const sluice_result *result) {
    echo *e = user;
    (void)operation;
    if (!has_failed(e, "read back", result)) {
        printf("the echo: %.*s\n", (int)result->done, e->back);
        finish(e, "y");
    }
}

static void on_echoed(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)operation;
    (void)has_failed(user, "write back", result);
}

static void on_received(void *user, sluice_operation *operation, const sluice_result *result) {
    echo *e = user;
    (void)operation;
    if (!has_failed(e, "receive", result)) {
        /* `in` belongs to the library until on_echoed. */
        (void)is_bad(e, "write back",
                     sluice_write_start(e->session, e->server, e->in, (uint32_t)result->done,
                                        SECOND, on_echoed, e, NULL));
    }
}

static void on_accepted(void *user, sluice_operation *operation, const sluice_result *result) {
    echo *e = user;
    (void)operation;
    if (!has_failed(e, "accept", result)) {
        e->server = result->handles[0];
        (void)is_bad(e, "receive",
                     sluice_read_start(e->session, e->server, e->in, sizeof(e->in), 0, 5 * SECOND,
                                       on_received, e, NULL));
    }
}

static void on_sent(void *user, sluice_operation *operation, const sluice_result *result) {
    echo *e = user;
    (void)operation;
    if (!has_failed(e, "send", result)) {
        (void)is_bad(e, "read back",
                     sluice_read_start(e->session, e->client, e->back, sizeof(e->back), 0,
                                       5 * SECOND, on_back, e, NULL));
    }
}

static void on_connected(void *user, sluice_operation *operation, const sluice_result *result) {
    echo *e = user;
    (void)operation;
    if (!has_failed(e, "connect", result)) {
        e->client = result->handles[0];
        (void)is_bad(
            e, "send",
            sluice_write_start(e->session, e->client, "ahoy", 4, SECOND, on_sent, e, NULL));
    }
}

int main(int argc, char **argv) {
    static echo e;
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE};
    options.broker_path = argc > 1 ? argv[1] : NULL;
    int32_t status = sluice_open(&options, &e.session);
    if (status != SLUICE_OK) {
        fprintf(stderr, "open: %s\n", sluice_status_sentence(status));
        return 1;
    }
    char address[544];
    char outcome = 'n';
    sluice_result result = {.size = sizeof(result)};
    status = sluice_pair(e.session, SECOND, &result);
    e.end_reader = result.handles[0];
    e.end_writer = result.handles[1];
    if (status == SLUICE_OK) {
        status = sluice_listen(e.session, "tcp:127.0.0.1:0", 0, SECOND, &result);
    }
    if (status == SLUICE_OK) {
        status = sluice_local_address(e.session, result.handles[0], address, sizeof(address));
    }
    if (status == SLUICE_OK) {
        status =
            sluice_accept_start(e.session, result.handles[0], 5 * SECOND, on_accepted, &e, NULL);
    }
    if (status == SLUICE_OK) {
        status = sluice_connect_start(e.session, address, 5 * SECOND, on_connected, &e, NULL);
    }
    if (!is_bad(&e, "begin", status)) {
        (void)sluice_read(e.session, e.end_reader, &outcome, 1, 0, 20 * SECOND, NULL);
    }
    (void)sluice_session_close(e.session);
    return outcome == 'y' ? 0 : 1;
}
