/*
 * act_posix.c - see act.h, script.h.
 */
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"
#include "engine/epoll.h"
#include "tests/fault/act_client.h"

#define STRANGER 4601u /* no user of any system we know */

const char *const act_access = "0666"; /* which the umask narrows, so that it is put back */
const char *const act_nobody = "gid 4000000";
const bool act_pipes_half_close = true;
const unsigned act_crowd = 2 * ENGINE_EPOLL_INBOX + 4;

static char place[64];
static unsigned names;

static unsigned count_entries(const char *path, bool removes) {
    unsigned count = 0;
    DIR *directory = opendir(path);
    EXPECT(directory != NULL);
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            count++;
            if (removes) {
                (void)unlinkat(dirfd(directory), entry->d_name, 0);
            }
        }
    }
    (void)closedir(directory);
    return count;
}

static pid_t owner; /* of the places: its children leave them */

static void leave(void) {
    if (getpid() == owner) {
        (void)count_entries(place, true); /* what a case that was ended on purpose has left */
        (void)rmdir(place);
    }
}

void script_place(void) {
    owner = getpid();
    (void)snprintf(place, sizeof(place), "/tmp/sluice-fault-%ld", (long)owner);
    EXPECT(mkdir(place, 0700) == 0 && atexit(leave) == 0);
}

engine_address script_pipe_address(void) {
    engine_address address;
    char name[ENGINE_PIPE_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "%s/%u", place, ++names);
    EXPECT(engine_address_pipe(&address, name) == SLUICE_OK);
    return address;
}

void *fault_share(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(memory != MAP_FAILED);
    return memory;
}

/* A socket file whose server has died. */
void script_leave_stale_name(const engine_address *address) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    EXPECT(strlen(address->pipe) < sizeof(name.sun_path));
    memcpy(name.sun_path, address->pipe, strlen(address->pipe) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof(name)) == 0);
    (void)close(fd);
    char lock[sizeof(name.sun_path) + sizeof(".lock")];
    (void)snprintf(lock, sizeof(lock), "%s.lock", name.sun_path);
    struct stat left;
    char record[ENGINE_EPOLL_RECORD_BYTES];
    EXPECT(lstat(name.sun_path, &left) == 0);
    engine_epoll_lock_describe(&left, record);
    FILE *file = fopen(lock, "wx");
    EXPECT(file != NULL && fputs(ENGINE_EPOLL_LOCK_TEXT, file) >= 0 && fputs(record, file) >= 0 &&
           fclose(file) == 0);
}

/* A kernel before 6.16, whose sockets take descriptors. */
void script_take_rights(bool takes) {
    static bool is_kernels_own;
    static bool is_known;
    if (takes && !is_known) {
        is_known = true;
        is_kernels_own = atomic_load(&engine_epoll_takes_rights);
    }
    atomic_store(&engine_epoll_takes_rights, takes || is_kernels_own);
}

unsigned script_count_handles(void) {
    return count_entries("/proc/self/fd", false);
}

unsigned script_count_names(void) {
    return count_entries(place, true);
}

/* ---- the client library ---------------------------------------------------------------------- */

void script_client_pipe(char *ret_address, size_t size) {
    engine_address address = script_pipe_address();
    (void)snprintf(ret_address, size, "pipe:%s", address.pipe);
}

static char runtime[80];

static void leave_runtime(void) {
    char inner[sizeof(runtime) + sizeof("/sluice")];
    (void)snprintf(inner, sizeof(inner), "%s/sluice", runtime);
    if (getpid() == owner) {
        char stale[sizeof(inner) + sizeof("/p-stale")];
        (void)snprintf(stale, sizeof(stale), "%s/p-stale", inner);
        (void)rmdir(stale);
        (void)rmdir(inner);
        (void)rmdir(runtime);
    }
}

void script_client_place(void) {
    if (runtime[0] != '\0') {
        return; /* another level has made it */
    }
    (void)snprintf(runtime, sizeof(runtime), "/tmp/sluice-fault-run-%ld", (long)getpid());
    EXPECT(mkdir(runtime, 0700) == 0 && atexit(leave_runtime) == 0);
    EXPECT(setenv("XDG_RUNTIME_DIR", runtime, 1) == 0);
}

const char *const act_log_path = "/dev/null";

void script_private_begin(void) {
    char stale[sizeof(runtime) + sizeof("/sluice/p-stale")];
    (void)snprintf(stale, sizeof(stale), "%s/sluice", runtime);
    (void)mkdir(stale, 0700); /* the library's own, if it has been here before */
    (void)snprintf(stale, sizeof(stale), "%s/sluice/p-stale", runtime);
    (void)mkdir(stale, 0700); /* likewise, when the last run kept it from being cleared */
}

void script_wait_for_waitable(sluice_session *session, uint64_t limit_ns) {
    uint64_t waitable;
    EXPECT(sluice_waitable(session, &waitable) == SLUICE_OK);
    struct pollfd entry = {.fd = (int)waitable, .events = POLLIN};
    EXPECT(poll(&entry, 1, (int)(limit_ns / SL_NS_PER_MS)) == 1);
}

unsigned script_collect_children(uint64_t limit_ns) {
    unsigned count = 0;
    uint64_t end_ns = script_now_ns() + limit_ns;
    pid_t child;
    while ((child = waitpid(-1, NULL, WNOHANG)) > 0 ||
           (child == 0 && count == 0 && script_now_ns() < end_ns)) {
        count += child > 0;
        sl_thread_yield();
    }
    return count;
}

bool act_make_stranger(engine_rights *rights) {
    engine_epoll_user *user = (engine_epoll_user *)rights;
    user->uid = STRANGER;
    user->gid = STRANGER;
    user->group_count = 0;
    return true;
}

void act_detour(engine_address *address) {
    static const char root[] = "/proc/self/root"; /* two links, to "/" */
    EXPECT(strlen(address->pipe) + sizeof(root) <= sizeof(address->pipe));
    memmove(address->pipe + sizeof(root) - 1, address->pipe, strlen(address->pipe) + 1);
    memcpy(address->pipe, root, sizeof(root) - 1);
}

/* Root makes the file as the user, and need not grant it: so what any other broker does is called
 * here directly. */
void act_grant(script *s, const engine_rights *rights) {
    const engine_behalf own = {.rights = NULL};
    const engine_listen_options options = {.backlog = 1};
    engine_address address = script_pipe_address();
    const char *detail = NULL;
    engine_epoll_name name;
    int error = 0;
    EXPECT(engine_epoll_name_init(&name, &address, &options) == SLUICE_OK);
    if (!script_check(s, "engine_epoll_name_take",
                      engine_epoll_name_take(&name, &own, &detail, &error), S_OPEN)) {
        return;
    }
    error = engine_epoll_grant(&name, (const engine_epoll_user *)rights, &detail);
    (void)script_check(s, "engine_epoll_grant", error == 0 ? SLUICE_OK : engine_epoll_status(error),
                       S_OPEN);
    engine_epoll_name_drop(&name);
}

bool act_name_no_socket(engine_address *address) {
    EXPECT(strlen(address->pipe) + sizeof(".lock") <= sizeof(address->pipe));
    strcat(address->pipe, ".lock");
    return true;
}

bool act_link(const engine_address *to, engine_address *ret_link) {
    *ret_link = script_pipe_address();
    EXPECT(symlink(to->pipe, ret_link->pipe) == 0);
    return true;
}

void act_unlink(const engine_address *link) {
    EXPECT(unlink(link->pipe) == 0);
}
