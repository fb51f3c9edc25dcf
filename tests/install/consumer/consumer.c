/*
 * consumer.c - a program of somebody else's: it sees the installed headers and library, and nothing
 * of the source tree. One pipe through a private broker, synchronously and with a callback.
 *
 *     consumer [PATH OF SLUICED]     without: where the library looks for itself
 */
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#define SECOND UINT64_C(1000000000)
#define ALL    SLUICE_READ_ALL
#define CHECK(what, status) \
    if ((status) != SLUICE_OK) { \
        return failed(what, status); \
    }

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
