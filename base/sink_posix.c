/*
 * sink_posix.c - see sink.h. Standard output and error as they are, descriptors 1 and 2.
 */
#include "base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/own_file.h"

static int file_fd = -1;

/* open(2) gives out the lowest number that is free. For reading only: what is written to a closed
 * stream goes on to be refused. Inherited by children, as standard streams are. */
bool sl_sink_prepare(uint32_t *ret_os_error) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        int opened = open("/dev/null", O_RDONLY | O_NOCTTY);
        if (opened < 0) {
            *ret_os_error = (uint32_t)errno;
            return false;
        }
        if (opened != fd) { /* it was not closed */
            (void)close(opened);
        }
    }
    return true;
}

bool sl_sink_open_file(const char *path, uint32_t *ret_os_error, const char **ret_why) {
    int fd = sl_own_file_append(path, ret_os_error, ret_why);
    file_fd = fd >= 0 ? fd : file_fd;
    return fd >= 0;
}

static int find_fd(sl_sink sink) {
    switch (sink) {
    case SL_SINK_OUTPUT: return STDOUT_FILENO;
    case SL_SINK_ERROR: return STDERR_FILENO;
    default: return file_fd;
    }
}

/* Somebody made the descriptor non-blocking (it is shared with whoever started us): wait for room.
 */
static bool wait_writable(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLOUT, .revents = 0};
    int result;
    do {
        result = poll(&entry, 1, -1);
    } while (result < 0 && errno == EINTR);
    return result > 0;
}

bool sl_sink_write(sl_sink sink, const char *bytes, size_t count) {
    int fd = find_fd(sink);
    while (fd >= 0 && count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written > 0) {
            bytes += written;
            count -= (size_t)written;
            continue;
        }
        if (written == 0) {
            return false;
        }
        if (errno == EINTR || ((errno == EAGAIN || errno == EWOULDBLOCK) && wait_writable(fd))) {
            continue;
        }
        return false;
    }
    return fd >= 0;
}
