/*
 * sessions.c - what opening costs: sluice_open's time, and the memory of what is open and idle.
 *
 * Memory is the difference between two looks at a broker started for it, at what both processes
 * have in memory by the system's account, without the kernel's own for a pipe; and at the broker's
 * own books. It is measured before anything else: later what was freed would be used again.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/status.h"
#include "client/cli/bench/far.h"
#include "client/cli/os.h"

#define CALL_NS  (30 * SL_NS_PER_S)
#define SESSIONS 64u
#define PIPES    500u /* of two handles; with a read each they stay within the credit */

static int open_own(const char *broker_path, sluice_session **ret_session) {
    sluice_open_options options = {.size = sizeof(options)};
    options.mode = SLUICE_MODE_PRIVATE;
    options.broker_path = broker_path;
    options.client_name = "sluice bench";
    return sluice_open(&options, ret_session);
}

/* ---- time ---------------------------------------------------------------------------------- */

typedef struct opener {
    const bench_stage *stage;
    bool is_own;
} opener;

static int opener_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    opener *self = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*self));
    if (self == NULL) {
        return SLUICE_ENOMEM;
    }
    *self = (opener){stage, what->work == BENCH_OPEN_OWN};
    *ret_self = self;
    return SLUICE_OK;
}

static int opener_run(void *context, uint64_t units, sl_histogram *latency) {
    const opener *self = context;
    int status = SLUICE_OK;
    for (uint64_t i = 0; i < units && status == SLUICE_OK; i++) {
        sluice_session *session = NULL;
        uint64_t began_ns = sl_clock_now_ns(sl_clock_system());
        status = self->is_own
                     ? open_own(self->stage->broker_path, &session)
                     : bench_session_open(self->stage->endpoint, SLUICE_DELIVERY_THREAD, &session);
        sl_histogram_add(latency, sl_clock_now_ns(sl_clock_system()) - began_ns);
        (void)sluice_session_close(session);
    }
    return status;
}

static void opener_close(void *context) {
    sl_allocator_system()->release(sl_allocator_system(), context, sizeof(opener));
}

static uint64_t opener_partner(const void *context) {
    const opener *self = context;
    return self->is_own ? 0 : self->stage->broker_process;
}

const bench_way bench_sessions = {"sluice", opener_open, opener_run, opener_close, opener_partner};

/* ---- memory -------------------------------------------------------------------------------- */

static int take_look(sluice_session *holder, double ret_look[BENCH_OF], const char **ret_kind) {
    sluice_broker_info info = {.size = sizeof(info)};
    int status = sluice_broker_status(holder, CALL_NS, &info);
    ret_look[BENCH_OF_BROKER] = (double)bench_machine_memory(info.process_id, ret_kind);
    ret_look[BENCH_OF_CLIENT] = (double)bench_machine_memory(os_process_id(), ret_kind);
    ret_look[BENCH_OF_BOOKS] = (double)info.memory_bytes;
    return status;
}

static void on_read(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)user;
    (void)operation;
    (void)result; /* it ends with its session */
}

/* Each look is behind what the one before it did not have yet. */
static int take_looks(sluice_session *holder, const char *endpoint, sluice_session **sessions,
                      double looks[BENCH_PER + 1][BENCH_OF], const char **ret_kind) {
    static sluice_handle readers[PIPES];
    static char nothing[BENCH_BYTES];
    int status = take_look(holder, looks[0], ret_kind);
    for (unsigned i = 0; i < SESSIONS && status == SLUICE_OK; i++) {
        status = bench_session_open(endpoint, SLUICE_DELIVERY_INLINE, &sessions[i]);
    }
    status = status == SLUICE_OK ? take_look(holder, looks[1], ret_kind) : status;
    for (unsigned i = 0; i < PIPES && status == SLUICE_OK; i++) {
        sluice_result result = {.size = sizeof(result)};
        status = sluice_pair(sessions[0], CALL_NS, &result);
        readers[i] = result.handles[0];
    }
    status = status == SLUICE_OK ? take_look(holder, looks[2], ret_kind) : status;
    for (unsigned i = 0; i < PIPES && status == SLUICE_OK; i++) {
        status = sluice_read_start(sessions[0], readers[i], nothing, sizeof(nothing), 0,
                                   SLUICE_NO_TIMEOUT, on_read, NULL, NULL);
    }
    if (status == SLUICE_OK) { /* behind a ping on that session all reads are with the broker */
        status = sluice_ping(sessions[0], CALL_NS, NULL);
    }
    return status == SLUICE_OK ? take_look(holder, looks[3], ret_kind) : status;
}

void bench_measure_memory(const bench_stage *stage, bench_memory *ret_memory) {
    sluice_session *holder = NULL, *sessions[SESSIONS] = {NULL};
    sluice_session_info info = {.size = sizeof(info)};
    static const double counts[BENCH_PER] = {SESSIONS, 2 * PIPES, PIPES};
    double looks[BENCH_PER + 1][BENCH_OF];
    *ret_memory = (bench_memory){.status = open_own(stage->broker_path, &holder)};
    if (ret_memory->status == SLUICE_OK) {
        (void)sluice_session_get_info(holder, &info);
        ret_memory->status = take_looks(holder, info.endpoint, sessions, looks, &ret_memory->kind);
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        (void)sluice_session_close(sessions[i]);
    }
    (void)sluice_session_close(holder);
    for (unsigned per = 0; per < BENCH_PER && ret_memory->status == SLUICE_OK; per++) {
        for (unsigned of = 0; of < BENCH_OF; of++) {
            ret_memory->bytes[per][of] = (looks[per + 1][of] - looks[per][of]) / counts[per];
        }
    }
}
