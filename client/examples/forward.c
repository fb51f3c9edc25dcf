/*
 * forward.c - a forwarder: each connection to one address is connected to another one.
 *     forward LISTEN TARGET [SLUICED]     forward tcp:127.0.0.1:8080 tcp:127.0.0.1:80
 *
 * Everything happens in callbacks on the library's I/O thread (inline delivery), so nothing needs a
 * lock. Each direction reads, writes what it has read, and reads again; what one side ends is ended
 * towards the other (half_close). A connection's memory is freed by the last callback that is due.
 * A read that waits counts with its buffer against the session's credit (16 MiB unless the broker
 * says otherwise): some 100 connections at a time; what comes beyond that is closed.
 * On Linux and Windows; ends with its standard input.
 */
#include <sluice/sluice.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES 65536

struct connection;

struct side {
    struct connection *connection;
    struct side *other;
    sluice_handle handle;
    bool ended; /* nothing comes from it any more, and the other one knows */
    char buffer[BUFFER_BYTES];
};

struct connection {
    struct side sides[2]; /* who has connected to us, and our target */
    unsigned due;         /* callbacks */
    bool closing;
};

static sluice_session *session;
static sluice_handle listener;
static const char *target;

static void read_more(struct side *from);

/* ---- the end ---- */

static void callback_done(struct connection *connection) {
    if (--connection->due == 0) {
        free(connection);
    }
}

static void on_closed(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)operation;
    (void)result;
    callback_done(user);
}

/* What is pending on the handles ends with ECLOSED; its callbacks come. */
static void close_both(struct connection *connection) {
    if (connection->closing) {
        return;
    }
    connection->closing = true;
    for (int i = 0; i < 2; i++) {
        if (connection->sides[i].handle != 0) {
            connection->due++;
            if (sluice_close_start(session, connection->sides[i].handle, SLUICE_NO_TIMEOUT,
                                   on_closed, connection, NULL) != SLUICE_OK) {
                connection->due--;
            }
        }
    }
}

/* ---- a direction ---- */

/* A call that is to be followed by its callback; it was started, or the connection is closed. */
static void started(struct connection *connection, int status) {
    if (status != SLUICE_OK) {
        connection->due--; /* its caller is a callback that is still due: nothing is freed here */
        close_both(connection);
    }
}

static void on_ended(void *user, sluice_operation *operation, const sluice_result *result) {
    struct side *from = user;
    (void)operation;
    from->ended = true;
    if (result->status != SLUICE_OK || from->other->ended) {
        close_both(from->connection);
    }
    callback_done(from->connection);
}

static void on_written(void *user, sluice_operation *operation, const sluice_result *result) {
    struct side *from = user;
    (void)operation;
    if (result->status == SLUICE_OK) {
        read_more(from);
    } else {
        close_both(from->connection);
    }
    callback_done(from->connection);
}

static void on_read(void *user, sluice_operation *operation, const sluice_result *result) {
    struct side *from = user;
    struct connection *connection = from->connection;
    (void)operation;
    if (result->status == SLUICE_OK) {
        connection->due++;
        started(connection, sluice_write_start(session, from->other->handle, from->buffer,
                                               (uint32_t)result->done, SLUICE_NO_TIMEOUT,
                                               on_written, from, NULL));
    } else if (result->status == SLUICE_EEOF) {
        connection->due++;
        started(connection, sluice_half_close_start(session, from->other->handle, SLUICE_NO_TIMEOUT,
                                                    on_ended, from, NULL));
    } else {
        close_both(connection);
    }
    callback_done(connection);
}

static void read_more(struct side *from) {
    from->connection->due++;
    started(from->connection, sluice_read_start(session, from->handle, from->buffer, BUFFER_BYTES,
                                                0, SLUICE_NO_TIMEOUT, on_read, from, NULL));
}

/* ---- a connection ---- */

static void on_connected(void *user, sluice_operation *operation, const sluice_result *result) {
    struct connection *connection = user;
    (void)operation;
    if (result->status == SLUICE_OK) {
        connection->sides[1].handle = result->handles[0];
        read_more(&connection->sides[0]);
        if (!connection->closing) {
            read_more(&connection->sides[1]);
        }
    } else {
        fprintf(stderr, "%s: %s\n", target, sluice_status_sentence(result->status));
        close_both(connection);
    }
    callback_done(connection);
}

static void accept_next(void);

static void on_accepted(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)user;
    (void)operation;
    if (result->status == SLUICE_ECANCELED || result->status == SLUICE_ECLOSED) {
        return; /* we are ending */
    }
    struct connection *connection =
        result->status == SLUICE_OK ? calloc(1, sizeof(*connection)) : NULL;
    if (connection != NULL) {
        for (int i = 0; i < 2; i++) {
            connection->sides[i].connection = connection;
            connection->sides[i].other = &connection->sides[1 - i];
        }
        connection->sides[0].handle = result->handles[0];
        connection->due = 2; /* this function, and the connect */
        started(connection, sluice_connect_start(session, target, SLUICE_NO_TIMEOUT, on_connected,
                                                 connection, NULL));
        callback_done(connection);
    }
    accept_next();
}

static void accept_next(void) {
    int status = sluice_accept_start(session, listener, SLUICE_NO_TIMEOUT, on_accepted, NULL, NULL);
    if (status != SLUICE_OK) {
        fprintf(stderr, "accept: %s\n", sluice_status_sentence(status));
    }
}

int main(int argc, char **argv) {
    char detail[SLUICE_DETAIL_BYTES], address[544];
    sluice_open_options options = {
        .size = sizeof(options), .ret_detail = detail, .detail_size = sizeof(detail)};
    sluice_result result = {.size = sizeof(result)};
    sluice_session_info info = {.size = sizeof(info)};
    if (argc < 3) {
        fprintf(stderr, "usage: forward LISTEN TARGET [SLUICED]\n");
        return 2;
    }
    target = argv[2];
    options.mode = SLUICE_MODE_PRIVATE;
    options.delivery = SLUICE_DELIVERY_INLINE;
    options.broker_path = argc > 3 ? argv[3] : NULL;
    int status = sluice_open(&options, &session);
    if (status != SLUICE_OK) {
        fprintf(stderr, "open: %s: %s\n", sluice_status_sentence(status), detail);
        return 1;
    }
    status = sluice_listen(session, argv[1], 128, SLUICE_NO_TIMEOUT, &result);
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s: %s %s\n", argv[1], sluice_status_sentence(status), result.detail);
        (void)sluice_session_close(session);
        return 1;
    }
    listener = result.handles[0];
    if (sluice_local_address(session, listener, address, sizeof(address)) != SLUICE_OK) {
        (void)snprintf(address, sizeof(address), "%s", argv[1]); /* a pipe has none but its name */
    }
    (void)sluice_session_get_info(session, &info);
    printf("%s -> %s (broker %llu)\n", address, target, (unsigned long long)info.broker_process_id);
    fflush(stdout);
    accept_next();
    while (getchar() != EOF) { /* until standard input ends */
    }
    (void)sluice_session_close(session);
    return 0;
}
