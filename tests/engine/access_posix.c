/*
 * access_posix.c - may that user open this path? What engine/epoll_access.c says is held against
 * what the kernel does for a process of that user: random owners, groups, modes and ACLs on the way
 * to a socket, by names, links, "." and "..". Only root can make such a tree; for others the tests
 * are skipped by name.
 *
 *     engine_access [SEED]
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/epoll.h"

#define ROUNDS   400u
#define USER     4201u /* nobody on any system we know */
#define STRANGER 4202u
#define PRIMARY  4301u
#define FURTHER  4302u /* USER is in it, too */
#define FOREIGN  4303u

static sl_random_seeded seeded;
static char place[64];
static bool has_acls;

/* A path for each question; the last is for a new name in a folder. */
static const char *const paths[] = {"a/b/s",  "l/b/s",    "a/m/s",    "abs/s",  "a/../a/./b//s",
                                    "a/b/ls", "a/b/none", "a/b/loop", "a/b/s/x"};
#define PATHS SL_ARRAY_COUNT(paths)

static uint32_t draw(uint32_t below) {
    return (uint32_t)(sl_random_seeded_u64(&seeded) % below);
}

static void in_place(const char *name, char ret_path[160]) {
    (void)snprintf(ret_path, 160, "%s/%s", place, name);
}

static engine_epoll_user *make_user(bool knows_groups) {
    engine_epoll_user *user = calloc(1, sizeof(*user) + sizeof(gid_t));
    assert_non_null(user);
    user->uid = USER;
    user->gid = PRIMARY;
    user->nobody = (uid_t)-1;
    user->knows_groups = knows_groups;
    user->group_count = knows_groups ? 1 : 0;
    user->groups[0] = FURTHER;
    return user;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static void make_link(const char *text, const char *name) {
    char path[160];
    in_place(name, path);
    assert_int_equal(symlink(text, path), 0);
}

static void make_tree(void) {
    char path[160];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(place, sizeof(place), "/tmp/sluice-access-XXXXXX");
    assert_non_null(mkdtemp(place));
    assert_int_equal(chmod(place, 0755), 0);
    in_place("a", path);
    assert_int_equal(mkdir(path, 0755), 0);
    in_place("a/b", path);
    assert_int_equal(mkdir(path, 0755), 0);
    make_link(path, "abs");
    make_link("a", "l");
    make_link("../a/b", "a/m");
    make_link("s", "a/b/ls");
    make_link("loop", "a/b/loop");
    in_place("a/b/s", path);
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    (void)close(fd); /* nobody listens: who may connect is refused by that only */
}

static void remove_tree(void) {
    static const char *const names[] = {"a/b/s", "a/b/ls", "a/b/loop", "a/m", "l", "abs"};
    char path[160];
    for (size_t i = 0; i < SL_ARRAY_COUNT(names); i++) {
        in_place(names[i], path);
        (void)unlink(path);
    }
    in_place("a/b", path);
    (void)rmdir(path);
    in_place("a", path);
    (void)rmdir(path);
    (void)rmdir(place);
}

typedef struct acl {
    uint8_t bytes[4 + 8 * 8];
    size_t length;
} acl;

static void add_entry(acl *a, unsigned tag, uint32_t id) {
    uint8_t *at = a->bytes + a->length;
    unsigned permitted = draw(8);
    at[0] = (uint8_t)tag;
    at[1] = 0;
    at[2] = (uint8_t)permitted;
    at[3] = 0;
    for (unsigned i = 0; i < 4; i++) {
        at[4 + i] = (uint8_t)(id >> (8 * i));
    }
    a->length += 8;
}

/* In the order that the kernel wants. false: no ACLs here. */
static bool put_acl(const char *path) {
    acl a = {.bytes = {2, 0, 0, 0}, .length = 4};
    add_entry(&a, 0x01, UINT32_MAX);
    if (draw(2) == 0) {
        add_entry(&a, 0x02, USER);
    }
    add_entry(&a, 0x02, STRANGER);
    add_entry(&a, 0x04, UINT32_MAX);
    if (draw(2) == 0) {
        add_entry(&a, 0x08, draw(2) == 0 ? PRIMARY : FURTHER);
    }
    add_entry(&a, 0x08, FOREIGN);
    add_entry(&a, 0x10, UINT32_MAX);
    add_entry(&a, 0x20, UINT32_MAX);
    return setxattr(path, "system.posix_acl_access", a.bytes, a.length, 0) == 0;
}

static void change(const char *name) {
    static const uid_t owners[] = {0, USER, STRANGER};
    static const gid_t groups[] = {0, PRIMARY, FURTHER, FOREIGN};
    char path[160];
    in_place(name, path);
    (void)removexattr(path, "system.posix_acl_access");
    assert_int_equal(chown(path, owners[draw(3)], groups[draw(4)]), 0);
    unsigned sticky = draw(3) == 0 ? 01777 : 0;
    assert_int_equal(chmod(path, draw(01000) | (draw(3) == 0 ? 0 : 0111) | sticky), 0);
    if (draw(3) == 0) {
        has_acls = put_acl(path) || has_acls;
    }
}

static void change_link(const char *name) {
    static const uid_t owners[] = {0, USER, STRANGER};
    char path[160];
    in_place(name, path);
    assert_int_equal(lchown(path, owners[draw(3)], 0), 0);
}

/* ---- both answers ---------------------------------------------------------------------------- */

/* 0: may; else errno. */
static int try_connect(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0 ? 0 : errno;
    (void)close(fd);
    return error == ECONNREFUSED ? 0 : error;
}

static int try_create(const char *folder) {
    return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

/* As USER, in a process of its own. */
static void ask_kernel(int ret_answers[PATHS + 1]) {
    int ends[2];
    char path[160];
    const gid_t further = FURTHER;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int answers[PATHS + 1];
        bool is_user = setgroups(1, &further) == 0 && setgid(PRIMARY) == 0 && setuid(USER) == 0;
        for (size_t i = 0; i < PATHS; i++) {
            in_place(paths[i], path);
            answers[i] = try_connect(path);
        }
        in_place("l/b", path);
        answers[PATHS] = try_create(path);
        _exit(is_user && write(ends[1], answers, sizeof(answers)) == sizeof(answers) ? 0 : 1);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], ret_answers, (PATHS + 1) * sizeof(int)),
                     (PATHS + 1) * sizeof(int));
    (void)close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int ask_ours(const engine_epoll_user *user, const char *name) {
    char path[160];
    int fd = -1;
    in_place(name, path);
    int error = engine_epoll_find_socket(user, path, &fd);
    assert_true((error == 0) == (fd >= 0));
    if (error == 0) {
        struct stat info;
        assert_int_equal(fstat(fd, &info), 0);
        assert_true(S_ISSOCK(info.st_mode));
        (void)close(fd);
    }
    return error;
}

static int ask_folder(const engine_epoll_user *user) {
    char path[160];
    char name[NAME_MAX + 1];
    int folder = -1;
    in_place("l/b/new", path);
    int error = engine_epoll_find_folder(user, path, name, &folder);
    if (error == 0) {
        assert_string_equal(name, "new");
        (void)close(folder);
    }
    return error;
}

/* Does the kernel do what we always do (fs.protected_symlinks)? */
static bool is_kernel_strict(void) {
    FILE *file = fopen("/proc/sys/fs/protected_symlinks", "r");
    int value = 0;
    bool is_known = file != NULL && fscanf(file, "%d", &value) == 1;
    if (file != NULL) {
        (void)fclose(file);
    }
    return is_known && value == 1;
}

static bool ends_with_link(const char *path) {
    return strcmp(path, "a/b/ls") == 0 || strcmp(path, "a/b/loop") == 0;
}

static unsigned count_descriptors(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void skip_unless_root(void) {
    if (geteuid() != 0) {
        print_message("skipped: only root can make files of other users\n");
        skip();
    }
}

static void as_the_kernel(void **state) {
    int kernel[PATHS + 1];
    unsigned may = 0;
    unsigned may_not = 0;
    (void)state;
    skip_unless_root();
    make_tree();
    unsigned open_before = count_descriptors();
    const bool is_strict = is_kernel_strict();
    engine_epoll_user *user = make_user(true);
    engine_epoll_user *half_known = make_user(false);
    for (unsigned round = 0; round < ROUNDS; round++) {
        change("a");
        change("a/b");
        change("a/b/s");
        change_link("a/b/ls");
        change_link("a/b/loop");
        change_link("l");
        ask_kernel(kernel);
        for (size_t i = 0; i < PATHS; i++) {
            int ours = ask_ours(user, paths[i]);
            bool may_be_stricter = !is_strict && ends_with_link(paths[i]) && ours == EACCES;
            if (ours != kernel[i] && !may_be_stricter) {
                fail_msg("round %u, %s: the kernel says %s, we say %s", round, paths[i],
                         strerror(kernel[i]), strerror(ours));
            }
            may += ours == 0;
            may_not += ours == EACCES;
            /* With the groups unknown never more. */
            assert_true(ask_ours(half_known, paths[i]) != 0 || ours == 0);
        }
        assert_int_equal(ask_folder(user), kernel[PATHS]);
        assert_true(ask_folder(half_known) != 0 || kernel[PATHS] == 0);
    }
    print_message("  %u may, %u may not%s%s\n", may, may_not,
                  has_acls ? "" : "; no ACLs on this file system",
                  is_strict ? "" : "; this kernel follows any link (fs.protected_symlinks)");
    assert_true(may > ROUNDS / 10 && may_not > ROUNDS / 10);
    assert_int_equal(count_descriptors(), open_before);
    free(user);
    free(half_known);
    remove_tree();
}

/* What is no file of the tree: the root, what is relative, what is too long. */
static void odd_paths(void **state) {
    static const char *const odd[] = {"/", "", "relative", "/tmp/", "/tmp/.", "/dev/null"};
    char longer[300];
    char name[NAME_MAX + 1];
    int fd = -1;
    (void)state;
    engine_epoll_user *user = make_user(true);
    for (size_t i = 0; i < SL_ARRAY_COUNT(odd); i++) {
        assert_int_not_equal(engine_epoll_find_socket(user, odd[i], &fd), 0);
    }
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(engine_epoll_find_socket(user, longer, &fd), ENAMETOOLONG);
    for (size_t i = 0; i < 5; i++) {
        assert_int_not_equal(engine_epoll_find_folder(user, odd[i], name, &fd), 0);
    }
    assert_int_equal(fd, -1);
    free(user);
}

/* "/./././tmp/name", with so many dots. */
static int ask_long_way(const engine_epoll_user *user, unsigned dots) {
    char path[2 * 300 + 20] = "";
    char name[NAME_MAX + 1];
    int folder = -1;
    for (unsigned i = 0; i < dots; i++) {
        memcpy(path + 2 * (size_t)i, "/.", 3);
    }
    memcpy(path + 2 * (size_t)dots, "/tmp/name", sizeof("/tmp/name"));
    int error = engine_epoll_find_folder(user, path, name, &folder);
    if (error == 0) {
        (void)close(folder);
    }
    return error;
}

/* A way of any length would keep an opener busy for as long as a client likes. */
static void long_ways(void **state) {
    (void)state;
    engine_epoll_user *user = make_user(true);
    assert_int_equal(ask_long_way(user, 254), 0);
    assert_int_equal(ask_long_way(user, 255), ENAMETOOLONG);
    assert_int_equal(ask_long_way(user, 300), ENAMETOOLONG);
    free(user);
}

/* A link in a folder like /tmp: followed at the end of a path only for its owner, or if it is the
 * folder's owner's; on the way, and in other folders, as ever. */
static void links_in_wait(void **state) {
    static const struct {
        uid_t folder;
        uid_t link;
        mode_t mode;
        bool may;
    } cases[] = {{0, STRANGER, 01777, false}, {0, USER, 01777, true},
                 {0, 0, 01777, true},         {STRANGER, STRANGER, 01777, true},
                 {STRANGER, 0, 01777, false}, {0, STRANGER, 01775, true},
                 {0, STRANGER, 0777, true}};
    char folder[160];
    char link[160];
    char file[160];
    (void)state;
    skip_unless_root();
    engine_epoll_user *user = make_user(true);
    engine_epoll_user root = {.uid = 0};
    make_tree();
    in_place("a/b", folder);
    in_place("a/b/ls", link);
    in_place("a/b/s", file);
    assert_int_equal(chmod(file, 0666), 0);
    for (size_t i = 0; i < SL_ARRAY_COUNT(cases); i++) {
        assert_int_equal(chown(folder, cases[i].folder, 0), 0);
        assert_int_equal(chmod(folder, cases[i].mode), 0);
        assert_int_equal(lchown(link, cases[i].link, 0), 0);
        assert_int_equal(ask_ours(user, "a/b/ls"), cases[i].may ? 0 : EACCES);
        assert_int_equal(ask_ours(user, "a/b/s"), 0);
        if (cases[i].link == STRANGER) { /* root is no exception */
            assert_int_equal(ask_ours(&root, "a/b/ls"), cases[i].may ? 0 : EACCES);
        }
    }
    in_place("l", link);
    assert_int_equal(chmod(place, 01777), 0);
    assert_int_equal(lchown(link, STRANGER, 0), 0);
    assert_int_equal(ask_ours(user, "l/b/s"), 0);
    remove_tree();
    free(user);
}

/* Of a link of /proc only the text is followed, from our root on, and each folder is asked. */
static void links_of_proc(void **state) {
    char path[200];
    char name[NAME_MAX + 1];
    int fd = -1;
    (void)state;
    skip_unless_root();
    engine_epoll_user *user = make_user(true);
    make_tree();
    assert_int_equal(chmod(place, 0700), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/root%s/a/b/s", place);
    assert_int_equal(engine_epoll_find_socket(user, path, &fd), EACCES);
    int folder = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/a/b/s", folder);
    assert_int_equal(engine_epoll_find_socket(user, path, &fd), EACCES);
    assert_int_equal(engine_epoll_find_folder(user, path, name, &fd), EACCES);
    (void)close(folder);
    remove_tree();
    free(user);
}

/* ---- listeners on behalf of another user ----------------------------------------------------- */

static void take(const char *file, engine_epoll_name *ret_name) {
    static const engine_behalf own;
    static const engine_listen_options options;
    const char *detail = NULL;
    int error = 0;
    char path[160];
    engine_address address;
    in_place(file, path);
    assert_int_equal(engine_address_pipe(&address, path), SLUICE_OK);
    assert_int_equal(engine_epoll_name_init(ret_name, &address, &options), SLUICE_OK);
    assert_int_equal(engine_epoll_name_take(ret_name, &own, &detail, &error), SLUICE_OK);
}

/* As if the name had led there already when the socket was made. */
static int grant_there(engine_epoll_name *name, const engine_epoll_user *user) {
    struct stat info;
    const char *detail = NULL;
    assert_int_equal(lstat(name->path, &info), 0);
    name->device = info.st_dev;
    name->inode = info.st_ino;
    int error = engine_epoll_grant(name, user, &detail);
    assert_true((detail == NULL) == (error == 0));
    return error;
}

static bool has_acl(const char *file) {
    char path[160];
    in_place(file, path);
    return getxattr(path, ACL_XATTR, NULL, 0) > 0;
}

static void swap(const char *from, const char *to) {
    char paths_of[2][160];
    in_place(from, paths_of[0]);
    in_place(to, paths_of[1]);
    assert_int_equal(rename(paths_of[0], paths_of[1]), 0);
}

/* Whatever is moved to the name gets nothing. */
static void granted_to_one_file(void **state) {
    char path[160];
    engine_epoll_name mine;
    engine_epoll_name foreign;
    (void)state;
    engine_epoll_user *user = make_user(true);
    make_tree();
    unsigned open_before = count_descriptors();
    take("mine", &mine);
    take("foreign", &foreign);
    swap("mine", "kept");
    swap("foreign", "mine"); /* another listener of ours */
    assert_int_equal(grant_there(&mine, user), ESTALE);
    assert_false(has_acl("mine"));
    assert_true(count_descriptors() == open_before + 4); /* two sockets, two locks */
    swap("mine", "foreign");
    swap("a/b/s", "mine"); /* one behind which nobody listens */
    assert_int_equal(grant_there(&mine, user), ESTALE);
    assert_false(has_acl("mine"));
    swap("mine", "a/b/s");
    swap("mine.lock", "mine"); /* no socket */
    assert_int_equal(grant_there(&mine, user), ESTALE);
    assert_false(has_acl("mine"));
    swap("mine", "mine.lock");
    swap("kept", "mine");
    assert_int_equal(grant_there(&mine, user), 0);
    assert_true(has_acl("mine"));
    assert_int_equal(accept4(mine.fd, NULL, NULL, SOCK_NONBLOCK), -1); /* nobody was left there */
    assert_int_equal(errno, EAGAIN);
    in_place("mine", path);
    int fd = -1;
    assert_int_equal(chmod(place, 0755), 0);
    assert_int_equal(engine_epoll_find_socket(user, path, &fd), 0);
    (void)close(fd);
    engine_epoll_name_drop(&mine);
    engine_epoll_name_drop(&foreign);
    assert_int_equal(count_descriptors(), open_before);
    free(user);
    remove_tree();
}

static int refuse_acl(const char *path, const char *name, const void *value, size_t size,
                      int flags) {
    (void)path;
    (void)name;
    (void)value;
    (void)size;
    (void)flags;
    errno = EOPNOTSUPP;
    return -1;
}

/* Where there are no ACLs: a process that is not root listens for another user. */
static int listen_without_acls(const engine_epoll_user *user) {
    const engine_behalf behalf = {.rights = (engine_rights *)(uintptr_t)&user->rights};
    const engine_listen_options options = {.backlog = 1};
    const char *detail = NULL;
    int error = 0;
    char path[160];
    engine_address address;
    engine_epoll_name name;
    in_place("a/new", path);
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(STRANGER) != 0 || setuid(STRANGER) != 0)) {
        return 1;
    }
    engine_epoll_calls.setxattr = refuse_acl;
    if (engine_address_pipe(&address, path) != SLUICE_OK ||
        engine_epoll_name_init(&name, &address, &options) != SLUICE_OK) {
        return 2;
    }
    if (engine_epoll_name_take(&name, &behalf, &detail, &error) != SLUICE_ENOTSUP ||
        error != EOPNOTSUPP || detail == NULL || strstr(detail, "ACLs") == NULL) {
        return 3;
    }
    return 0;
}

static void no_acls_no_listener(void **state) {
    char path[160];
    int status = 0;
    (void)state;
    engine_epoll_user *user = make_user(true);
    make_tree();
    in_place("a", path);
    assert_int_equal(chmod(path, 0777), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(listen_without_acls(user));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    in_place("a/new", path);
    assert_int_equal(access(path, F_OK), -1);
    in_place("a/new.lock", path);
    assert_int_equal(access(path, F_OK), -1);
    free(user);
    remove_tree();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_kernel),       cmocka_unit_test(odd_paths),
        cmocka_unit_test(long_ways),           cmocka_unit_test(links_in_wait),
        cmocka_unit_test(links_of_proc),       cmocka_unit_test(granted_to_one_file),
        cmocka_unit_test(no_acls_no_listener),
    };
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    sl_random_seeded_init(&seeded, seed);
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
