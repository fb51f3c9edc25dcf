/*
 * hello_sync.c - a pipe through the broker, with synchronous calls.
 *
 *     hello_sync [PATH OF SLUICED]
 */
#include <stdio.h>

#include <sluice/sluice.h>

#define SECOND UINT64_C(1000000000)

/* detail: what the broker or the library adds, "" when it is nothing. */
static int failed(const char *what, int32_t status, const char *detail) {
    fprintf(stderr, "%s: %s (%s) %s\n", what, sluice_status_sentence(status),
            sluice_status_name(status), detail);
    return 1;
}

int main(int argc, char **argv) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE};
    char detail[SLUICE_DETAIL_BYTES];
    options.broker_path = argc > 1 ? argv[1] : NULL; /* NULL: beside the library */
    options.ret_detail = detail;
    options.detail_size = sizeof(detail);
    sluice_session *session;
    int32_t status = sluice_open(&options, &session);
    if (status != SLUICE_OK) {
        return failed("open", status, detail);
    }
    sluice_result result = {.size = sizeof(result)};
    status = sluice_pair(session, SECOND, &result);
    if (status != SLUICE_OK) {
        return failed("pair", status, result.detail);
    }
    sluice_handle reader = result.handles[0];
    sluice_handle writer = result.handles[1];
    status = sluice_write(session, writer, "hello", 5, SECOND, &result);
    if (status != SLUICE_OK) {
        return failed("write", status, result.detail);
    }
    (void)sluice_close(session, writer, SECOND, NULL);
    char text[64];
    while ((status = sluice_read(session, reader, text, sizeof(text), 0, SECOND, &result)) ==
           SLUICE_OK) {
        printf("read %u bytes: %.*s\n", (unsigned)result.done, (int)result.done, text);
    }
    (void)sluice_close(session, reader, SECOND, NULL);
    if (status != SLUICE_EEOF) {
        return failed("read", status, result.detail);
    }
    printf("then: %s\n", sluice_status_sentence(status));
    return sluice_session_close(session) == SLUICE_OK ? 0 : 1;
}
