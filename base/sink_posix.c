/* sink_posix.c - see sink.h. Standard output and error as they are, descriptors 1 and 2. */
#include "base/sink.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

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
    int fd = sink == SL_SINK_OUTPUT ? STDOUT_FILENO : STDERR_FILENO;
    while (count > 0) {
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
    return true;
}
