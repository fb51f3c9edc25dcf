/*
 * epoll_status.c - the border to the C library: the system calls the epoll backend makes, and
 * what errno means to Sluice.
 *
 * The call table is the place where fault injection steps in. It is read by every worker and
 * written only while no engine exists. The status table is the only place where an errno becomes
 * a status; the raw code rides along in the completion for diagnosis and is never branched on
 * above the engine. Pure functions of their arguments; any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/own_fds.h"
#include "engine/epoll.h"

/* Whatever is made here may stay: it gets no number of a standard stream (base/own_fds.h). */
static int open_file(int folder, const char *path, int flags, mode_t mode) {
    return sl_own_fds_above_standard(openat(folder, path, flags, mode));
}

static int create_eventfd(unsigned value, int flags) {
    return sl_own_fds_above_standard(eventfd(value, flags));
}

static int create_epoll(int flags) {
    return sl_own_fds_above_standard(epoll_create1(flags));
}

static int create_socket(int domain, int type, int protocol) {
    return sl_own_fds_above_standard(socket(domain, type, protocol));
}

static int open_pidfd(pid_t process, unsigned flags) {
    return sl_own_fds_above_standard(pidfd_open(process, flags));
}

static int create_pipe(int fds[2], int flags) {
    if (pipe2(fds, flags) != 0) {
        return -1;
    }
    fds[0] = sl_own_fds_above_standard(fds[0]);
    fds[1] = sl_own_fds_above_standard(fds[1]);
    if (fds[0] >= 0 && fds[1] >= 0) {
        return 0;
    }
    int error = errno;
    for (unsigned i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    errno = error;
    return -1;
}

/* glibc declares these with a transparent union for the address. */
static int accept_socket(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return sl_own_fds_above_standard(accept4(fd, address, length, flags));
}

static int bind_socket(int fd, const struct sockaddr *address, socklen_t length) {
    return bind(fd, address, length);
}

static int connect_socket(int fd, const struct sockaddr *address, socklen_t length) {
    return connect(fd, address, length);
}

static int get_socket_name(int fd, struct sockaddr *address, socklen_t *length) {
    return getsockname(fd, address, length);
}

static int get_peer_name(int fd, struct sockaddr *address, socklen_t *length) {
    return getpeername(fd, address, length);
}

static ssize_t receive_from(int fd, void *buffer, size_t size, int flags, struct sockaddr *address,
                            socklen_t *length) {
    return recvfrom(fd, buffer, size, flags, address, length);
}

/* In the C library without a header of its own. */
int capget(void *header, void *data);

static int own_capget(void *header, void *data) {
    return capget(header, data);
}

engine_epoll_call_table engine_epoll_calls = {
    .accept4 = accept_socket,
    .bind = bind_socket,
    .close = close,
    .connect = connect_socket,
    .epoll_create1 = create_epoll,
    .epoll_ctl = epoll_ctl,
    .epoll_wait = epoll_wait,
    .eventfd = create_eventfd,
    .fchmod = fchmod,
    .fchmodat = fchmodat,
    .flock = flock,
    .fstat = fstat,
    .fstatat = fstatat,
    .getpeername = get_peer_name,
    .getsockname = get_socket_name,
    .capget = own_capget,
    .getgroups = getgroups,
    .getsockopt = getsockopt,
    .getxattr = getxattr,
    .linkat = linkat,
    .listen = listen,
    .openat = open_file,
    .pidfd_open = open_pidfd,
    .pipe2 = create_pipe,
    .poll = poll,
    .pwrite = pwrite,
    .read = read,
    .readlinkat = readlinkat,
    .recv = recv,
    .recvfrom = receive_from,
    .recvmsg = recvmsg,
    .send = send,
    .sendmsg = sendmsg,
    .setsockopt = setsockopt,
    .setxattr = setxattr,
    .shutdown = shutdown,
    .socket = create_socket,
    .unlinkat = unlinkat,
    .write = write,
    .writev = writev,
};

typedef struct status_entry {
    int error;
    int status;        /* of an open or a datagram */
    int stream_status; /* of a read, write or half-close */
} status_entry;

static const status_entry entries[] = {
    {EPIPE, SLUICE_EBROKENPIPE, SLUICE_EBROKENPIPE},
    {ESHUTDOWN, SLUICE_EBROKENPIPE, SLUICE_EBROKENPIPE},
    /* shutdown(2) of a socket whose connection is over; we never have one that was not connected */
    {ENOTCONN, SLUICE_EBROKENPIPE, SLUICE_EBROKENPIPE},
    {ECONNRESET, SLUICE_ERESET, SLUICE_ERESET},
    {ECONNABORTED, SLUICE_ERESET, SLUICE_ERESET},
    {ENETRESET, SLUICE_ERESET, SLUICE_ERESET},
    {ECONNREFUSED, SLUICE_EREFUSED, SLUICE_ERESET},
    {EPROTOTYPE, SLUICE_EREFUSED, SLUICE_EOS}, /* a Unix socket of another type: unix(7) */
    {ETIMEDOUT, SLUICE_ETIMEDOUT, SLUICE_ERESET},
    {ENETDOWN, SLUICE_EUNREACHABLE, SLUICE_ERESET},
    {ENETUNREACH, SLUICE_EUNREACHABLE, SLUICE_ERESET},
    {EHOSTDOWN, SLUICE_EUNREACHABLE, SLUICE_ERESET},
    {EHOSTUNREACH, SLUICE_EUNREACHABLE, SLUICE_ERESET},
    {ENONET, SLUICE_EUNREACHABLE, SLUICE_ERESET},
    {EADDRINUSE, SLUICE_EADDRINUSE, SLUICE_EOS},
    {EADDRNOTAVAIL, SLUICE_EADDRNOTAVAIL, SLUICE_EOS},
    {ENOENT, SLUICE_ENOTFOUND, SLUICE_EOS},
    {ENOTDIR, SLUICE_ENOTFOUND, SLUICE_EOS},
    {ENAMETOOLONG, SLUICE_ENAMETOOLONG, SLUICE_EOS},
    {EACCES, SLUICE_EACCESS, SLUICE_EOS},
    {EPERM, SLUICE_EACCESS, SLUICE_EOS}, /* also a firewall's answer to connect(2) and send(2) */
    {EROFS, SLUICE_EACCESS, SLUICE_EOS},
    {EMSGSIZE, SLUICE_ETOOLARGE, SLUICE_EOS},
    {EMFILE, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT},
    {ENFILE, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT},
    {ENOBUFS, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT},
    {ENOMEM, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT}, /* the kernel's memory, not ours */
    {ENOSPC, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT}, /* epoll_ctl(2): max_user_watches; a full disk */
    {EDQUOT, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT},
    {EFBIG, SLUICE_EOSLIMIT,
     SLUICE_EOSLIMIT}, /* RLIMIT_FSIZE; SIGXFSZ is the process's to ignore */
    {ENOLCK, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT},
    {EAGAIN, SLUICE_EOSLIMIT, SLUICE_EOSLIMIT}, /* connect(2): no free local port */
    {EINVAL, SLUICE_EINVAL, SLUICE_EOS},
    {EAFNOSUPPORT, SLUICE_ENOTSUP, SLUICE_EOS}, /* a kernel without IPv6 */
    {EOPNOTSUPP, SLUICE_ENOTSUP, SLUICE_EOS},   /* setxattr(2): a file system without ACLs */
};

static const status_entry *find(int error) {
    static const status_entry unknown = {0, SLUICE_EOS, SLUICE_EOS};
    for (size_t i = 0; i < SL_ARRAY_COUNT(entries); i++) {
        if (entries[i].error == error) {
            return &entries[i];
        }
    }
    return &unknown;
}

int engine_epoll_status(int error) {
    return find(error)->status;
}

int engine_epoll_stream_status(int error) {
    return find(error)->stream_status;
}

bool engine_epoll_is_shortage(int error) {
    return engine_epoll_status(error) == SLUICE_EOSLIMIT;
}
