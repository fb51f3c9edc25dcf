/*
 * startup_posix.c - see startup.h.
 *
 * The default endpoint lies in a directory that belongs to this user and that nobody else can
 * enter (base/own_dir.h); that, and not the socket's mode, keeps others out.
 */
#include "broker/startup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/own_dir.h"
#include "base/sink.h"
#include "base/status.h"

/* Up to this limit each number is asked for. */
#define FEW_DESCRIPTORS 1024u

static uint64_t inherited_count;

/* UINT64_MAX: there is none, or none is known. */
static uint64_t get_limit(void) {
    struct rlimit limit;
    bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return is_known ? (uint64_t)limit.rlim_cur : UINT64_MAX;
}

/* By the system's list. Not the way for every limit: it takes a descriptor, and there may be none.
 */
static uint64_t count_listed(uint64_t limit) {
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return 0;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        unsigned long fd = strtoul(entry->d_name, NULL, 10); /* ".", "..": 0 */
        count += fd > STDERR_FILENO && fd < limit && fd != (unsigned long)dirfd(folder);
    }
    (void)closedir(folder);
    return count;
}

static uint64_t count_inherited(uint64_t limit) {
    uint64_t count = 0;
    if (limit > FEW_DESCRIPTORS) {
        return limit == UINT64_MAX ? 0 : count_listed(limit);
    }
    for (int fd = STDERR_FILENO + 1; fd < (int)limit; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

int startup_process(int argc, char **argv, int *ret_argc, char ***ret_argv,
                    config_error *ret_error) {
    uint32_t os_error;
    *ret_argc = argc;
    *ret_argv = argv;
    if (!sl_sink_prepare(&os_error)) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "a standard stream is closed, and /dev/null cannot be opened in its place: "
                       "%.100s", strerror((int)os_error));
        return SLUICE_EOS;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    inherited_count = count_inherited(get_limit());
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL); /* a write fails with EFBIG then (RLIMIT_FSIZE) */
    return SLUICE_OK;
}

static int file_error(config_error *error, const char *path, int os_error) {
    (void)snprintf(error->text, sizeof(error->text), "cannot read %.300s: %.100s", path,
                   os_error == EINVAL ? "this is no file" : strerror(os_error));
    return os_error == ENOENT ? SLUICE_ENOTFOUND : os_error == EACCES ? SLUICE_EACCESS : SLUICE_EOS;
}

static int read_all(int fd, char *text, size_t size, size_t *ret_length) {
    size_t length = 0;
    while (length < size) {
        ssize_t count = read(fd, text + length, size - length);
        if (count == 0) {
            break;
        }
        if (count < 0 && errno != EINTR) {
            return errno;
        }
        length += count > 0 ? (size_t)count : 0;
    }
    *ret_length = length;
    return 0;
}

int startup_read_file(const char *path, char *text, size_t size, size_t *ret_length,
                      config_error *ret_error) {
    /* Non-blocking: a FIFO without a writer is no reason to hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return file_error(ret_error, path, errno);
    }
    struct stat info;
    int os_error = fstat(fd, &info) != 0 ? errno : 0;
    if (os_error == 0 && !S_ISREG(info.st_mode)) {
        os_error = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
    }
    if (os_error == 0 && info.st_size > (off_t)size) {
        os_error = EFBIG;
    }
    if (os_error == 0) {
        os_error = read_all(fd, text, size, ret_length);
    }
    (void)close(fd);
    return os_error == 0 ? SLUICE_OK : file_error(ret_error, path, os_error);
}

int startup_open_log(const char *path, config_error *ret_error) {
    uint32_t os_error;
    const char *why;
    if (sl_sink_open_file(path, &os_error, &why)) {
        return SLUICE_OK;
    }
    (void)snprintf(ret_error->text, sizeof(ret_error->text), "cannot open the log file %.300s: "
                   "%.100s", path, why != NULL ? why : strerror((int)os_error));
    return SLUICE_EOS;
}

/* ---- the endpoint ---- */

static int check_length(const char *path, config_error *ret_error) {
    if (strlen(path) <= ENGINE_ENDPOINT_PATH_MAX) {
        return SLUICE_OK;
    }
    (void)snprintf(ret_error->text, sizeof(ret_error->text),
                   "endpoint: %.260s: %u bytes long, and an endpoint's path has at most %u", path,
                   (unsigned)strlen(path), ENGINE_ENDPOINT_PATH_MAX);
    return SLUICE_ENAMETOOLONG;
}

/* What the engine would find out, too, but for the reason. */
static int check_given(const char *path, config_error *ret_error) {
    struct stat info;
    if (path[0] != '/') {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "endpoint: %.200s is a relative path; give one that begins with /", path);
        return SLUICE_ENOTSUP;
    }
    if (lstat(path, &info) == 0 && !S_ISSOCK(info.st_mode)) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "endpoint: %.200s is a %s; name a socket, which is made there", path,
                       S_ISDIR(info.st_mode)    ? "folder"
                       : S_ISLNK(info.st_mode)  ? "symbolic link"
                       : S_ISFIFO(info.st_mode) ? "FIFO"
                       : S_ISREG(info.st_mode)  ? "file"
                                                : "device");
        return SLUICE_ENAMETAKEN;
    }
    return check_length(path, ret_error);
}

int startup_endpoint(const sluiced_config *config, char ret_name[ENGINE_PIPE_NAME_BYTES],
                     config_error *ret_error) {
    if (config->endpoint[0] != '\0') {
        memcpy(ret_name, config->endpoint, ENGINE_PIPE_NAME_BYTES);
        return check_given(ret_name, ret_error);
    }
    if (config->allow_count > 0) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "allow: wants an endpoint: the default one is in this user's own directory");
        return SLUICE_EINVAL;
    }
    char directory[SL_OWN_DIR_BYTES];
    char why[SL_OWN_DIR_WHY_BYTES];
    int status = sl_own_dir(true, directory, why);
    if (status != SLUICE_OK) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "%s", why);
        return status == SLUICE_ENAMETOOLONG ? status : SLUICE_EACCESS;
    }
    (void)snprintf(ret_name, ENGINE_PIPE_NAME_BYTES, "%s/broker", directory);
    return SLUICE_OK;
}

void startup_remove_folder(const char *endpoint) {
    char folder[ENGINE_PIPE_NAME_BYTES];
    const char *slash = strrchr(endpoint, '/');
    if (slash != NULL && slash != endpoint) {
        memcpy(folder, endpoint, (size_t)(slash - endpoint));
        folder[slash - endpoint] = '\0';
        (void)rmdir(folder); /* only an empty one goes */
    }
}

/* ---- who may connect ---- */

static void add_allowed(startup_allowed *allowed, const engine_identity *who) {
    SL_CHECK(allowed->allow_count < STARTUP_ALLOW_MAX, "a name is a user and a group at most");
    allowed->allow[allowed->allow_count++] = *who;
}

/* getpwnam(3): these say that the system could not tell; the rest, and 0, that nobody has the name.
 */
static bool is_failure(int os_error) {
    return os_error == EINTR || os_error == EIO || os_error == EMFILE || os_error == ENFILE ||
           os_error == ENOMEM || os_error == ERANGE || os_error == EAGAIN ||
           os_error == ECONNREFUSED || os_error == ETIMEDOUT; /* a directory that is away */
}

/* "uid N", "gid N", or a name: its user and its group, whichever there is. */
static int find_allowed(const char *name, startup_allowed *allowed, config_error *ret_error) {
    engine_identity who;
    if (engine_identity_parse(name, &who) == SLUICE_OK && who.kind != ENGINE_IDENTITY_SID) {
        add_allowed(allowed, &who);
        return SLUICE_OK;
    }
    errno = 0;
    const struct passwd *user = getpwnam(name);
    int os_error = user == NULL ? errno : 0;
    if (user != NULL) {
        engine_identity_uid(&who, user->pw_uid);
        add_allowed(allowed, &who);
    }
    errno = 0;
    const struct group *group = getgrnam(name);
    os_error = group == NULL && !is_failure(os_error) ? errno : os_error;
    if (group != NULL) {
        engine_identity_gid(&who, group->gr_gid);
        add_allowed(allowed, &who);
    }
    if (is_failure(os_error)) { /* half a list would shut somebody out */
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "allow: cannot look up \"%.100s\": %.100s", name, strerror(os_error));
        return SLUICE_EOS;
    }
    if (user == NULL && group == NULL) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "allow: there is no user or group \"%.100s\" (NAME, \"uid N\", \"gid N\" or "
                       "everyone)",
                       name);
        return SLUICE_EINVAL;
    }
    return SLUICE_OK;
}

/* The socket is made with this process's user and group, so a mode can let in just these. */
static bool is_own(const engine_identity *who) {
    engine_identity user;
    engine_identity group;
    engine_identity_uid(&user, geteuid());
    engine_identity_gid(&group, getegid());
    return engine_identity_equal(who, &user) || engine_identity_equal(who, &group);
}

/* The broker looks at everybody who connects (broker/peer.c). The mode keeps strangers away from
 * the socket where it can tell them apart; else everybody who can enter its directory reaches it,
 * and is refused there. */
int startup_access(const sluiced_config *config, startup_allowed *ret_allowed,
                   config_error *ret_error) {
    const char *mode = config->allow_count > 0 ? "0660" : NULL;
    bool is_for_everyone = false;
    ret_allowed->allow_count = 0;
    for (unsigned i = 0; i < config->allow_count; i++) {
        ret_allowed->at = i;
        if (strcmp(config->allow[i], "everyone") == 0) {
            is_for_everyone = true;
        } else {
            int status = find_allowed(config->allow[i], ret_allowed, ret_error);
            if (status != SLUICE_OK) {
                return status;
            }
        }
    }
    for (unsigned i = 0; i < ret_allowed->allow_count; i++) {
        mode = is_own(&ret_allowed->allow[i]) ? mode : "0666";
    }
    if (is_for_everyone) {
        mode = "0666";
        ret_allowed->allow_count = 0;
    }
    ret_allowed->access = NULL;
    if (mode != NULL) {
        memcpy(ret_allowed->text, mode, strlen(mode) + 1);
        ret_allowed->access = ret_allowed->text;
    }
    return SLUICE_OK;
}

int startup_check_account(const sluiced_config *config, config_error *ret_error) {
    if (config->allow_count == 0 || config->allow_as_root || geteuid() != 0) {
        return SLUICE_OK;
    }
    (void)snprintf(ret_error->text, sizeof(ret_error->text), "%s",
                   "not as root: what a broker connects to for a client sees the broker's user, "
                   "and would take each client for root. Run it as a user of its own "
                   "(deploy/sluice.service), or insist with --allow-as-root");
    return SLUICE_EINVAL;
}

uint64_t startup_descriptors(uint64_t *ret_inherited) {
    uint64_t limit = get_limit();
    *ret_inherited = limit == UINT64_MAX ? 0 : inherited_count;
    return limit == UINT64_MAX ? 0 : limit;
}

/* pipe(7); a process with CAP_SYS_RESOURCE may have more, and is counted all the same. A service
 * may not see /proc/sys (systemd's ProcSubset): it has what Linux comes with. */
#define PIPE_PAGES_UNKNOWN 16384

uint64_t startup_pipe_pages(void) {
    char text[18];
    uint64_t pages = 0;
    int file = open("/proc/sys/fs/pipe-user-pages-soft", O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof(text)) : -1;
    if (file >= 0) {
        (void)close(file);
    }
    if (length <= 0) {
        return PIPE_PAGES_UNKNOWN;
    }
    for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
        pages = pages * 10 + (uint64_t)(text[i] - '0');
    }
    return pages;
}

uint64_t startup_process_id(void) {
    return (uint64_t)getpid();
}

void startup_exit(int code) {
    _exit(code);
}
