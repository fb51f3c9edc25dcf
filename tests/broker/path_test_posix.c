/*
 * path_test_posix.c - "pipe:PATH" of something that is no pipe: a client is told what is there. And
 * of a path that is too long: how long it may be. On the platform's own engine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/broker/rig.h"

static char directory[] = "/tmp/sluice-path-XXXXXX";

static const char *path_of(const char *name, char path[256]) {
    (void)snprintf(path, 256, "%s/%s", directory, name);
    return path;
}

static void expect(raw_client *c, sl_request_kind kind, const char *name, int status,
                   const char *detail) {
    char path[256];
    char address[300];
    raw_reply reply;
    (void)snprintf(address, sizeof(address), "pipe:%s", path_of(name, path));
    int got = call_address(c, kind, address, &reply);
    if (got != status || strcmp(reply.detail, detail) != 0) {
        fprintf(stderr, "%s: %d \"%s\"\n", name, got, reply.detail);
    }
    EXPECT(got == status && strcmp(reply.detail, detail) == 0);
    EXPECT(status != SLUICE_EREFUSED || reply.os_error == ECONNREFUSED);
}

static void make_all(void) {
    char path[256];
    FILE *file = fopen(path_of("file", path), "w");
    EXPECT(file != NULL && fclose(file) == 0);
    EXPECT(mkdir(path_of("folder", path), 0700) == 0);
    EXPECT(mkfifo(path_of("fifo", path), 0600) == 0);
    EXPECT(symlink("nowhere", path_of("link", path)) == 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* bound, and nobody listens */
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", directory);
    EXPECT(fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 && close(fd) == 0);
}

static void remove_all(void) {
    static const char *const names[] = {"file", "fifo", "link", "socket"};
    char path[256];
    for (size_t i = 0; i < SL_ARRAY_COUNT(names); i++) {
        (void)unlink(path_of(names[i], path));
    }
    EXPECT(rmdir(path_of("folder", path)) == 0 && rmdir(directory) == 0);
}

int main(void) {
    char long_name[200];
    test_rig rig;
    rig_options options = {0};
    EXPECT(mkdtemp(directory) != NULL);
    make_all();
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    rig_open(&rig, &options);
    raw_client *c = client_open(&rig);
    expect(c, SL_REQUEST_CONNECT, "file", SLUICE_EREFUSED,
           "address: there is a file of that name, not a pipe");
    expect(c, SL_REQUEST_CONNECT, "folder", SLUICE_EREFUSED,
           "address: there is a folder of that name, not a pipe");
    expect(c, SL_REQUEST_CONNECT, "fifo", SLUICE_EREFUSED,
           "address: there is a FIFO of that name, not a pipe");
    expect(c, SL_REQUEST_CONNECT, "socket", SLUICE_EREFUSED, ""); /* the status says it all */
    expect(c, SL_REQUEST_CONNECT, "link", SLUICE_ENOTFOUND,
           "address: there is no pipe of that name");
    expect(c, SL_REQUEST_CONNECT, "none", SLUICE_ENOTFOUND,
           "address: there is no pipe of that name");
    expect(c, SL_REQUEST_CONNECT, "none/x", SLUICE_ENOTFOUND,
           "address: a folder on the way does not exist");
    expect(c, SL_REQUEST_LISTEN, "file", SLUICE_ENAMETAKEN,
           "address: there is a file of that name, not a pipe");
    expect(c, SL_REQUEST_LISTEN, "folder", SLUICE_ENAMETAKEN,
           "address: there is a folder of that name, not a pipe");
    expect(c, SL_REQUEST_LISTEN, "fifo", SLUICE_ENAMETAKEN,
           "address: there is a FIFO of that name, not a pipe");
    expect(c, SL_REQUEST_LISTEN, "none/x", SLUICE_ENOTFOUND,
           "address: the folder that it would be in does not exist");
    expect(c, SL_REQUEST_LISTEN, "../../proc/x", SLUICE_ENOTFOUND,
           "address: nothing can be made in the folder that it would be in");
    expect(c, SL_REQUEST_LISTEN, "link", SLUICE_ENAMETAKEN,
           "address: there is a symbolic link of that name, not a pipe");
    expect(c, SL_REQUEST_CONNECT, long_name, SLUICE_ENAMETOOLONG,
           "address: a pipe's path on Linux: 223 bytes, at most 107");
    expect(c, SL_REQUEST_LISTEN, long_name, SLUICE_ENAMETOOLONG,
           "address: a pipe's path on Linux: 223 bytes, at most 107");
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
    remove_all();
    puts("ok");
    return 0;
}
