/*
 * wire_posix.c - see wire.h.
 */
#include "tests/chaos/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/integration/process.h"

#define BACKLOG 64

void wire_stop_init(wire_stop *stop) {
    int fd = eventfd(0, EFD_CLOEXEC);
    EXPECT(fd > 0);
    stop->os_event = (uint64_t)fd;
}

void wire_stop_deinit(wire_stop *stop) {
    (void)close((int)stop->os_event);
}

void wire_stop_set(wire_stop *stop) {
    EXPECT(eventfd_write((int)stop->os_event, 1) == 0);
}

bool wire_stop_wait(wire_stop *stop, uint64_t time_ns) {
    struct pollfd entry = {.fd = (int)stop->os_event, .events = POLLIN, .revents = 0};
    return poll(&entry, 1, (int)(time_ns / SL_NS_PER_MS)) == 1;
}

/* Until something can be done with it; false = stop is set. */
static bool await(uint64_t os_handle, short events, wire_stop *stop) {
    struct pollfd entries[2] = {{.fd = (int)os_handle, .events = events, .revents = 0},
                                {.fd = (int)stop->os_event, .events = POLLIN, .revents = 0}};
    while (poll(entries, 2, -1) < 0 && errno == EINTR) {
    }
    return entries[1].revents == 0;
}

static struct sockaddr_un as_address(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    EXPECT(strlen(name) < sizeof(address.sun_path));
    memcpy(address.sun_path, name, strlen(name) + 1);
    return address;
}

static int make_socket(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    EXPECT(fd > 0);
    return fd;
}

/* With the mark of a broker's endpoint (engine/engine.h). */
static void as_endpoint(const char *name, char ret_path[]) {
    const char *slash = strrchr(name, '/');
    EXPECT(slash != NULL);
    (void)sprintf(ret_path, "%.*s/%s", (int)(slash - name), name, slash);
}

void wire_listen(wire_listener *listener, const char *name) {
    char path[sizeof(listener->name) + 1];
    as_endpoint(name, path);
    struct sockaddr_un address = as_address(path);
    int fd = make_socket();
    (void)snprintf(listener->name, sizeof(listener->name), "%s", name);
    (void)unlink(name);
    EXPECT(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    EXPECT(listen(fd, BACKLOG) == 0);
    listener->os_handle = (uint64_t)fd;
}

void wire_unlisten(wire_listener *listener) {
    (void)close((int)listener->os_handle);
    (void)unlink(listener->name);
}

bool wire_accept(wire_listener *listener, wire_stop *stop, wire *ret_wire) {
    while (await(listener->os_handle, POLLIN, stop)) {
        int fd = accept4((int)listener->os_handle, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd > 0) {
            *ret_wire = (wire){.os_handle = (uint64_t)fd};
            return true;
        }
        EXPECT(errno == EAGAIN || errno == EINTR || errno == ECONNABORTED);
    }
    return false;
}

bool wire_connect(const char *name, wire *ret_wire) {
    struct sockaddr_un address = as_address(name);
    int fd = make_socket();
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd); /* nobody there, or too many at once */
        return false;
    }
    *ret_wire = (wire){.os_handle = (uint64_t)fd};
    return true;
}

size_t wire_read(wire *w, wire_stop *stop, uint8_t *bytes, size_t size) {
    while (await(w->os_handle, POLLIN, stop)) {
        ssize_t count = recv((int)w->os_handle, bytes, size, 0);
        if (count >= 0 || (errno != EAGAIN && errno != EINTR)) {
            return count > 0 ? (size_t)count : 0;
        }
    }
    return 0;
}

bool wire_write(wire *w, wire_stop *stop, const uint8_t *bytes, size_t length) {
    while (length > 0 && await(w->os_handle, POLLOUT, stop)) {
        ssize_t count = send((int)w->os_handle, bytes, length, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        bytes += count > 0 ? count : 0;
        length -= count > 0 ? (size_t)count : 0;
    }
    return length == 0;
}

bool wire_half_close(wire *w) {
    (void)shutdown((int)w->os_handle, SHUT_WR);
    return true;
}

void wire_close(wire *w) {
    (void)close((int)w->os_handle);
}
