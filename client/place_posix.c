/*
 * place_posix.c - see place.h. The folder is PARENT/PREFIXrandom, in the first of these that will
 * do; the third always will, unless /tmp is full or closed to us:
 *
 *     $XDG_RUNTIME_DIR/sluice/p-...    if both are this user's alone, and the name is short enough
 *     /tmp/sluice-UID/p-...            if that is this user's alone
 *     /tmp/sluice-p-...
 *
 * A parent may lie on a file system that does not answer. So each is visited by an errand, which is
 * left when its part of the time is over; and while one has not come back, no other is sent there.
 *
 * /tmp is everybody's: what is found there is looked at with lstat and never mended. A lock counts
 * only if its folder still has a name: in between a sweep may have taken the new folder for one
 * that was left behind.
 */
#include "client/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/nobody.h"
#include "base/own_fds.h"
#include "client/errand.h"
#include "client/tally.h"

#define PLACES            3u
#define PARENT_BYTES      96
#define ATTEMPTS          4u    /* a sweep that came in between, so often in a row */
#define SWEEP_NAMES_MAX   1024u /* looked at in one sweep; the rest waits for the next */
#define SWEEP_FOLDERS_MAX 64u   /* removed in one sweep */
#define ENDPOINT_NAME     "broker"
#define LOCK_NAME         "broker.lock" /* the engine's, beside the endpoint */

typedef struct parent {
    char path[PARENT_BYTES];
    const char *prefix; /* of the folder's name */
} parent;

/* 0, or the errno: is it a directory that nobody but this user can enter? */
static int check_own(const char *path, mode_t forbidden) {
    struct stat info;
    if (lstat(path, &info) != 0) {
        return errno;
    }
    return S_ISDIR(info.st_mode) && (info.st_mode & forbidden) == 0 &&
                   sl_nobody_is_own(AT_FDCWD, path, &info)
               ? 0
               : EPERM;
}

static int make_own(const char *path) {
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return errno;
    }
    return check_own(path, 077);
}

/* 0, or the errno for which it will not do. */
static int find_parent(unsigned at, parent *ret) {
    const char *runtime;
    int length;
    ret->prefix = "p-";
    switch (at) {
    case 0:
        runtime = secure_getenv("XDG_RUNTIME_DIR");
        if (runtime == NULL || runtime[0] != '/') {
            return ENOENT;
        }
        length = snprintf(ret->path, sizeof(ret->path), "%s/sluice", runtime);
        if (length < 0 || (size_t)length >= sizeof(ret->path)) {
            return ENAMETOOLONG;
        }
        length = check_own(runtime, S_IWGRP | S_IWOTH);
        return length != 0 ? length : make_own(ret->path);
    case 1:
        (void)snprintf(ret->path, sizeof(ret->path), "/tmp/sluice-%lu", (unsigned long)geteuid());
        return make_own(ret->path);
    default:
        (void)snprintf(ret->path, sizeof(ret->path), "/tmp");
        ret->prefix = "sluice-p-";
        return 0;
    }
}

/* ---- one folder ------------------------------------------------------------------------------ */

static void empty_folder(int folder) {
    (void)unlinkat(folder, ENDPOINT_NAME, 0);
    (void)unlinkat(folder, LOCK_NAME, 0);
}

/* 0: a new folder, locked. EAGAIN: a sweep has taken it away. Else the errno. */
static int make_folder(const char *path, int *ret_folder) {
    struct stat info;
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? EAGAIN : errno;
    }
    int folder =
        sl_own_fds_above_standard(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (folder < 0) {
        int error = errno;
        (void)rmdir(path);
        return error == ENOENT ? EAGAIN : error;
    }
    sl_own_fds_add(folder);
    int error = 0;
    if (flock(folder, LOCK_EX | LOCK_NB) != 0) {
        error = errno == EWOULDBLOCK ? EAGAIN : errno;
    } else if (fstat(folder, &info) != 0) {
        error = errno;
    } else if (info.st_nlink == 0) {
        error = EAGAIN;
    }
    if (error != 0) {
        sl_own_fds_remove(folder);
        (void)close(folder);
        (void)rmdir(path);
        return error;
    }
    *ret_folder = folder;
    return 0;
}

/* ---- what was left behind -------------------------------------------------------------------- */

/* true: it was, and it has been removed. */
static bool clear_stale(int parent_folder, const char *name) {
    struct stat info;
    int folder = openat(parent_folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) {
        return false;
    }
    bool is_stale = fstat(folder, &info) == 0 && sl_nobody_is_own_fd(folder, &info) &&
                    flock(folder, LOCK_EX | LOCK_NB) == 0;
    if (is_stale) {
        empty_folder(folder);
        is_stale = unlinkat(parent_folder, name, AT_REMOVEDIR) == 0;
    }
    (void)close(folder);
    return is_stale;
}

static void sweep(const parent *p) {
    DIR *list = opendir(p->path);
    const struct dirent *entry;
    unsigned cleared = 0;
    if (list == NULL) {
        return; /* another time */
    }
    for (unsigned i = 0; i < SWEEP_NAMES_MAX && cleared < SWEEP_FOLDERS_MAX; i++) {
        entry = readdir(list);
        if (entry == NULL) {
            break;
        }
        if (strncmp(entry->d_name, p->prefix, strlen(p->prefix)) == 0 &&
            clear_stale(dirfd(list), entry->d_name)) {
            cleared++;
        }
    }
    (void)closedir(list);
}

/* ---- making and clearing --------------------------------------------------------------------- */

static int try_parent(unsigned at, client_place *place, uint64_t random) {
    parent p;
    int error = find_parent(at, &p);
    if (error != 0) {
        return error;
    }
    sweep(&p);
    error = EAGAIN;
    for (unsigned i = 0; i < ATTEMPTS && error == EAGAIN; i++) {
        int length = snprintf(place->endpoint, sizeof(place->endpoint), "%s/%s%016llx", p.path,
                              p.prefix, (unsigned long long)(random + i));
        if (length < 0 || (size_t)length + strlen("/" ENDPOINT_NAME) > ENGINE_ENDPOINT_PATH_MAX) {
            return ENAMETOOLONG;
        }
        error = make_folder(place->endpoint, &place->folder);
        memcpy(place->endpoint + length, "/" ENDPOINT_NAME, sizeof("/" ENDPOINT_NAME));
    }
    return error;
}

static const char *why_not(int error) {
    switch (error) {
    case ENOENT: return "is not there";
    case EPERM: return "is not this user's alone";
    case ENAMETOOLONG: return "is too long";
    case EACCES: return "is closed to us";
    case ETIMEDOUT: return "does not answer";
    case ENOSPC:
    case EDQUOT: return "is full";
    case EROFS: return "is read-only";
    default: return "fails";
    }
}

/* ---- the search ------------------------------------------------------------------------------ */

typedef struct visit {
    client_errand errand;
    sl_event done;
    unsigned at;
    uint64_t random;
    /* What comes of it. */
    client_place place;
    int error;
} visit;

/* By parent: visits that were left and have not come back. */
static client_tally silent[PLACES];

static void run_visit(client_errand *errand) {
    visit *v = SL_CONTAINER_OF(errand, visit, errand);
    v->error = try_parent(v->at, &v->place, v->random);
}

static void on_visited(client_errand *errand) {
    sl_event_set(&SL_CONTAINER_OF(errand, visit, errand)->done);
}

static void free_visit(visit *v) {
    sl_event_deinit(&v->done);
    sl_allocator_system()->release(sl_allocator_system(), v, sizeof(*v));
}

/* It was left. */
static void dispose_visit(client_errand *errand) {
    visit *v = SL_CONTAINER_OF(errand, visit, errand);
    client_tally_remove(&silent[v->at]);
    if (v->error == 0) {
        client_place_clear(&v->place);
    }
    free_visit(v);
}

/* NULL: there is no memory for it, or no thread. */
static visit *begin_visit(unsigned at, uint64_t random) {
    visit *v = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*v));
    if (v != NULL && sl_event_init(&v->done) != SLUICE_OK) {
        sl_allocator_system()->release(sl_allocator_system(), v, sizeof(*v));
        v = NULL;
    }
    if (v != NULL) {
        v->errand =
            (client_errand){.run = run_visit, .on_done = on_visited, .dispose = dispose_visit};
        v->at = at;
        v->random = random;
        if (client_errand_start(&v->errand, "sluice-place") != SLUICE_OK) {
            free_visit(v);
            v = NULL;
        }
    }
    return v;
}

/* false: it was left. Where there is no other parent to go on to, half of the time is for this one;
 * the rest is for saying so. */
static bool await_visit(visit *v, uint64_t deadline_ns) {
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    uint64_t half_ns = deadline_ns > now_ns ? (deadline_ns - now_ns) / 2 : 0;
    uint64_t until_ns = v->at < PLACES - 1 ? client_errand_part_ns(deadline_ns)
                                           : sl_clock_after_ns(now_ns, half_ns);
    if (sl_event_wait_until(&v->done, until_ns)) {
        return true;
    }
    client_tally_add(&silent[v->at]); /* before it is left: its thread takes that back */
    if (client_errand_leave(&v->errand)) {
        return false;
    }
    client_tally_remove(&silent[v->at]);
    return true;
}

/* 0, or the errno. */
static int visit_parent(unsigned at, client_place *ret_place, uint64_t random,
                        uint64_t deadline_ns) {
    if (client_tally_get(&silent[at]) != 0) {
        return ETIMEDOUT;
    }
    visit *v = begin_visit(at, random);
    if (v == NULL) {
        return try_parent(at, ret_place, random); /* this thread can be spared, too */
    }
    if (!await_visit(v, deadline_ns)) {
        return ETIMEDOUT;
    }
    client_errand_settle(&v->errand);
    int error = v->error;
    if (error == 0) {
        *ret_place = v->place;
    }
    free_visit(v);
    return error;
}

int client_place_make(client_place *ret_place, const uint64_t random[2], uint64_t deadline_ns,
                      char *ret_detail, size_t detail_size, uint32_t *ret_os_error) {
    int errors[PLACES];
    for (unsigned i = 0; i < PLACES; i++) {
        errors[i] = visit_parent(i, ret_place, random[0] ^ random[1], deadline_ns);
        if (errors[i] == 0) {
            return SLUICE_OK;
        }
    }
    ret_place->endpoint[0] = '\0';
    *ret_os_error = (uint32_t)errors[PLACES - 1];
    (void)snprintf(ret_detail, detail_size,
                   "no place for the private broker's endpoint: $XDG_RUNTIME_DIR/sluice %s, "
                   "/tmp/sluice-%lu %s, /tmp %s",
                   why_not(errors[0]), (unsigned long)geteuid(), why_not(errors[1]),
                   why_not(errors[2]));
    switch (errors[PLACES - 1]) {
    case ENOMEM: return SLUICE_ENOMEM;
    case ETIMEDOUT: return SLUICE_ETIMEDOUT;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT: return SLUICE_EOSLIMIT;
    case EACCES:
    case EPERM:
    case EROFS: return SLUICE_EACCESS;
    default: return SLUICE_EOS;
    }
}

void client_place_clear(client_place *place) {
    if (place->endpoint[0] != '\0') {
        empty_folder(place->folder);
        *strrchr(place->endpoint, '/') = '\0';
        (void)rmdir(place->endpoint);
        client_place_leave(place);
    }
}

void client_place_leave(client_place *place) {
    if (place->endpoint[0] != '\0') {
        sl_own_fds_remove(place->folder);
        (void)close(place->folder);
        place->endpoint[0] = '\0';
    }
}
