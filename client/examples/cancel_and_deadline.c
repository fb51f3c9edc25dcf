/*
 * cancel_and_deadline.c - a read that nobody answers ends by its deadline, or when it is cancelled;
 * and what arrives later is not lost.
 *
 *     cancel_and_deadline [PATH OF SLUICED]
 */
#include <stdio.h>

#include <sluice/sluice.h>

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* How the callback tells main: by a byte in a pipe of our own, which main reads with a deadline. A
 * condition variable does as well; this way needs nothing that Windows and Linux have not both. */
typedef struct ending {
    sluice_session *session;
    sluice_handle reader;
    sluice_handle writer;
    int32_t status;
} ending;

/* Runs on a thread of the library (SLUICE_DELIVERY_THREAD), where a call may wait. */
static void on_read(void *user, sluice_operation *operation, const sluice_result *result) {
    ending *end = user;
    printf("the cancelled read: %s\n", sluice_status_sentence(result->status));
    sluice_release(operation); /* here or anywhere else, once */
    end->status = result->status;
    (void)sluice_write(end->session, end->writer, "!", 1, 10 * SECOND, NULL);
}

static int run(sluice_session *session) {
    sluice_result result = {.size = sizeof(result)};
    if (sluice_pair(session, SECOND, &result) != SLUICE_OK) {
        return 1;
    }
    sluice_handle reader = result.handles[0];
    sluice_handle writer = result.handles[1];
    if (sluice_pair(session, SECOND, &result) != SLUICE_OK) {
        return 1;
    }
    static ending end; /* the callback's, too: it must outlive this function */
    end = (ending){.session = session, .reader = result.handles[0], .writer = result.handles[1]};
    char text[16];
    int32_t status = sluice_read(session, reader, text, sizeof(text), 0, 50 * MS, &result);
    printf("a read with a deadline: %s\n", sluice_status_sentence(status));
    if (status != SLUICE_ETIMEDOUT) {
        return 1;
    }
    static char buffer[16]; /* the library's until on_read */
    sluice_operation *operation;
    status = sluice_read_start(session, reader, buffer, sizeof(buffer), 0, SLUICE_NO_TIMEOUT,
                               on_read, &end, &operation);
    if (status != SLUICE_OK || sluice_cancel(operation) != SLUICE_OK ||
        sluice_read(session, end.reader, text, 1, 0, 10 * SECOND, NULL) != SLUICE_OK) {
        return 1;
    }
    status = sluice_write(session, writer, "still here", 10, SECOND, NULL);
    if (status == SLUICE_OK) {
        status = sluice_read(session, reader, text, sizeof(text), 0, SECOND, &result);
        printf("what came afterwards: %.*s\n", (int)result.done, text);
    }
    return status == SLUICE_OK && result.done == 10 && end.status == SLUICE_ECANCELED ? 0 : 1;
}

int main(int argc, char **argv) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE};
    options.broker_path = argc > 1 ? argv[1] : NULL;
    sluice_session *session;
    int32_t status = sluice_open(&options, &session);
    if (status != SLUICE_OK) {
        fprintf(stderr, "open: %s\n", sluice_status_sentence(status));
        return 1;
    }
    int failed = run(session);
    return sluice_session_close(session) == SLUICE_OK && failed == 0 ? 0 : 1;
}
