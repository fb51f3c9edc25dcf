/*
 * exceptions_posix.c - what cannot happen at a place, and why. Each is looked for: one that is not
 * needed any more is a finding.
 */
#include "tests/fault/drive.h"

const fault_exception fault_exceptions[] = {
    {"engine/epoll.c:wake:write", "*",
     "an eventfd takes 2^64 - 2 wakes and, non-blocking, does not wait (eventfd(2))"},
    {"engine/epoll_endpoint.c:signal_fd:write", "*", "the same"},
    {"engine/epoll_endpoint.c:engine_epoll_endpoint_destroy:close", "?",
     "only when the acceptor's thread was in time to take what a listener left behind; and its "
     "result is not looked at"},
    {"engine/epoll_path.c:find_folder:close", NULL, "no name in the tests' folder is that long"},
    {"base/own_file_posix.c:open_last:openat", "ELOOP",
     "said of a link alone; what has taken its place since is told instead (sluiced.log_links)"},
    {"base/nobody_posix.c:sl_nobody_is_own:openat", NULL,
     "asked only in a user namespace, of a process that has no number there (client_unmapped)"},
    {"base/nobody_posix.c:sl_nobody_is_own:fstat", NULL, "likewise"},
    {"base/nobody_posix.c:sl_nobody_is_own:close", NULL, "likewise"},
    {"base/nobody_posix.c:sl_nobody_is_own_fd:fcntl", NULL, "likewise"},
    {"base/nobody_posix.c:sl_nobody_is_own_fd:fcntl#2", NULL, "likewise"},
    {"engine/epoll_lock.c:fill:write", "EPIPE", "a file has no other end"},
    {"client/waitable_posix.c:client_waitable_set:write", "*", "the same"},
    {"client/waitable_posix.c:client_waitable_unset:read", "*",
     "the same: it says nothing but EAGAIN, where nothing was written"},
    {"engine/epoll_handle.c:engine_epoll_set_wants_out:epoll_ctl", "*",
     "EPOLL_CTL_MOD of what is registered allocates nothing (Linux ep_modify)"},
    {"engine/epoll_socket.c:has_source:socket", "?", "asked only when a connect found no port"},
    {"engine/epoll_socket.c:has_source:connect", "?", "likewise"},
    {"engine/epoll_socket.c:has_source:close", "?", "likewise"},
    {"engine/epoll_peer.c:end_connection:shutdown", "?",
     "only when the peer's process has ended, here when pidfd_open says so; and its result is not "
     "looked at"},
    {"base/thread_posix.c:futex:syscall", "EMFILE", "not a word of FUTEX_WAIT (futex(2))"},
    {"base/thread_posix.c:futex:syscall", "ENOMEM", "likewise"},
    {"base/thread_posix.c:futex:syscall", "ESRCH", "likewise"},
    {"base/thread_posix.c:futex:syscall", "ENOSYS", "there since Linux 2.6.25"},
    {"base/own_fds_posix.c:sl_own_fds_close:close", NULL,
     "only in a child of a fork (client_fork)"},
    {"broker/control_watch_posix.c:control_watch_tell:send", "?", "its result is not looked at"},
    {"client/launch_posix.c:keep_pidfd:fcntl", NULL,
     "only where standard descriptors are closed (client_life)"},
    {"client/launch_posix.c:keep_pidfd:pidfd_send_signal", NULL, "likewise"},
    {"client/launch_posix.c:keep_pidfd:close", NULL, "likewise"},
    {"client/launch_posix.c:client_launch_interrupt:pidfd_send_signal", NULL,
     "only while an exec does not come back (client_stuck)"},
    {"client/launch_posix.c:client_launch_start:access", NULL,
     "only where an exec says ENOENT, and it changes a text (client_told)"},
    {"client/launch_posix.c:is_of_type:fstatat", NULL,
     "only where a log or a program is refused, and it changes a text (client_detail, "
     "client_private)"},
    {"client/launch_posix.c:look_at_error:fcntl", "*",
     "once in the life of the process; where it fails there is no standard error"},
};
const unsigned fault_exception_count = SL_ARRAY_COUNT(fault_exceptions);
