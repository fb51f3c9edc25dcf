/*
 * marks_posix.c - peers that put marks into a stream (Linux): urgent data and descriptors sent
 * along.
 *
 * A recv(2) ends at such a mark although more is there, so a short read does not mean that the
 * stream was drained; an engine that believes it waits for an edge that never comes. And closing
 * a descriptor that a peer sent along can take as long as the peer likes, inside our recv.
 *
 * The engine runs on a thread of its own, as everywhere; the peer is this thread, with raw
 * sockets.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"
#include "engine/engine.h"
#include "tests/engine/listen_now.h"

#define AWAIT_NS (UINT64_C(20) * SL_NS_PER_S) /* for a completion that must come */

enum { BYTES_MAX = 16 };

/* The engine's side: accepts one connection and reads it to its end. */
typedef struct reader {
    bool is_tcp;
    char path[108];
    uint16_t port;
    sl_event listening;
    sl_event received_all; /* the bytes were read without the help of an end of file */
    size_t wanted;
    size_t count;
    unsigned char bytes[BYTES_MAX];
    const char *failure; /* NULL: none */
} reader;

static uint64_t after_ns(uint64_t delta_ns) {
    return sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), delta_ns);
}

static bool await(engine_worker *worker, engine_completion *ret) {
    return engine_poll(worker, ret, 1, after_ns(AWAIT_NS)) == 1;
}

static const char *read_stream(reader *self, engine_worker *worker, engine_handle *handle) {
    engine_completion completion;
    while (self->count < self->wanted) {
        (void)engine_read(handle, self->bytes + self->count, BYTES_MAX - self->count, NULL, NULL);
        if (!await(worker, &completion)) {
            return "a read never completed although its bytes are there";
        }
        if (completion.status != SLUICE_OK) {
            return sl_status_name(completion.status);
        }
        self->count += completion.bytes;
    }
    sl_event_set(&self->received_all);
    (void)engine_close(handle, NULL);
    return await(worker, &completion) ? NULL : "the connection did not close";
}

static const char *serve(reader *self, engine_worker *worker) {
    engine_address address;
    engine_handle *listener = NULL;
    engine_completion completion;
    if (self->is_tcp) {
        engine_address_loopback(&address, 0);
    } else {
        (void)engine_address_pipe(&address, self->path);
    }
    if (listen_now(worker, &address, 1, NULL, &listener) != SLUICE_OK) {
        return "cannot listen";
    }
    if (self->is_tcp) {
        (void)engine_handle_local_address(listener, &address);
        self->port = address.port;
    }
    sl_event_set(&self->listening);
    (void)engine_accept(listener, NULL, NULL);
    if (!await(worker, &completion) || completion.status != SLUICE_OK) {
        return "no connection";
    }
    const char *failure = read_stream(self, worker, completion.opened[0]);
    (void)engine_close(listener, NULL);
    return await(worker, &completion) ? failure : "the listener did not close";
}

static void run_reader(void *context) {
    reader *self = context;
    engine *e = NULL;
    engine_worker *worker = NULL;
    if (engine_create(engine_backend_find("epoll"), NULL, &e) != SLUICE_OK ||
        engine_worker_create(e, &worker) != SLUICE_OK) {
        self->failure = "cannot make an engine";
    } else {
        self->failure = serve(self, worker);
        if (self->failure == NULL && (engine_worker_destroy(worker) != SLUICE_OK ||
                                      engine_destroy(e, SL_NS_PER_S) != SLUICE_OK)) {
            self->failure = "something is left";
        }
    }
    sl_event_set(&self->listening); /* also when it failed */
    sl_event_set(&self->received_all);
}

/* ---- the peer -------------------------------------------------------------------------------- */

static int connect_to(const reader *self) {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } address;
    memset(&address, 0, sizeof(address));
    socklen_t length;
    if (self->is_tcp) {
        address.in.sin_family = AF_INET;
        address.in.sin_port = htons(self->port);
        address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        length = sizeof(address.in);
    } else {
        address.un.sun_family = AF_UNIX;
        strcpy(address.un.sun_path, self->path);
        length = sizeof(address.un);
    }
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &address.any, length), 0);
    return fd;
}

static void send_text(int fd, const char *text, int flags) {
    assert_int_equal(send(fd, text, strlen(text), flags | MSG_NOSIGNAL), strlen(text));
}

/* false: the kernel refused, because the receiver takes no descriptors. */
static bool send_descriptor(int fd, const char *text, int descriptor) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    memset(&control, 0, sizeof(control));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(descriptor));
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static void run_case(bool is_tcp, size_t wanted, void (*talk)(int fd)) {
    static reader self;
    char folder[] = "/tmp/sluice-marks-XXXXXX";
    sl_thread thread;
    memset(&self, 0, sizeof(self));
    assert_non_null(mkdtemp(folder));
    self.is_tcp = is_tcp;
    self.wanted = wanted;
    (void)snprintf(self.path, sizeof(self.path), "%s/s", folder);
    assert_int_equal(sl_event_init(&self.listening), SLUICE_OK);
    assert_int_equal(sl_event_init(&self.received_all), SLUICE_OK);
    assert_int_equal(sl_thread_start(&thread, "reader", run_reader, &self), SLUICE_OK);
    (void)sl_event_wait_until(&self.listening, SL_CLOCK_NEVER);
    assert_null(self.failure);
    int fd = connect_to(&self);
    talk(fd);
    /* Nothing more is sent, and the end only afterwards: no later edge helps the reader. */
    (void)sl_event_wait_until(&self.received_all, SL_CLOCK_NEVER);
    close(fd);
    sl_thread_join(&thread);
    sl_event_deinit(&self.received_all);
    sl_event_deinit(&self.listening);
    (void)rmdir(folder);
    if (self.failure != NULL) {
        fail_msg("%s (%zu of %zu bytes)", self.failure, self.count, self.wanted);
    }
}

static void talk_urgent(int fd) {
    send_text(fd, "abc", 0);
    send_text(fd, "X", MSG_OOB);
    send_text(fd, "def", 0);
}

static void tcp_urgent_data(void **state) {
    (void)state;
    run_case(true, 6, talk_urgent); /* the urgent byte itself is not in the stream (tcp(7)) */
}

static void unix_urgent_data(void **state) {
    (void)state;
    run_case(false, 6, talk_urgent);
}

static void talk_descriptor(int fd) {
    if (!send_descriptor(fd, "abc", fd)) {
        send_text(fd, "abc", 0);
    }
    send_text(fd, "def", 0);
}

static void unix_descriptor(void **state) {
    (void)state;
    run_case(false, 6, talk_descriptor);
}

static void talk_refused(int fd) {
    bool was_taken = send_descriptor(fd, "abc", fd);
    send_text(fd, "def", 0);
    assert_false(was_taken);
}

/* A descriptor whose closing waits would stop the worker that receives it. */
static void unix_descriptors_are_refused(void **state) {
    (void)state;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int off = 0;
    bool can_refuse = setsockopt(probe, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &off, sizeof(off)) == 0;
    close(probe);
    if (!can_refuse) {
        print_message("  skipped: this kernel (before 6.16) cannot refuse descriptors\n");
        skip();
    }
    run_case(false, 3, talk_refused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_urgent_data),
        cmocka_unit_test(unix_urgent_data),
        cmocka_unit_test(unix_descriptor),
        cmocka_unit_test(unix_descriptors_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
