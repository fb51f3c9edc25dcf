/*
 * calls_posix.h - the calls of our Linux objects to the system, and what each may plausibly say.
 *
 *     X(name, how, E(ERRNO) ... or SHORT)
 *
 * EAGAIN, and less than was asked for, come by themselves from streams that are empty or full: the
 * kernel promises an edge with it (epoll(7)), which one that is made up would not keep.
 * A symbol that our objects import and that is neither here nor in exempt_posix.txt is a finding
 * of the test fault.imports. Included several times, with X, E and SHORT defined. Inside libuv
 * nothing is made to fail: its functions say here what they say of such a failure.
 */
#define FAULT_ENGINE_CALLS(X) /* those of engine_epoll_call_table */ \
    X(accept4, ERRNO, E(ECONNABORTED), E(EINTR), E(EMFILE), E(ENOBUFS), E(ENETDOWN), E(EPERM)) \
    X(bind, ERRNO, E(EADDRINUSE), E(EACCES), E(EADDRNOTAVAIL), E(ENOENT), E(EROFS), E(ENOMEM)) \
    X(close, DONE, E(EINTR), E(EIO)) \
    X(connect, ERRNO, E(ECONNREFUSED), E(EINTR), E(EAGAIN), E(ETIMEDOUT), E(ENETUNREACH), \
      E(EADDRNOTAVAIL), E(EACCES), E(ENOENT), E(ENOBUFS), E(ECONNRESET), E(EPROTOTYPE)) \
    X(epoll_create1, ERRNO, E(EMFILE), E(ENFILE), E(ENOMEM)) \
    X(epoll_ctl, ERRNO, E(ENOMEM), E(ENOSPC)) \
    X(epoll_wait, ERRNO, E(EINTR)) \
    X(eventfd, ERRNO, E(EMFILE), E(ENFILE), E(ENOMEM), E(ENODEV)) \
    X(fchmod, ERRNO, E(EPERM), E(ENOMEM)) \
    X(fchmodat, ERRNO, E(EPERM), E(EROFS), E(EIO), E(ENOENT)) \
    X(flock, ERRNO, E(EWOULDBLOCK), E(ENOLCK), E(EINTR)) \
    X(fstat, ERRNO, E(ENOMEM), E(EIO)) \
    X(fstatat, ERRNO, E(EACCES), E(ENOENT), E(EIO), E(ENOMEM)) \
    X(getpeername, ERRNO, E(ENOBUFS), E(ENOTCONN)) \
    X(getsockname, ERRNO, E(ENOBUFS)) \
    X(capget, ERRNO, E(EPERM)) \
    X(getgroups, ERRNO, E(EINVAL)) \
    X(getsockopt, ERRNO, E(ENOPROTOOPT), E(ENOMEM), E(ERANGE)) \
    X(getxattr, ERRNO, E(EIO), E(ENOENT), E(ENOMEM)) \
    X(linkat, ERRNO, E(EACCES), E(EEXIST), E(EPERM), E(ENOSPC), E(EROFS), E(EIO)) \
    X(listen, ERRNO, E(EADDRINUSE), E(ENOMEM)) \
    X(openat, ERRNO, E(EMFILE), E(ENFILE), E(EACCES), E(EPERM), E(ENOSPC), E(EROFS), E(EINTR), \
      E(EISDIR), E(ELOOP), E(ENOENT), E(EIO)) \
    X(pidfd_open, ERRNO, E(EMFILE), E(ENFILE), E(ENOMEM), E(ENOSYS), E(ESRCH)) \
    X(pipe2, ERRNO, E(EMFILE), E(ENFILE)) \
    X(poll, ERRNO, E(EINTR), E(ENOMEM)) \
    X(pwrite, ERRNO, E(ENOSPC), E(EIO), SHORT) \
    X(read, ERRNO, E(EINTR), E(EIO)) \
    X(readlinkat, ERRNO, E(EIO), E(ENOMEM)) \
    X(recv, ERRNO, E(EINTR), E(ECONNRESET), E(ETIMEDOUT), E(EHOSTUNREACH), E(ENOMEM)) \
    X(recvfrom, ERRNO, E(EINTR), E(ECONNREFUSED), E(ENOMEM)) \
    X(recvmsg, ERRNO, E(EINTR), E(ECONNRESET), E(ENOMEM)) \
    X(send, ERRNO, E(EINTR), E(EPIPE), E(ECONNRESET), E(ENOBUFS)) \
    X(sendmsg, ERRNO, E(EINTR), E(EPIPE), E(ECONNRESET), E(ENOBUFS), E(EMSGSIZE), \
      E(ENETUNREACH), E(EPERM)) \
    X(setsockopt, ERRNO, E(ENOMEM), E(ENOPROTOOPT)) \
    X(setxattr, ERRNO, E(EOPNOTSUPP), E(EPERM), E(ENOSPC), E(EIO), E(ENOMEM)) \
    X(shutdown, ERRNO, E(ENOTCONN), E(ENOBUFS)) \
    X(socket, ERRNO, E(EMFILE), E(ENFILE), E(ENOBUFS), E(EAFNOSUPPORT), E(EACCES)) \
    X(unlinkat, ERRNO, E(EACCES), E(EROFS), E(EIO), E(ENOENT)) \
    X(write, ERRNO, E(EINTR), E(EPIPE), E(EIO), E(ENOMEM)) \
    X(writev, ERRNO, E(EINTR), E(EPIPE), E(ENOMEM))

#define FAULT_OTHER_CALLS(X) \
    X(__clone, ERRNO, E(ENOMEM), E(EAGAIN)) \
    X(access, ERRNO, E(EACCES), E(ENOENT)) \
    X(dladdr1, NULL, E(ENOENT)) \
    X(fcntl, ERRNO, E(EBADF)) \
    X(getaddrinfo, CODE, E(EAI_NONAME), E(EAI_AGAIN), E(EAI_FAIL), E(EAI_MEMORY), E(EAI_SYSTEM)) \
    X(getgrnam, NULL, E(EIO), E(EMFILE), E(ENOMEM), E(EINTR)) \
    X(getpwnam, NULL, E(EIO), E(EMFILE), E(ENOMEM), E(EINTR)) \
    X(getrandom, ERRNO, E(EINTR), SHORT) \
    X(getrlimit, ERRNO, E(EINVAL)) \
    X(lstat, ERRNO, E(EACCES), E(ENOENT), E(EIO), E(ENOMEM)) \
    X(mkdir, ERRNO, E(EACCES), E(ENOSPC), E(EROFS), E(ENOENT)) \
    X(open, ERRNO, E(EMFILE), E(ENFILE), E(EACCES), E(ENOSPC), E(EROFS), E(EINTR), E(EISDIR), \
      E(ELOOP), E(ENOENT), E(EIO)) \
    X(opendir, NULL, E(EMFILE), E(ENOMEM), E(EACCES)) \
    X(pidfd_send_signal, ERRNO, E(ESRCH)) \
    X(pthread_create, CODE, E(EAGAIN)) \
    X(readdir, NULL, E(EIO)) \
    X(readlink, ERRNO, E(EACCES), E(ENOENT)) \
    X(realpath, NULL, E(EACCES), E(ENOMEM)) \
    X(rmdir, ERRNO, E(ENOTEMPTY), E(EACCES)) \
    X(sched_getaffinity, ERRNO, E(EINVAL)) \
    X(sched_setaffinity, ERRNO, E(EINVAL), E(EPERM)) \
    X(setrlimit, ERRNO, E(EPERM), E(EINVAL)) \
    X(sigaction, ERRNO, E(EINVAL)) \
    X(socketpair, ERRNO, E(EMFILE), E(ENFILE)) \
    X(syscall, ERRNO, E(EINTR), E(EAGAIN), E(EMFILE), E(ENOMEM), E(ESRCH), E(ENOSYS)) \
    X(sysconf, ERRNO, E(EINVAL)) \
    X(uv_async_init, CODE, E(UV_EMFILE), E(UV_ENFILE), E(UV_ENOMEM)) \
    X(uv_loop_init, CODE, E(UV_EMFILE), E(UV_ENFILE), E(UV_ENOMEM)) \
    X(uv_poll_init, CODE, E(UV_EPERM), E(UV_ENOMEM)) \
    X(uv_poll_start, CODE, E(UV_ENOMEM)) \
    X(uv_signal_init, CODE, E(UV_EMFILE), E(UV_ENOMEM)) \
    X(uv_signal_start, CODE, E(UV_EMFILE), E(UV_EINVAL)) \
    X(waitpid, ERRNO, E(ECHILD), E(EINTR))
