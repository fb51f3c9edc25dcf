/*
 * hello_sync.c - a pipe through the broker, with synchronous calls.
 *
 *     hello_sync [PATH OF SLUICED]
 */
#include <stdio.h>

#include <sluice/sluice.h>

#define SECOND UINT64_C(1000000000)

static int failed(const char *what, int32_t status) {
    fprintf(stderr, "%s: %s (%s)\n", what, sluice_status_sentence(status),
            sluice_status_name(status));
    return 1;
}

int main(int argc, char **argv) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE};
    options.broker_path = argc > 1 ? argv[1] : NULL; /* NULL: beside the library */
    sluice_session *session;
    int32_t status = sluice_open(&options, &session);
    if (status != SLUICE_OK) {
        return failed("open", status);
    }
    sluice_result result = {.size = sizeof(result)};
    status = sluice_pair(session, SECOND, &result);
    if (status != SLUICE_OK) {
        return failed("pair", status);
    }
    sluice_handle reader = result.handles[0];
    sluice_handle writer = result.handles[1];
    status = sluice_write(session, writer, "hello", 5, SECOND, NULL);
    if (status != SLUICE_OK) {
        return failed("write", status);
    }
    (void)sluice_close(session, writer, SECOND, NULL);
    char text[64];
    while ((status = sluice_read(session, reader, text, sizeof(text), 0, SECOND, &result)) ==
           SLUICE_OK) {
        printf("read %u bytes: %.*s\n", (unsigned)result.done, (int)result.done, text);
    }
    (void)sluice_close(session, reader, SECOND, NULL);
    if (status != SLUICE_EEOF) {
        return failed("read", status);
    }
    printf("then: %s\n", sluice_status_sentence(status));
    return sluice_session_close(session) == SLUICE_OK ? 0 : 1;
}
