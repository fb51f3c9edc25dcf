/*
 * launch_posix.c - see launch.h.
 *
 * The broker must not be seen by the program's own wait() or SIGCHLD handler. So it is started by a
 * process in between that ends at once, and is nobody's child then but init's. The one in between
 * has no exit signal: it sends no SIGCHLD, wait() does not see it without __WCLONE or __WALL
 * (wait(2)), and we collect it by its number. It could not be the broker itself: exec gives a
 * process SIGCHLD back (execve(2)). A program that asks to be the parent of orphans (process 1 of a
 * container, PR_SET_CHILD_SUBREAPER) gets this one like any other.
 *
 *     launch thread --clone(VM, VFORK, FILES)--> in between --clone(VM, VFORK, PIDFD)--> sluiced
 *
 * Both share our memory and the first our descriptors, too: so the pidfd of the broker, which the
 * second clone gives, is ours. The launch thread stands still until exec has come back, which may
 * be never: it can be spared (errand.h), and what the others use lies on its stack. In between
 * there are system calls only, and no functions of the C library that sanitizers put their own in
 * the place of: these would take the child's doings for ours.
 *
 * The broker has six descriptors: /dev/null twice, its standard error, a pidfd of ours, the life
 * line, and its folder, whose lock it so shares. A session of its own (no Ctrl-C, no SIGHUP of the
 * program's terminal), all signals as the system makes them, none blocked, the root as its folder,
 * a umask of 077. It keeps our limits (sluiced raises that of descriptors), priority, processors
 * and environment.
 */
#include "client/launch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own_fds.h"
#include "base/status.h"
#include "base/thread.h"
#include "client/include/sluice/sluice.h"

extern char **environ;

/* clone(2) by the C library's own name: a sanitizer's `clone` knows no child in our memory. */
extern int __clone(int (*run)(void *context), void *stack_end, int flags, void *context, ...);

/* The broker's descriptors, by number. */
enum { NULL_IN, NULL_OUT, LOG, CLIENT, LIFE, FOLDER, DESCRIPTORS };

#define PATH_BYTES  CLIENT_PATH_BYTES
#define STACK_BYTES (64 * 1024)
#define LAST_SIGNAL 64
#define NO_PIDFD    UINT32_MAX
#define CLOSED_MAX  65536
/* The broker says on the life line when it listens (control_watch.h): who connects before has to
 * try again, and takes its processor. After its end, and where nothing is said for so long, who
 * connects finds out. */
#define SIGN_NS (100 * SL_NS_PER_MS)

static int status_of(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP: return SLUICE_ENOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOEXEC: return SLUICE_EACCESS;
    case ENAMETOOLONG: return SLUICE_ENAMETOOLONG;
    case ENOMEM: return SLUICE_ENOMEM;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case EAGAIN: return SLUICE_EOSLIMIT;
    default: return SLUICE_EOS;
    }
}

bool client_launch_is_absolute(const char *path) {
    return path[0] == '/';
}

/* In a folder where everybody may make files (/tmp) anybody may put a sluiced beside the program:
 * it is root's, ours, or of whoever made `file`, whose code runs here already. NULL: it is; else
 * what is wrong with it. */
static const char *doubt(const char *path, const char *file) {
    struct stat info;
    struct stat beside;
    /* A program's file may be gone: it was replaced while it runs. */
    uid_t maker = fstatat(AT_FDCWD, file, &beside, 0) == 0 ? beside.st_uid : geteuid();
    if (fstatat(AT_FDCWD, path, &info, 0) != 0) {
        return "the system does not tell whose it is: ";
    }
    if ((info.st_mode & S_IWOTH) != 0) {
        return "others can write to ";
    }
    bool is_good = info.st_uid == 0 || info.st_uid == geteuid() || info.st_uid == maker;
    return is_good ? NULL : "neither root's, yours, nor of who owns what it lies beside: ";
}

/* There is one, and can it be started? */
static bool is_one(const char *path, const char *file, sl_text *passed_over) {
    const char *wrong;
    if (access(path, X_OK) == 0) {
        wrong = doubt(path, file);
    } else if (errno == EACCES) {
        wrong = "this user may not run, or look at, ";
    } else {
        return false;
    }
    if (wrong != NULL) {
        sl_text_append(passed_over, passed_over->length > 0 ? "; " : "");
        sl_text_append(passed_over, wrong);
        sl_text_append(passed_over, path);
    }
    return wrong == NULL;
}

/* The files `names`, which end with NULL, relative to the directory of `file`. */
static bool try_beside(const char *file, const char *const *names, char *ret_path, size_t size,
                       sl_text *tried, sl_text *passed_over) {
    const char *slash = strrchr(file, '/');
    if (file[0] != '/' || slash == NULL) {
        return false;
    }
    char folder[PATH_BYTES];
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - file), file);
    sl_text_append(tried, tried->length > 0 ? ", " : "");
    sl_text_append(tried, folder);
    for (size_t i = 0; names[i] != NULL; i++) {
        int length = snprintf(ret_path, size, "%.*s/%s", (int)(slash - file), file, names[i]);
        if (length > 0 && (size_t)length < size && is_one(ret_path, file, passed_over)) {
            return true;
        }
        sl_text_append(tried, i == 0 ? "/{" : ",");
        sl_text_append(tried, names[i]);
    }
    sl_text_append(tried, "}");
    return false;
}

/* In lib, or in lib/x86_64-linux-gnu; a build has bin and lib, too. */
static const char *const beside_library[] = {"sluiced", "../libexec/sluice/sluiced",
                                             "../bin/sluiced", "../../bin/sluiced", NULL};
static const char *const beside_executable[] = {"sluiced", "../libexec/sluice/sluiced", NULL};

int client_launch_find(char *ret_path, size_t size, sl_text *tried, sl_text *passed_over) {
    Dl_info info;
    struct link_map *map;
    /* The program itself has no name there: the library is a part of it. */
    if (dladdr1((const void *)beside_library, &info, (void **)&map, RTLD_DL_LINKMAP) != 0 &&
        map->l_name[0] != '\0' &&
        try_beside(map->l_name, beside_library, ret_path, size, tried, passed_over)) {
        return SLUICE_OK;
    }
    char executable[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
    executable[length > 0 ? length : 0] = '\0';
    bool is_found =
        try_beside(executable, beside_executable, ret_path, size, tried, passed_over);
    return is_found ? SLUICE_OK : SLUICE_ENOTFOUND;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* A copy above the numbers that the broker's will have, so that none is put over another. -1: errno
 * says why. */
static int copy_above(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTORS);
    sl_own_fds_add(copy);
    return copy;
}

/* The same, and the original goes. */
static int move_above(int fd) {
    int moved = sl_own_fds_move(fd, DESCRIPTORS);
    sl_own_fds_add(moved);
    return moved;
}

/* A forked child of the program closes it as well, until now. */
static void close_own(int fd) {
    sl_own_fds_remove(fd);
    (void)close(fd);
}

static void close_all(const int descriptors[DESCRIPTORS]) {
    for (unsigned i = 0; i < DESCRIPTORS; i++) {
        if (descriptors[i] >= 0) {
            close_own(descriptors[i]);
        }
    }
}

static bool is_of_type(const char *path, mode_t type) {
    struct stat info;
    return fstatat(AT_FDCWD, path, &info, 0) == 0 && (info.st_mode & S_IFMT) == type;
}

static int open_log(const client_launch_options *options, int null) {
    if (options->log_path[0] != '\0') {
        /* Non-blocking, so that a FIFO without a reader is an error: ENXIO (fifo(7)). The broker
         * gets one that waits for room. */
        int fd = move_above(open(options->log_path,
                                 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                                 0600));
        if (fd >= 0) {
            (void)fcntl(fd, F_SETFL, O_APPEND);
        }
        return fd;
    }
    return copy_above(options->log == CLIENT_LOG_NOWHERE ? null : (int)options->log);
}

/* 0, or the errno; then nothing is open. */
static int open_all(client_launch *launch, const client_launch_options *options,
                    int ret_descriptors[DESCRIPTORS], client_launch_step *ret_step) {
    int life[2] = {-1, -1};
    int *d = ret_descriptors;
    for (unsigned i = 0; i < DESCRIPTORS; i++) {
        d[i] = -1;
    }
    int error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) != 0 ? errno : 0;
    if (error == 0) {
        life[0] = sl_own_fds_above_standard(life[0]);
        error = life[0] < 0 ? errno : 0;
        sl_own_fds_add(life[0]);
        d[LIFE] = move_above(life[1]);
        error = error == 0 && d[LIFE] < 0 ? errno : error;
    }
    if (error == 0) {
        d[NULL_IN] = move_above(open("/dev/null", O_RDWR | O_CLOEXEC));
        *ret_step = d[NULL_IN] < 0 ? CLIENT_LAUNCH_NULL_DEVICE : CLIENT_LAUNCH_PROGRAM;
        d[NULL_OUT] = d[NULL_IN] < 0 ? -1 : copy_above(d[NULL_IN]);
        error = d[NULL_OUT] < 0 ? errno : 0;
    }
    if (error == 0) {
        d[CLIENT] = move_above(pidfd_open(getpid(), 0));
        d[FOLDER] = d[CLIENT] < 0 ? -1 : copy_above(launch->place.folder);
        error = d[FOLDER] < 0 ? errno : 0;
    }
    if (error == 0) {
        atomic_store(&launch->at, CLIENT_LAUNCH_LOG);
        d[LOG] = open_log(options, d[NULL_IN]);
        error = d[LOG] < 0 ? errno : 0;
        bool is_unread = error == ENXIO && is_of_type(options->log_path, S_IFIFO); /* open(2) */
        *ret_step = is_unread    ? CLIENT_LAUNCH_LOG_UNREAD
                    : error != 0 ? CLIENT_LAUNCH_LOG
                                 : CLIENT_LAUNCH_PROGRAM;
    }
    if (error != 0) {
        close_all(d);
        if (life[0] >= 0) {
            close_own(life[0]);
        }
    } else {
        launch->os_life = (uint64_t)life[0];
    }
    return error;
}

/* ---- the process ----------------------------------------------------------------------------- */

/* All that the processes in our memory look at. */
typedef struct starter {
    const char *path;
    char *const *argv;
    int descriptors[DESCRIPTORS];
    sl_atomic_u32 *pidfd;
    int process;
    int error; /* of the step that failed */
    unsigned char *broker_stack_end;
} starter;

static bool put_descriptors(const starter *s) {
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (syscall(SYS_dup3, s->descriptors[i], i, 0) < 0) { /* clears close-on-exec */
            return false;
        }
    }
    if (syscall(SYS_close_range, DESCRIPTORS, ~0U, 0) != 0) { /* Linux 5.9 */
        for (int fd = DESCRIPTORS; fd < CLOSED_MAX; fd++) {
            (void)syscall(SYS_close, fd);
        }
    }
    return true;
}

/* In the broker's process, until exec. No handler of the program may run here: its signals are
 * blocked until they are the system's again. */
static int become_broker(void *context) {
    starter *s = context;
    static const uint64_t standard[8]; /* the kernel's sigaction: SIG_DFL, no flags, no mask */
    uint64_t none = 0;
    for (int i = 1; i <= LAST_SIGNAL; i++) {
        (void)syscall(SYS_rt_sigaction, i, standard, NULL, sizeof(none));
    }
    (void)syscall(SYS_setsid);
    (void)syscall(SYS_umask, 077);
    if (syscall(SYS_chdir, "/") == 0 && put_descriptors(s) &&
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none)) == 0) {
        (void)syscall(SYS_execve, s->path, s->argv, environ);
    }
    s->error = errno;
    return 127;
}

static int stand_between(void *context) {
    starter *s = context;
    s->process = __clone(become_broker, s->broker_stack_end,
                         CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, s, s->pidfd);
    if (s->process < 0) {
        s->error = errno;
    }
    return 0;
}

/* 0, or the errno. The launch thread's own stack has the room, whatever the program's have. */
static int start_process(starter *s) {
    _Static_assert(2 * STACK_BYTES <= SL_THREAD_STACK_BYTES_MIN / 4, "both are a small part");
    _Alignas(16) unsigned char stacks[2][STACK_BYTES];
    sigset_t all;
    sigset_t before;
    s->broker_stack_end = stacks[1] + STACK_BYTES;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int between =
        __clone(stand_between, stacks[0] + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_FILES, s);
    int error = between < 0 ? errno : s->error;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* ECHILD: the program has collected it, with a wait for all kinds of children. */
    while (between > 0 && waitpid(between, NULL, __WALL) < 0 && errno == EINTR) {
    }
    if (error == 0 && atomic_load(s->pidfd) == NO_PIDFD) {
        error = ENOSYS; /* Linux before 5.2 */
    }
    return error;
}

/* Signals do not count: they are the program's. */
static bool wait_readable(int fd, uint64_t deadline_ns) {
    sl_clock *clock = sl_clock_system();
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int count;
    do {
        uint64_t now_ns = sl_clock_now_ns(clock);
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        uint64_t left_ms = (left_ns + SL_NS_PER_MS - 1) / SL_NS_PER_MS;
        count = poll(&entry, 1, left_ms < INT32_MAX ? (int)left_ms : -1);
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

/* 0, or the errno: the process is killed then. The kernel has put the number where others look who
 * may interrupt, so it is a good one throughout. */
static int keep_pidfd(client_launch *launch) {
    int made = (int)atomic_load(&launch->os_starting);
    int kept = made > STDERR_FILENO ? made : fcntl(made, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = kept < 0 ? errno : 0;
    if (error != 0) {
        (void)pidfd_send_signal(made, SIGKILL, NULL, 0);
    }
    if (kept != made) {
        atomic_store(&launch->os_starting, error == 0 ? (uint32_t)kept : NO_PIDFD);
        if (!sl_own_fds_close_copied(made) && error == 0) { /* the life line's end ends it */
            atomic_store(&launch->os_starting, NO_PIDFD);
            (void)close(kept);
            error = EMFILE;
        }
    }
    sl_own_fds_add(error == 0 ? kept : -1);
    return error;
}

static const char *level_word(uint32_t level) {
    static const char *const words[] = {"warn", "error", "warn", "info", "debug"};
    return words[level];
}

void client_launch_init(client_launch *launch) {
    memset(launch, 0, sizeof(*launch));
    atomic_init(&launch->at, CLIENT_LAUNCH_NOWHERE);
    atomic_init(&launch->os_starting, NO_PIDFD);
}

int client_launch_start(client_launch *launch, const client_launch_options *options,
                        client_launch_step *ret_step, uint32_t *ret_os_error) {
    char words[][24] = {"run",  "--private-for", "", "--life-line",
                        "fd:4", "--log-level",   "", "--endpoint"};
    char program[PATH_BYTES];
    char *const argv[] = {program,  words[0], words[1], words[2], words[3],
                          words[4], words[5], words[6], words[7], launch->place.endpoint,
                          NULL};
    (void)snprintf(words[2], sizeof(words[2]), "fd:3:%ld", (long)getpid());
    (void)snprintf(words[6], sizeof(words[6]), "%s", level_word(options->log_level));
    memcpy(program, options->path, sizeof(program));
    starter s = {.path = program, .argv = argv, .pidfd = &launch->os_starting};
    *ret_step = CLIENT_LAUNCH_PROGRAM;
    int error = open_all(launch, options, s.descriptors, ret_step);
    if (error == 0) {
        atomic_store(&launch->at, CLIENT_LAUNCH_PROGRAM);
        error = start_process(&s);
        /* There is one, too, of a process whose exec failed. */
        int kept = atomic_load(&launch->os_starting) != NO_PIDFD ? keep_pidfd(launch) : 0;
        error = error == 0 ? kept : error;
        close_all(s.descriptors);
        if (error != 0) {
            close_own((int)launch->os_life);
            /* execve(2), ENOENT: either is not there */
            bool is_there = error == ENOENT && access(program, F_OK) == 0;
            *ret_step = is_there ? CLIENT_LAUNCH_INTERPRETER
                        : error == EACCES && is_of_type(program, S_IFDIR) ? CLIENT_LAUNCH_FOLDER
                                                                          : CLIENT_LAUNCH_PROGRAM;
        } else {
            launch->process_id = (uint64_t)s.process;
            launch->os_process = atomic_load(&launch->os_starting);
            uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
            (void)wait_readable((int)launch->os_life, sl_clock_after_ns(now_ns, SIGN_NS));
        }
    }
    *ret_os_error = (uint32_t)error;
    return error == 0 ? SLUICE_OK : status_of(error);
}

void client_launch_words(uint32_t os_error, char *ret_words, size_t size) {
    (void)snprintf(ret_words, size, "%s", strerror((int)os_error));
}

void client_launch_interrupt(client_launch *launch) {
    uint32_t pidfd = atomic_load(&launch->os_starting);
    if (pidfd != NO_PIDFD) {
        (void)pidfd_send_signal((int)pidfd, SIGKILL, NULL, 0);
    }
}

/* ---- its end --------------------------------------------------------------------------------- */

static bool wait_for_end(const client_launch *launch, uint64_t deadline_ns) {
    return wait_readable((int)launch->os_process, deadline_ns);
}

bool client_launch_has_ended(const client_launch *launch) {
    return launch->process_id == 0 || wait_for_end(launch, 0);
}

/* Not by close alone: a forked child of the program holds the socket, too. */
/* Its exit code is init's to know, whose child it is. */
void client_launch_exit_words(const client_launch *launch, char *ret_words, size_t size) {
    (void)launch;
    (void)snprintf(ret_words, size, "; its log says why, if it is a sluiced: ");
}

void client_launch_let_go(client_launch *launch) {
    if (launch->process_id != 0) {
        (void)shutdown((int)launch->os_life, SHUT_RDWR);
    }
}

/* By its pidfd throughout: its number may be another process's by now. */
bool client_launch_end(client_launch *launch, uint64_t polite_ns, uint64_t deadline_ns) {
    if (launch->process_id == 0) {
        return true;
    }
    client_launch_let_go(launch);
    if (wait_for_end(launch, polite_ns)) {
        return true;
    }
    (void)pidfd_send_signal((int)launch->os_process, SIGKILL, NULL, 0);
    return wait_for_end(launch, deadline_ns);
}

void client_launch_leave(client_launch *launch) {
    uint32_t pidfd = atomic_load(&launch->os_starting);
    if (launch->process_id != 0) {
        close_own((int)launch->os_life);
    }
    if (pidfd != NO_PIDFD) {
        close_own((int)pidfd);
    }
    client_place_leave(&launch->place);
    client_launch_init(launch);
}

/* ---- the program ----------------------------------------------------------------------------- */

static bool is_error_open;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void look_at_error(void) {
    is_error_open = fcntl(STDERR_FILENO, F_GETFD) >= 0;
}

int client_launch_log_check(uint64_t log, const char **ret_wrong) {
    int flags = log > INT32_MAX ? -1 : fcntl((int)log, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) { /* of an O_PATH descriptor it is that */
        return SLUICE_OK;
    }
    *ret_wrong =
        flags < 0 ? "private_log_handle: is not open" : "private_log_handle: cannot be written to";
    return SLUICE_EINVAL;
}

uint64_t client_launch_standard_error(void) {
    const char *wrong;
    (void)pthread_once(&once, look_at_error);
    return is_error_open && client_launch_log_check(STDERR_FILENO, &wrong) == SLUICE_OK
               ? STDERR_FILENO
               : CLIENT_LOG_NOWHERE;
}

int client_launch_log_copy(uint64_t log, uint64_t *ret_log) {
    *ret_log = CLIENT_LOG_NOWHERE;
    if (log == CLIENT_LOG_NOWHERE) {
        return SLUICE_OK;
    }
    int copy = fcntl((int)log, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0) {
        return SLUICE_EOSLIMIT;
    }
    sl_own_fds_add(copy);
    *ret_log = (uint64_t)copy;
    return SLUICE_OK;
}

void client_launch_log_close(uint64_t log) {
    if (log != CLIENT_LOG_NOWHERE) {
        close_own((int)log);
    }
}

uint64_t client_launch_own_id(void) {
    return (uint64_t)getpid();
}

void client_launch_own_name(char *ret_name, size_t size) {
    (void)snprintf(ret_name, size, "%s", program_invocation_short_name);
}
