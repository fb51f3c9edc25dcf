/*
 * visitor.c - a client of the confined broker: looks names up, connects by TCP and by a path.
 *
 *     visitor ENDPOINT PATH [USER]   PATH: of a Unix socket, where the service may make one; USER:
 *                                    whose broker it is, if it is not known by its place
 */
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#define LIMIT_NS UINT64_C(30000000000)

static sluice_session *session;

static int fail(const char *what, int32_t status, const char *detail) {
    (void)fprintf(stderr, "%s: %s %s\n", what, sluice_status_name(status), detail);
    return 1;
}

/* Listens on an address, connects to it, and sends 4 bytes through. */
static int talk(const char *address, int is_tcp) {
    char there[600];
    char bytes[4] = "";
    sluice_result result = {.size = sizeof(result)};
    int32_t status = sluice_listen(session, address, 0, LIMIT_NS, &result);
    if (status != SLUICE_OK) {
        return fail(address, status, result.detail);
    }
    sluice_handle listener = result.handles[0];
    (void)snprintf(there, sizeof(there), "%s", address);
    if (is_tcp) { /* by the name again, at the port that it was given */
        char bound[600];
        status = sluice_local_address(session, listener, bound, sizeof(bound));
        if (status != SLUICE_OK) {
            return fail("local address", status, "");
        }
        (void)snprintf(there, sizeof(there), "tcp:localhost%.20s", strrchr(bound, ':'));
    }
    status = sluice_connect(session, there, LIMIT_NS, &result);
    if (status != SLUICE_OK) {
        return fail(there, status, result.detail);
    }
    sluice_handle mine = result.handles[0];
    status = sluice_accept(session, listener, LIMIT_NS, &result);
    if (status != SLUICE_OK) {
        return fail("accept", status, result.detail);
    }
    sluice_handle theirs = result.handles[0];
    status = sluice_write(session, mine, "data", 4, LIMIT_NS, &result);
    if (status == SLUICE_OK) {
        status = sluice_read(session, theirs, bytes, 4, SLUICE_READ_ALL, LIMIT_NS, &result);
    }
    if (status != SLUICE_OK || memcmp(bytes, "data", 4) != 0) {
        return fail("read", status, result.detail);
    }
    (void)sluice_close(session, mine, LIMIT_NS, NULL);
    (void)sluice_close(session, theirs, LIMIT_NS, NULL);
    status = sluice_close(session, listener, LIMIT_NS, &result);
    return status == SLUICE_OK ? 0 : fail("close", status, result.detail);
}

int main(int argc, char **argv) {
    char path[600];
    char detail[SLUICE_DETAIL_BYTES] = "";
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE};
    if (argc != 3 && argc != 4) {
        return 2;
    }
    options.expected_user = argc == 4 ? argv[3] : NULL;
    options.endpoint = argv[1];
    options.ret_detail = detail;
    options.detail_size = sizeof(detail);
    int32_t status = sluice_open(&options, &session);
    if (status != SLUICE_OK) {
        return fail("open", status, detail);
    }
    (void)snprintf(path, sizeof(path), "pipe:%.500s", argv[2]);
    int failures = talk("tcp:localhost:0", 1) + talk("tcp:127.0.0.1:0", 1) + talk(path, 0);
    /* Nobody has that name (RFC 6761), whoever is asked; where nobody can be asked, that. */
    sluice_result result = {.size = sizeof(result)};
    status = sluice_connect(session, "tcp:sluice.invalid:1", LIMIT_NS, &result);
    if (status != SLUICE_ENOTFOUND && status != SLUICE_EUNREACHABLE) {
        failures += fail("tcp:sluice.invalid:1", status, result.detail);
    }
    status = sluice_ping(session, LIMIT_NS, &result);
    failures += status == SLUICE_OK ? 0 : fail("ping", status, result.detail);
    (void)sluice_session_close(session);
    return failures != 0;
}
