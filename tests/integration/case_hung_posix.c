/*
 * case_hung_posix.c - what a system may never answer: a file system whose daemon is halted (a FUSE
 * mount that nobody serves), and a name server that is silent. Who opens something there waits for
 * it, gives it up in time, and keeps nobody from anything else; the broker's end waits for neither,
 * nor for its own endpoint's folder.
 *
 * All need namespaces of their own, and so root; else they say why they do not run. The mount is
 * in this thread's namespace, which the broker gets from it; it ends with the process at the
 * latest.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/integration/place.h"

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

/* ThreadSanitizer sleeps so long at the end if there are other threads: atexit_sleep_ms. */
#define SLEEP_S (IS_SANITIZED ? 1 : 0)

#define HUNG_OPENS  3u /* less than the half of the openers that is one user's */
#define TIMEOUT_NS  (500 * SL_NS_PER_MS)
#define QUICK_NS    (400 * SL_NS_PER_MS) /* what takes no time, on a machine with other work */
#define STOP_NS     (3 * SL_NS_PER_S)
#define SILENT_NS   ((2 + SLEEP_S) * SL_NS_PER_S)
#define SILENT_TEXT "the endpoint's folder does not answer; its socket and lock are left behind"
#define CLOSE_NS    SL_NS_PER_S /* of a session with a private broker: it took 2 s */
#define RESOLV_CONF "/etc/resolv.conf"
#define ASKED_MS    10000
#define PATH_SIZE   128

/* ---- what hangs ------------------------------------------------------------------------------ */

static void take_namespaces(int which) {
    if (unshare(which) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        place_skip("namespaces of one's own are for root");
    }
}

/* Over a folder that is there. Returns the descriptor from which a daemon would read, or -1. */
static int mount_over(const char *folder) {
    char options[PATH_SIZE];
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse < 0) {
        return -1;
    }
    (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (mount("sluice-hung", folder, "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
        EXPECT(close(fuse) == 0);
        return -1;
    }
    return fuse;
}

/* Mounts it on a new folder. */
static int mount_hung(char folder[PATH_SIZE]) {
    (void)snprintf(folder, PATH_SIZE, "/tmp/sluice-hung-XXXXXX");
    EXPECT(mkdtemp(folder) != NULL);
    int fuse = mount_over(folder);
    if (fuse < 0) {
        EXPECT(rmdir(folder) == 0);
        place_skip("there is no /dev/fuse to open, or it cannot be mounted here");
    }
    return fuse;
}

static void unmount_hung(int fuse, const char *folder) {
    EXPECT(close(fuse) == 0); /* whoever waits there has an error now */
    EXPECT(umount2(folder, MNT_DETACH) == 0);
    EXPECT(rmdir(folder) == 0);
}

/* Makes 127.0.0.1 the only name server, and a socket there that never answers. */
static int silence_names(char file[PATH_SIZE]) {
    static const char text[] = "nameserver 127.0.0.1\noptions timeout:10 attempts:1\n";
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT(server >= 0 && ioctl(server, SIOCSIFFLAGS, &loopback) == 0);
    EXPECT(bind(server, (const struct sockaddr *)&address, sizeof(address)) == 0);
    (void)snprintf(file, PATH_SIZE, "/tmp/sluice-resolv-XXXXXX");
    int fd = mkstemp(file);
    EXPECT(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    EXPECT(fchmod(fd, 0644) == 0 && close(fd) == 0);
    if (mount(file, RESOLV_CONF, NULL, MS_BIND, NULL) != 0) {
        EXPECT(unlink(file) == 0);
        place_skip("there is no " RESOLV_CONF " to replace");
    }
    return server;
}

/* Does the system ask it at all? */
static void await_question(int server, const char *file) {
    struct pollfd asked = {.fd = server, .events = POLLIN};
    if (poll(&asked, 1, ASKED_MS) != 1) {
        EXPECT(unlink(file) == 0);
        place_skip("look-ups do not ask the servers of " RESOLV_CONF " here");
    }
}

/* ---- what goes on ---------------------------------------------------------------------------- */

static void expect_quick(const char *what, int32_t status, uint64_t since_ns) {
    uint64_t took_ns = place_now_ns() - since_ns;
    if (status != SLUICE_OK || took_ns > QUICK_NS) {
        printf("%s: %s after %.0f ms\n", what, sluice_status_name(status), (double)took_ns / 1e6);
    }
    EXPECT(status == SLUICE_OK && took_ns <= QUICK_NS);
}

static void close_all(sluice_session *session, const sluice_result *opened) {
    for (uint32_t i = 0; i < opened->handle_count; i++) {
        EXPECT(sluice_close(session, opened->handles[i], PLACE_LONG_NS, NULL) == SLUICE_OK);
    }
}

/* Listens, and connects to where that is. */
static void listen_and_connect(sluice_session *session, const char *address) {
    char local[600];
    sluice_result listener = {.size = sizeof(listener)};
    sluice_result near = {.size = sizeof(near)};
    uint64_t since_ns = place_now_ns();
    expect_quick(address, sluice_listen(session, address, 0, PLACE_LONG_NS, &listener), since_ns);
    (void)snprintf(local, sizeof(local), "%s", address);
    if (strncmp(address, "tcp:", 4) == 0) {
        EXPECT(sluice_local_address(session, listener.handles[0], local, sizeof(local)) ==
               SLUICE_OK);
    }
    since_ns = place_now_ns();
    expect_quick(local, sluice_connect(session, local, PLACE_LONG_NS, &near), since_ns);
    close_all(session, &near);
    since_ns = place_now_ns();
    close_all(session, &listener);
    expect_quick("close", SLUICE_OK, since_ns);
}

/* Everything that does not hang is opened at once. */
static void open_everything(sluice_session *session, unsigned number) {
    char address[PATH_SIZE];
    sluice_result pair = {.size = sizeof(pair)};
    uint64_t since_ns = place_now_ns();
    expect_quick("pair", sluice_pair(session, PLACE_LONG_NS, &pair), since_ns);
    close_all(session, &pair);
    listen_and_connect(session, "tcp:127.0.0.1:0");
    listen_and_connect(session, "tcp:[::1]:0");
    (void)snprintf(address, sizeof(address), "pipe:/tmp/sluice-well-%u-%d", number, (int)getpid());
    listen_and_connect(session, address);
}

static bool has_given_up_all(const sluice_broker_info *info) {
    return info->opens_given_up == HUNG_OPENS;
}

/* They have ended, with ETIMEDOUT and in time; what is left of them is called by its name. */
static void expect_given_up(sluice_session *session, place_tally *tally, uint64_t since_ns) {
    EXPECT(place_tally_wait(tally, PLACE_LONG_NS));
    uint64_t took_ns = place_now_ns() - since_ns;
    EXPECT(took_ns >= TIMEOUT_NS && took_ns <= TIMEOUT_NS + PLACE_GRACE_NS);
    EXPECT(place_tally_get(tally, SLUICE_ETIMEDOUT) == HUNG_OPENS);
    place_await(session, has_given_up_all);
    sluice_broker_info info = place_status(session);
    EXPECT(info.user_opens_given_up == HUNG_OPENS && info.zombies == 0);
    EXPECT(info.operations <= 1 && info.handles == 0);
}

/* Its end does not wait for them, and calls them what they are. */
static void stop_broker(place *at, bool is_hung) {
    uint64_t since_ns = place_now_ns();
    EXPECT(process_interrupt(&at->broker));
    EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS));
    uint64_t took_ns = place_now_ns() - since_ns;
    printf("the broker has stopped after %.0f ms with exit code %d\n", (double)took_ns / 1e6,
           at->broker.exit_code);
    EXPECT(at->broker.exit_code == 0 && took_ns <= STOP_NS);
    if (is_hung) {
        (void)process_until(&at->broker, "opens that were given up end with the process");
    }
    (void)process_until(&at->broker, " stopped"); /* its last line may be read after its end */
    EXPECT(process_has_said(&at->broker, " error ") == NULL);
    process_deinit(&at->broker);
}

/* ---- the cases ------------------------------------------------------------------------------- */

void case_hung_path(place *at) {
    char folder[PATH_SIZE];
    char address[HUNG_OPENS][2 * PATH_SIZE];
    place_tally tally;
    take_namespaces(CLONE_NEWNS);
    int fuse = mount_hung(folder);
    const char *limits[] = {"drain_grace=0", NULL};
    place_start_broker(at, 1, limits); /* one worker: who holds it holds everybody */
    sluice_session *guilty = place_open(at->endpoint, "guilty");
    sluice_session *innocent = place_open(at->endpoint, "innocent");
    place_tally_init(&tally, HUNG_OPENS);
    uint64_t since_ns = place_now_ns();
    for (unsigned i = 0; i < HUNG_OPENS; i++) {
        (void)snprintf(address[i], sizeof(address[i]), "pipe:%s/%u", folder, i);
        EXPECT((i % 2 == 0 ? sluice_connect_start(guilty, address[i], TIMEOUT_NS, place_count,
                                                  &tally, NULL)
                           : sluice_listen_start(guilty, address[i], 0, TIMEOUT_NS, place_count,
                                                 &tally, NULL)) == SLUICE_OK);
    }
    open_everything(innocent, 0);
    open_everything(guilty, 1);
    expect_given_up(innocent, &tally, since_ns);
    open_everything(innocent, 2);
    EXPECT(sluice_session_close(guilty) == SLUICE_OK);
    EXPECT(sluice_session_close(innocent) == SLUICE_OK);
    place_tally_deinit(&tally);
    if (IS_SANITIZED) { /* which stops every thread at the end: it waits for those */
        unmount_hung(fuse, folder);
    }
    stop_broker(at, !IS_SANITIZED);
    if (!IS_SANITIZED) {
        unmount_hung(fuse, folder);
    }
}

/* Its endpoint's folder falls silent under it: it ends in time all the same, asked to or because
 * its client (0 = it has none) is gone, and says what it leaves behind. */
static void end_in_silence(place *at, pid_t client) {
    char folder[PATH_SIZE];
    char lock[PLACE_ENDPOINT_BYTES + sizeof(".lock")];
    const char *limits[] = {"drain_grace=0", NULL};
    (void)snprintf(folder, sizeof(folder), "/tmp/sluice-silent-XXXXXX");
    EXPECT(mkdtemp(folder) != NULL);
    (void)snprintf(at->endpoint, sizeof(at->endpoint), "%s/broker", folder);
    (void)snprintf(lock, sizeof(lock), "%s.lock", at->endpoint);
    place_start_broker(at, 1, limits);
    int fuse = mount_over(folder);
    EXPECT(fuse >= 0);
    uint64_t since_ns = place_now_ns();
    EXPECT(client != 0 ? kill(client, SIGKILL) == 0 : process_interrupt(&at->broker));
    (void)process_until(&at->broker, SILENT_TEXT);
    if (IS_SANITIZED) { /* which stops every thread at the end: it waits for that one, too */
        EXPECT(close(fuse) == 0);
    }
    EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS));
    uint64_t took_ns = place_now_ns() - since_ns;
    printf("%s: stopped after %.0f ms with exit code %d\n",
           client != 0 ? "its client is gone" : "asked to", (double)took_ns / 1e6,
           at->broker.exit_code);
    EXPECT(at->broker.exit_code == 0 && took_ns <= SILENT_NS);
    (void)process_until(&at->broker, " stopped"); /* its last line may be read after its end */
    EXPECT(process_has_said(&at->broker, " error ") == NULL);
    process_deinit(&at->broker);
    EXPECT(IS_SANITIZED || close(fuse) == 0);
    EXPECT(umount2(folder, MNT_DETACH) == 0);
    EXPECT(unlink(at->endpoint) == 0 && unlink(lock) == 0 && rmdir(folder) == 0);
}

void case_hung_endpoint(place *at) {
    char folder[PATH_SIZE];
    char client_id[16];
    take_namespaces(CLONE_NEWNS);
    unmount_hung(mount_hung(folder), folder); /* can it be had here? */
    end_in_silence(at, 0);
    pid_t client = fork();
    if (client == 0) {
        (void)pause();
        _exit(0);
    }
    (void)snprintf(client_id, sizeof(client_id), "%d", (int)client);
    at->private_for = client_id;
    end_in_silence(at, client);
    EXPECT(waitpid(client, NULL, 0) == client);
    at->private_for = NULL;
}

/* ---- a start on a file system that does not answer ---- */

#define START_MIN_NS (10 * SL_NS_PER_S) /* STARTUP_WATCH_FILE_NS */
#define START_MAX_NS ((13 + SLEEP_S) * SL_NS_PER_S)

typedef struct silent_start {
    const char *what; /* as the broker calls it */
    char path[2 * PATH_SIZE];
    process broker;
} silent_start;

static void expect_silent_start(silent_start *s, uint64_t since_ns) {
    char line[4 * PATH_SIZE];
    (void)snprintf(line, sizeof(line),
                   "sluiced: cannot start: no answer from the system within 10 s about %s %s",
                   s->what, s->path);
    (void)process_until(&s->broker, line);
    EXPECT(process_wait(&s->broker, PROCESS_PATIENCE_NS));
    uint64_t took_ns = place_now_ns() - since_ns;
    printf("%s: exit code %d after %.0f ms\n", s->what, s->broker.exit_code, (double)took_ns / 1e6);
    EXPECT(s->broker.exit_code == 1 && took_ns >= START_MIN_NS && took_ns <= START_MAX_NS);
    process_deinit(&s->broker);
}

void case_hung_start(place *at) {
    char folder[PATH_SIZE];
    static silent_start starts[] = {
        {.what = "the endpoint"}, {.what = "the configuration file"}, {.what = "the log file"}};
    static const char *const words[] = {"--endpoint", "--config", "--log-file"};
    take_namespaces(CLONE_NEWNS);
    int fuse = mount_hung(folder);
    uint64_t since_ns = place_now_ns();
    for (unsigned i = 0; i < SL_ARRAY_COUNT(starts); i++) {
        silent_start *s = &starts[i];
        (void)snprintf(s->path, sizeof(s->path), "%s/%u", folder, i);
        const char *all[] = {at->sluiced,  "run",        words[i], s->path,
                             "--endpoint", at->endpoint, NULL};
        all[4] = i == 0 ? NULL : all[4]; /* it has been said */
        process_start(&s->broker, all);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(starts); i++) {
        expect_silent_start(&starts[i], since_ns);
    }
    unmount_hung(fuse, folder);
}

/* A private broker is gone with its session, whatever its look-ups do. */
static void close_private(place *at) {
    sluice_open_options options = {
        .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = at->sluiced};
    sluice_session *session = NULL;
    place_tally tally;
    EXPECT(sluice_open(&options, &session) == SLUICE_OK);
    place_tally_init(&tally, HUNG_OPENS);
    for (unsigned i = 0; i < HUNG_OPENS; i++) {
        EXPECT(sluice_connect_start(session, "tcp:private.example:80", SLUICE_NO_TIMEOUT,
                                    place_count, &tally, NULL) == SLUICE_OK);
    }
    EXPECT(sluice_ping(session, PLACE_LONG_NS, NULL) == SLUICE_OK); /* the broker has them */
    uint64_t since_ns = place_now_ns();
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    uint64_t took_ns = place_now_ns() - since_ns;
    printf("a session with %u look-ups under way closed in %.0f ms\n", HUNG_OPENS,
           (double)took_ns / 1e6);
    EXPECT(took_ns <= CLOSE_NS);
    place_tally_deinit(&tally);
}

void case_silent_names(place *at) {
    char file[PATH_SIZE];
    place_tally tally;
    take_namespaces(CLONE_NEWNS | CLONE_NEWNET);
    int server = silence_names(file);
    const char *limits[] = {"drain_grace=0", NULL};
    place_start_broker(at, 1, limits);
    sluice_session *guilty = place_open(at->endpoint, "guilty");
    sluice_session *innocent = place_open(at->endpoint, "innocent");
    place_tally_init(&tally, HUNG_OPENS);
    uint64_t since_ns = place_now_ns();
    for (unsigned i = 0; i < HUNG_OPENS; i++) {
        char address[PATH_SIZE];
        (void)snprintf(address, sizeof(address), "tcp:silent%u.example:80", i);
        EXPECT((i % 2 == 0
                    ? sluice_connect_start(guilty, address, TIMEOUT_NS, place_count, &tally, NULL)
                    : sluice_listen_start(guilty, address, 0, TIMEOUT_NS, place_count, &tally,
                                          NULL)) == SLUICE_OK);
    }
    open_everything(innocent, 0);
    open_everything(guilty, 1);
    expect_given_up(innocent, &tally, since_ns);
    await_question(server, file);
    open_everything(guilty, 2);
    sluice_operation *operation = NULL;
    place_tally cancelled;
    place_tally_init(&cancelled, 1);
    EXPECT(sluice_listen_start(guilty, "tcp:late.example:0", 0, SLUICE_NO_TIMEOUT, place_count,
                               &cancelled, &operation) == SLUICE_OK);
    since_ns = place_now_ns();
    sluice_cancel(operation);
    EXPECT(place_tally_wait(&cancelled, PLACE_LONG_NS));
    expect_quick("a cancel", SLUICE_OK, since_ns);
    EXPECT(place_tally_get(&cancelled, SLUICE_ECANCELED) == 1);
    sluice_release(operation);
    EXPECT(sluice_session_close(guilty) == SLUICE_OK);
    EXPECT(sluice_session_close(innocent) == SLUICE_OK);
    place_tally_deinit(&tally);
    place_tally_deinit(&cancelled);
    close_private(at);
    stop_broker(at, true);
    EXPECT(close(server) == 0);
    EXPECT(umount2(RESOLV_CONF, MNT_DETACH) == 0 && unlink(file) == 0);
}
