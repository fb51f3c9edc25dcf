/*
 * returns_test.c - provokes every row of the table of what each call can return (returns.c), and
 * looks at what the last error says of it.
 *
 * What only a broker or another state of the system can bring about, the fake broker answers. The
 * session's insides are bent where the real thing takes too long: 131,072 callbacks that have not
 * run, a fork, memory that has run out.
 */
#include "client/session.h"
#include "tests/client/returns.h"
#include "tests/client/rig.h"

#include <stdio.h>

#define GONE_NS     (1 * SL_NS_PER_S) /* for attempts to connect again */
#define RETRIES_MAX 20

static const client_call asking[] = {
    CLIENT_CALL_pair,       CLIENT_CALL_listen,        CLIENT_CALL_accept,
    CLIENT_CALL_connect,    CLIENT_CALL_read,          CLIENT_CALL_write,
    CLIENT_CALL_half_close, CLIENT_CALL_close,         CLIENT_CALL_acknowledge_torn,
    CLIENT_CALL_ping,       CLIENT_CALL_broker_status, CLIENT_CALL_ops,
};
#define ASKING SL_ARRAY_COUNT(asking)
#define TWINS  10u /* the first of them have one */

/* What a call is given. */
typedef struct subject {
    sluice_session *session;
    sluice_handle reader;
    sluice_handle writer;
    uint64_t timeout_ns;
} subject;

static uint8_t bytes[16];

static int32_t invoke(const subject *s, client_call call) {
    sluice_session *session = s->session;
    sluice_result r = {.size = sizeof(r)};
    sluice_broker_info info = {.size = sizeof(info)};
    sluice_ops_row rows[2];
    uint32_t count;
    uint64_t cursor;
    char text[544];
    switch (call) {
    case CLIENT_CALL_pair: return sluice_pair(session, s->timeout_ns, &r);
    case CLIENT_CALL_listen: return sluice_listen(session, "tcp:127.0.0.1:0", 0, s->timeout_ns, &r);
    case CLIENT_CALL_accept: return sluice_accept(session, s->reader, s->timeout_ns, &r);
    case CLIENT_CALL_connect: return sluice_connect(session, "tcp:127.0.0.1:1", s->timeout_ns, &r);
    case CLIENT_CALL_read: return sluice_read(session, s->reader, bytes, 4, 0, s->timeout_ns, NULL);
    case CLIENT_CALL_write: return sluice_write(session, s->writer, "x", 1, s->timeout_ns, NULL);
    case CLIENT_CALL_half_close: return sluice_half_close(session, s->writer, s->timeout_ns, NULL);
    case CLIENT_CALL_close: return sluice_close(session, s->writer, s->timeout_ns, NULL);
    case CLIENT_CALL_acknowledge_torn:
        return sluice_acknowledge_torn(session, s->writer, s->timeout_ns, NULL);
    case CLIENT_CALL_ping: return sluice_ping(session, s->timeout_ns, NULL);
    case CLIENT_CALL_broker_status: return sluice_broker_status(session, s->timeout_ns, &info);
    case CLIENT_CALL_local_address:
        return sluice_local_address(session, s->reader, text, sizeof(text));
    default: return sluice_ops(session, NULL, s->timeout_ns, rows, 2, &count, &cursor);
    }
}

static int32_t begin(const subject *s, client_call call, sluice_callback on_done, void *user) {
    sluice_session *session = s->session;
    uint64_t t = s->timeout_ns;
    switch (call) {
    case CLIENT_CALL_pair: return sluice_pair_start(session, t, on_done, user, NULL);
    case CLIENT_CALL_listen:
        return sluice_listen_start(session, "tcp:127.0.0.1:0", 0, t, on_done, user, NULL);
    case CLIENT_CALL_accept: return sluice_accept_start(session, s->reader, t, on_done, user, NULL);
    case CLIENT_CALL_connect:
        return sluice_connect_start(session, "tcp:127.0.0.1:1", t, on_done, user, NULL);
    case CLIENT_CALL_read:
        return sluice_read_start(session, s->reader, bytes, 4, 0, t, on_done, user, NULL);
    case CLIENT_CALL_write:
        return sluice_write_start(session, s->writer, "x", 1, t, on_done, user, NULL);
    case CLIENT_CALL_half_close:
        return sluice_half_close_start(session, s->writer, t, on_done, user, NULL);
    case CLIENT_CALL_close: return sluice_close_start(session, s->writer, t, on_done, user, NULL);
    case CLIENT_CALL_acknowledge_torn:
        return sluice_acknowledge_torn_start(session, s->writer, t, on_done, user, NULL);
    default: return sluice_ping_start(session, t, on_done, user, NULL);
    }
}

static subject subject_of(rig *r) {
    sluice_handle ends[2];
    rig_pair(r, ends);
    return (subject){r->session, ends[0], ends[1], RIG_LONG_NS};
}

/* The thread's last error is this one, and says what is wrong. */
static void expect_told(int32_t returned, int32_t status) {
    const sluice_error *error = sluice_last_error();
    assert_int_equal(returned, status);
    assert_int_equal(error->status, status);
    assert_int_equal(error->size, sizeof(*error));
    if (error->detail[0] == '\0') {
        fail_msg("%s without a word", sl_status_name(status));
    }
}

static void expect_each(const subject *s, int32_t status) {
    for (size_t i = 0; i < ASKING; i++) {
        expect_told(invoke(s, asking[i]), status);
    }
    expect_told(invoke(s, CLIENT_CALL_local_address), status);
}

static void expect_each_start(const subject *s, sluice_callback on_done, int32_t status) {
    for (size_t i = 0; i < TWINS; i++) {
        expect_told(begin(s, asking[i], on_done, NULL), status);
    }
}

/* ---- what the library finds ------------------------------------------------------------------ */

static void test_arguments(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    subject none = {.timeout_ns = RIG_LONG_NS};
    sluice_result small = {.size = 4};
    char name[SL_ADDRESS_BYTES + 2];
    char text[8];
    uint32_t size = 2 * (uint32_t)SL_MIB;
    expect_each(&none, SLUICE_EINVAL);
    expect_each_start(&none, rig_count, SLUICE_EINVAL);
    expect_each_start(&s, NULL, SLUICE_EINVAL);
    expect_told(sluice_ping(r->session, 1, &small), SLUICE_EINVAL);
    expect_told(sluice_pair(r->session, 1, NULL), SLUICE_EINVAL);
    expect_told(sluice_session_get_info(r->session, NULL), SLUICE_EINVAL);
    expect_told(sluice_waitable(NULL, NULL), SLUICE_EINVAL);
    expect_told(sluice_dispatch(NULL, 0, NULL), SLUICE_EINVAL);
    expect_told(sluice_cancel(NULL), SLUICE_EINVAL);
    expect_told(sluice_open(NULL, NULL), SLUICE_EINVAL);
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    expect_told(sluice_connect_start(r->session, name, 1, rig_count, NULL, NULL),
                SLUICE_ENAMETOOLONG);
    expect_told(sluice_listen_start(r->session, name, 0, 1, rig_count, NULL, NULL),
                SLUICE_ENAMETOOLONG);
    expect_told(sluice_read_start(r->session, s.reader, bytes, size, SLUICE_READ_ALL, 1, rig_count,
                                  NULL, NULL),
                SLUICE_ETOOLARGE);
    expect_told(sluice_write_start(r->session, s.writer, bytes, size, 1, rig_count, NULL, NULL),
                SLUICE_ETOOLARGE);
    expect_told(sluice_read(r->session, s.reader, bytes, size, SLUICE_READ_ALL, 1, NULL),
                SLUICE_ETOOLARGE);
    expect_told(sluice_write(r->session, s.writer, bytes, size, 1, NULL), SLUICE_ETOOLARGE);
    expect_told(sluice_local_address(r->session, s.reader, text, sizeof(text)), SLUICE_ENOTSUP);
}

/* What they say, word for word: the argument, what was wrong, and what is right. */
static void test_words(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    sluice_result result = {.size = sizeof(result)};
    sluice_ops_row rows[1];
    uint32_t count;
    uint64_t cursor;
#define SAYS(call, text) \
    do { \
        assert_true((call) < 0); \
        assert_string_equal(sluice_last_error()->detail, text); \
    } while (0)
    SAYS(sluice_read(r->session, s.reader, NULL, 5, 0, 1, &result),
         "buffer: is NULL, and length is not 0 (5)");
    assert_string_equal(result.detail, "buffer: is NULL, and length is not 0 (5)");
    SAYS(sluice_write_start(r->session, s.writer, NULL, 5, 1, rig_count, NULL, NULL),
         "bytes: is NULL, and length is not 0 (5)");
    SAYS(sluice_read_start(r->session, s.reader, bytes, 5, 6, 1, rig_count, NULL, NULL),
         "flags: there is none but SLUICE_READ_ALL, which is 1 (6)");
    SAYS(sluice_write(r->session, s.writer, bytes, 1048577, 1, NULL),
         "length: 1048577 is out of range: 0 to 1048576");
    SAYS(sluice_connect(r->session, NULL, 1, &result),
         "address: is NULL; give \"pipe:NAME\" or \"tcp:HOST:PORT\"");
    SAYS(sluice_connect(r->session, "", 1, &result),
         "address: is empty; give \"pipe:NAME\" or \"tcp:HOST:PORT\"");
    SAYS(sluice_ping_start(r->session, 1, NULL, NULL, NULL),
         "on_done: is NULL; a started call says by it that it has ended");
    SAYS(sluice_ping(r->session, 0, &result),
         "timeout_ns: 0 has passed already; SLUICE_NO_TIMEOUT is none");
    SAYS(sluice_close(r->session, 12345, 1, &result),
         "handle: 12345 is not one that this session has open");
    SAYS(sluice_ops(r->session, NULL, 1, rows, 0, &count, &cursor),
         "capacity: is 0; a page has room for 1 row at least");
    SAYS(sluice_ops(r->session, NULL, 1, rows, 1, NULL, &cursor), "ret_count: is NULL");
    SAYS(sluice_close(r->session, s.reader, 0, &result),
         "timeout_ns: 0 has passed already; the close goes on by itself");
    result.size = 4;
    SAYS(sluice_pair(r->session, 1, &result),
         "ret_result->size: is 4, must be sizeof(sluice_result), 256");
    /* A success leaves it alone. */
    assert_int_equal(sluice_ping(r->session, RIG_LONG_NS, NULL), SLUICE_OK);
    assert_int_equal(sluice_last_error()->status, SLUICE_EINVAL);
}

typedef struct other_thread {
    sluice_error first;
    sluice_error then;
} other_thread;

static void fail_elsewhere(void *context) {
    other_thread *other = context;
    other->first = *sluice_last_error();
    (void)sluice_cancel(NULL);
    other->then = *sluice_last_error();
}

static void test_each_thread(void **state) {
    (void)state;
    other_thread other;
    sl_thread thread;
    assert_int_equal(sluice_dispatch(NULL, 0, NULL), SLUICE_EINVAL);
    const sluice_error *mine = sluice_last_error();
    assert_int_equal(sl_thread_start(&thread, "other", fail_elsewhere, &other), 0);
    sl_thread_join(&thread);
    assert_int_equal(other.first.status, SLUICE_OK);
    assert_string_equal(other.then.detail, "operation: is NULL");
    assert_string_equal(mine->detail, "session: is NULL");
}

static void test_handles(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    subject strange = {r->session, 12345, 12345, RIG_LONG_NS};
    const client_call calls[] = {CLIENT_CALL_accept,       CLIENT_CALL_read,
                                 CLIENT_CALL_write,        CLIENT_CALL_half_close,
                                 CLIENT_CALL_close,        CLIENT_CALL_acknowledge_torn,
                                 CLIENT_CALL_local_address};
    sluice_session_info info = {.size = sizeof(info)};
    for (size_t i = 0; i < SL_ARRAY_COUNT(calls); i++) {
        expect_told(invoke(&strange, calls[i]), SLUICE_EBADHANDLE);
    }
    fake_kill(&r->fake);
    do {
        assert_int_equal(sluice_session_get_info(r->session, &info), SLUICE_OK);
    } while (info.status == SLUICE_OK);
    for (size_t i = 0; i < SL_ARRAY_COUNT(calls); i++) {
        expect_told(invoke(&s, calls[i]), SLUICE_ESTALE);
    }
}

static void test_forked(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    sluice_operation *operation;
    rig_tally tally;
    uint64_t waitable;
    sluice_session_info info = {.size = sizeof(info)};
    memset(&tally, 0, sizeof(tally));
    assert_int_equal(sluice_ping_start(r->session, RIG_LONG_NS, rig_count, &tally, &operation), 0);
    assert_true(rig_wait(&tally, 1));
    r->session->fork_generation++; /* as in a child */
    expect_each(&s, SLUICE_EFORKED);
    expect_each_start(&s, rig_count, SLUICE_EFORKED);
    expect_told(sluice_session_close(r->session), SLUICE_EFORKED);
    expect_told(sluice_session_get_info(r->session, &info), SLUICE_EFORKED);
    expect_told(sluice_cancel(operation), SLUICE_EFORKED);
    expect_told(sluice_waitable(r->session, &waitable), SLUICE_EFORKED);
    expect_told(sluice_dispatch(r->session, 0, NULL), SLUICE_EFORKED);
    r->session->fork_generation--;
    sluice_release(operation);
}

/* Operations that are kept would need no memory. */
static void test_memory(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    sluice_session *session = r->session;
    client_operation *kept = session->pool;
    uint32_t kept_count = session->pool_count;
    session->pool = NULL;
    session->pool_count = 0;
    r->memory.fail_at = 1;
    r->memory.from_then_on = true;
    expect_each(&s, SLUICE_ENOMEM);
    expect_each_start(&s, rig_count, SLUICE_ENOMEM);
    r->memory.fail_at = 0;
    session->pool = kept;
    session->pool_count = kept_count;
    sl_alloc_failpoint memory;
    sl_alloc_failpoint_init(&memory, sl_allocator_system(), 1, true);
    client_tuning tuning = {.allocator = &memory.allocator, .backend = engine_backend_find(NULL)};
    expect_told(client_session_open(NULL, &tuning, &session), SLUICE_ENOMEM);
}

static void test_quota(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    sl_atomic_u64 *count = &r->session->delivery.undelivered_count;
    uint64_t before = atomic_fetch_add(count, CLIENT_UNDELIVERED_MAX);
    expect_each_start(&s, rig_count, SLUICE_EQUOTA);
    atomic_fetch_sub(count, CLIENT_UNDELIVERED_MAX);
    assert_int_equal(before, 0);
    s.timeout_ns = 10 * SL_NS_PER_MS;
    uint64_t used = atomic_fetch_add(&r->session->credit.operations_max, 0);
    atomic_store(&r->session->credit.operations_max, 0);
    expect_told(invoke(&s, CLIENT_CALL_read), SLUICE_EQUOTA);
    assert_string_equal(sluice_last_error()->detail,
                        "the session's limit credit_operations of 0 is reached");
    atomic_store(&r->session->credit.operations_max, used);
}

/* ---- in callbacks ---------------------------------------------------------------------------- */

static void call_inside(void *user, sluice_operation *operation, const sluice_result *result) {
    const subject *s = user;
    (void)operation;
    (void)result;
    sluice_session *another = NULL;
    expect_each(s, SLUICE_EDEADLK);
    expect_told(sluice_session_close(s->session), SLUICE_EDEADLK);
    expect_told(sluice_open(NULL, &another), SLUICE_EDEADLK);
}

static void test_inline(void **state) {
    rig *r = *state;
    rig_tally tally;
    rig_close(r);
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_INLINE), SLUICE_OK);
    subject s = subject_of(r);
    memset(&tally, 0, sizeof(tally));
    assert_int_equal(sluice_ping_start(s.session, RIG_LONG_NS, call_inside, &s, NULL), 0);
    assert_int_equal(sluice_ping_start(s.session, RIG_LONG_NS, rig_count, &tally, NULL), 0);
    assert_true(rig_wait(&tally, 1));
}

/* The session is being closed. */
static void call_late(void *user, sluice_operation *operation, const sluice_result *result) {
    const subject *s = user;
    (void)operation;
    assert_int_equal(result->status, SLUICE_ECANCELED);
    if (s != NULL && atomic_load(&s->session->is_closed)) {
        expect_each(s, SLUICE_ECLOSED);
        expect_each_start(s, rig_count, SLUICE_ECLOSED);
    }
}

static void test_closing(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    fake_set_mode(&r->fake, FAKE_SILENT);
    for (size_t i = 0; i < TWINS; i++) {
        assert_int_equal(begin(&s, asking[i], call_late, i == 0 ? &s : NULL), 0);
        if (asking[i] == CLIENT_CALL_close) {
            s.writer = s.reader; /* the next ones need one that is open */
        }
    }
    rig_close(r);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_THREAD), SLUICE_OK);
}

static void dispatch_inside(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)operation;
    (void)result;
    expect_told(sluice_dispatch(user, 0, NULL), SLUICE_EDEADLK);
}

static void test_dispatch(void **state) {
    rig *r = *state;
    uint32_t count = 0;
    uint64_t waitable;
    expect_told(sluice_waitable(r->session, &waitable), SLUICE_ENOTSUP);
    expect_told(sluice_dispatch(r->session, 0, NULL), SLUICE_ENOTSUP);
    rig_close(r);
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_POLL), SLUICE_OK);
    assert_int_equal(sluice_ping_start(r->session, RIG_LONG_NS, dispatch_inside, r->session, NULL),
                     0);
    while (count == 0) {
        assert_int_equal(sluice_dispatch(r->session, 0, &count), SLUICE_OK);
    }
    atomic_store(&r->session->delivery.is_dispatching, true); /* as another thread would */
    expect_told(sluice_dispatch(r->session, 0, NULL), SLUICE_EBUSY);
    expect_told(sluice_session_close(r->session), SLUICE_EBUSY);
    atomic_store(&r->session->delivery.is_dispatching, false);
}

/* ---- what happens to the connection ---------------------------------------------------------- */

typedef struct caller {
    sl_thread thread;
    subject s;
    client_call call;
    int32_t status;
    char detail[SLUICE_DETAIL_BYTES];
} caller;

static void run_caller(void *context) {
    caller *c = context;
    c->status = invoke(&c->s, c->call);
    (void)snprintf(c->detail, sizeof(c->detail), "%s", sluice_last_error()->detail);
}

typedef enum mishap { MISHAP_KILLED, MISHAP_SILENT, MISHAP_GARBAGE } mishap;

/* Every call at once, all of them with a broker that says nothing, and then that: one that comes
 * after it finds no broker, and is told something else. */
static void lose_all(rig *r, mishap how, int32_t status) {
    caller callers[ASKING];
    subject s = subject_of(r);
    subject other = subject_of(r);
    s.timeout_ns = other.timeout_ns = SLUICE_NO_TIMEOUT;
    fake_set_mode(&r->fake, FAKE_SILENT);
    uint64_t before = fake_count_calls(&r->fake);
    uint64_t pings = fake_count(&r->fake, SL_REQUEST_PING);
    for (size_t i = 0; i < ASKING; i++) {
        callers[i] = (caller){.s = asking[i] == CLIENT_CALL_close ? other : s, .call = asking[i]};
        assert_int_equal(sl_thread_start(&callers[i].thread, "caller", run_caller, &callers[i]), 0);
    }
    while (fake_count_calls(&r->fake) < before + ASKING - 1 ||
           fake_count(&r->fake, SL_REQUEST_PING) == pings) {
        sl_thread_yield();
    }
    if (how == MISHAP_KILLED) {
        fake_kill(&r->fake);
    } else if (how == MISHAP_GARBAGE) {
        fake_set_mode(&r->fake, FAKE_GARBAGE);
        assert_int_equal(sluice_write(r->session, other.reader, "x", 1, RIG_LONG_NS, NULL),
                         SLUICE_EPROTOCOL);
    }
    for (size_t i = 0; i < ASKING; i++) {
        sl_thread_join(&callers[i].thread);
        assert_int_equal(callers[i].status, status);
        /* Which broker it was; or, of one that talks nonsense, what. */
        assert_non_null(
            strstr(callers[i].detail, how == MISHAP_GARBAGE ? "frame" : r->fake.endpoint));
    }
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

static void test_killed(void **state) {
    lose_all(*state, MISHAP_KILLED, SLUICE_EBROKERLOST);
}

static void test_silent(void **state) {
    lose_all(*state, MISHAP_SILENT, SLUICE_EUNRESPONSIVE);
}

static void test_garbage(void **state) {
    lose_all(*state, MISHAP_GARBAGE, SLUICE_EPROTOCOL);
}

static void test_late(void **state) {
    rig *r = *state;
    subject s = subject_of(r);
    s.timeout_ns = 0;
    fake_set_mode(&r->fake, FAKE_SILENT);
    for (size_t i = 0; i < ASKING; i++) {
        if (asking[i] != CLIENT_CALL_close) {
            expect_told(invoke(&s, asking[i]), SLUICE_ETIMEDOUT);
        }
    }
    s.timeout_ns = 10 * SL_NS_PER_MS;
    assert_int_equal(invoke(&s, CLIENT_CALL_close), SLUICE_ETIMEDOUT);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

/* ---- what a broker answers ------------------------------------------------------------------- */

static void refuse(rig *r, client_call call, int status) {
    subject s = subject_of(r);
    /* So that a read need not wait. */
    assert_int_equal(sluice_write(r->session, s.writer, "byte", 4, RIG_LONG_NS, NULL), SLUICE_OK);
    atomic_store(&r->fake.refuse_status, (unsigned)-status);
    fake_set_mode(&r->fake, FAKE_REFUSE);
    expect_told(invoke(&s, call), status);
    assert_string_equal(sluice_last_error()->detail, FAKE_DETAIL);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

static void test_refused(void **state) {
    rig *r = *state;
    for (size_t i = 0; i < ASKING; i++) {
        for (unsigned row = 0; row < returns_row_count; row++) {
            const returns_row *each = &returns_rows[row];
            bool is_brokers = each->set == RETURNS_OWN || each->set == RETURNS_CREDIT ||
                              each->set == RETURNS_WORK;
            if (is_brokers && returns_has(asking[i], each)) {
                refuse(r, asking[i], each->status);
            }
        }
    }
}

static void refuse_open(rig *r, int status) {
    sluice_session *session;
    sluice_open_options options = {
        .size = sizeof(options), .mode = SLUICE_MODE_SERVICE, .endpoint = r->fake.endpoint};
    atomic_store(&r->fake.refuse_status, (unsigned)-status);
    fake_set_mode(&r->fake, FAKE_BAD_VERSION);
    expect_told(sluice_open(&options, &session), status);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

/* What a broker refuses without a word has one of the library's. */
static void test_wordless(void **state) {
    rig *r = *state;
    sluice_result result = {.size = sizeof(result)};
    const int statuses[] = {SLUICE_ERESET, SLUICE_EOSLIMIT, SLUICE_EOS, SLUICE_ENOMEM};
    const char *const texts[] = {sl_status_sentence(SLUICE_ERESET),
                                 "the system gives the broker no more descriptors, ports or "
                                 "buffers",
                                 "the system refused the broker; os_error says what",
                                 "the broker has no memory for it"};
    atomic_store(&r->fake.is_wordless, true);
    for (size_t i = 0; i < SL_ARRAY_COUNT(statuses); i++) {
        atomic_store(&r->fake.refuse_status, (unsigned)-statuses[i]);
        fake_set_mode(&r->fake, FAKE_REFUSE);
        assert_int_equal(sluice_connect(r->session, "tcp:127.0.0.1:1", RIG_LONG_NS, &result),
                         statuses[i]);
        assert_string_equal(result.detail, texts[i]);
        assert_string_equal(sluice_last_error()->detail, texts[i]);
        fake_set_mode(&r->fake, FAKE_NORMAL);
    }
    refuse_open(r, SLUICE_EVERSION);
    assert_string_equal(sluice_last_error()->detail + strlen(r->fake.endpoint),
                        ": client and broker have no version of the protocol in common");
    atomic_store(&r->fake.is_wordless, false);
}

/* The connection is lost, and the next one refused. */
static void refuse_again(rig *r, client_call call, int status) {
    subject s = {r->session, 0, 0, RIG_LONG_NS};
    sluice_session_info info = {.size = sizeof(info)};
    atomic_store(&r->fake.refuse_status, (unsigned)-status);
    fake_set_mode(&r->fake, FAKE_BAD_VERSION);
    fake_kill(&r->fake);
    do {
        assert_int_equal(sluice_session_get_info(r->session, &info), SLUICE_OK);
    } while (info.status == SLUICE_OK);
    /* Its thread waits for a call. */
    uint64_t *open_timeout_ns = &r->session->core.settings.open_timeout_ns;
    *open_timeout_ns = status == SLUICE_ENOBROKER ? GONE_NS : RIG_LONG_NS;
    int32_t got = invoke(&s, call);
    /* One that is not there is tried again until the time is over, be it while it greets. */
    for (int i = 0; i < RETRIES_MAX && status == SLUICE_ENOBROKER && got == SLUICE_EUNRESPONSIVE;
         i++) {
        got = invoke(&s, call);
    }
    expect_told(got, status);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    *open_timeout_ns = RIG_LONG_NS;
    assert_int_equal(invoke(&s, CLIENT_CALL_ping), SLUICE_OK);
}

static void test_refused_again(void **state) {
    rig *r = *state;
    for (unsigned row = 0; row < returns_row_count; row++) {
        if (returns_rows[row].set != RETURNS_OPENS) {
            continue;
        }
        for (size_t i = 0; i < ASKING; i++) {
            if (returns_has(asking[i], &returns_rows[row])) {
                refuse_again(r, asking[i], returns_rows[row].status);
            }
        }
        refuse_open(r, returns_rows[row].status);
    }
}

/* ---- and nothing else ------------------------------------------------------------------------ */

/* The last of the tests: each row was. */
static void test_all_seen(void **state) {
    unsigned missing = 0;
    (void)state;
    for (unsigned call = 0; call < CLIENT_CALL_COUNT; call++) {
        assert_non_null(returns_calls[call].name);
        for (unsigned i = 0; i < returns_row_count; i++) {
            const returns_row *row = &returns_rows[i];
            if (returns_has((client_call)call, row) && row->exception == NULL &&
                !returns_was_seen((client_call)call, row->status)) {
                print_message("%s never returned %s\n", returns_calls[call].name,
                              sl_status_name(row->status));
                missing++;
            }
        }
    }
    assert_int_equal(missing, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name)    cmocka_unit_test_setup_teardown(name, rig_setup_patient, rig_teardown)
#define SILENCE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        TEST(test_arguments),     TEST(test_words),    TEST(test_each_thread),
        TEST(test_handles),       TEST(test_forked),   TEST(test_memory),
        TEST(test_quota),         TEST(test_inline),   TEST(test_closing),
        TEST(test_dispatch),      TEST(test_killed),   SILENCE(test_silent),
        TEST(test_garbage),       TEST(test_late),     TEST(test_refused),
        TEST(test_refused_again), TEST(test_wordless), cmocka_unit_test(test_all_seen),
    };
    returns_watch();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
