/*
 * core.h - the client library without its threads: one connection, its handles, its operations.
 *
 * Everything here runs on one thread, the one of the engine worker that is injected, and moves only
 * by what happens: mail from other threads (engine_post), completions, and time. So the same code
 * runs on the simulated engine (invariant I10). No lock, no system call, no blocking but in
 * engine_poll.
 *
 *     mail -> core.c -> lane -> send.c -> link.c -> broker
 *     broker -> link.c -> receive.c -> core.c: finish -> on_finished
 *
 * Time: watch.c ends what takes too long, notices a silent broker. Connections: connect.c.
 * Handles and late data: handles.c.
 */
#ifndef SLUICE_CLIENT_CORE_H
#define SLUICE_CLIENT_CORE_H

#include "base/slots.h"
#include "client/link.h"
#include "client/operation.h"
#include "client/trust.h"

/* Completions that a poll takes at most. */
#define CLIENT_POLL_BATCH 64u

typedef enum client_phase {
    CLIENT_DOWN,      /* no connection, and nobody wants one */
    CLIENT_LAUNCHING, /* a private broker is being started */
    CLIENT_BACKOFF,   /* the next attempt comes at step_deadline_ns */
    CLIENT_CONNECTING,
    CLIENT_GREETING, /* Hello is sent */
    CLIENT_READY,
    CLIENT_STOPPED
} client_phase;

/* All are called on the core's thread, in the middle of its work: they may post, but not call
 * functions of the core. */
typedef struct client_hooks {
    void *user;
    /* The outcome is fixed; what the operation points at is its owner's again. A reference goes
     * along. */
    void (*on_finished)(void *user, client_operation *op);
    /* The wire has forgotten it: credit is free. Before on_finished, except when detached. */
    void (*on_retired)(void *user, client_operation *op);
    /* The core drops its reference: free it if that was the last. */
    void (*on_dropped)(void *user, client_operation *op);
    /* Start a private broker; say how that went by mail that calls client_core_launched. */
    void (*on_launch)(void *user);
    /* Has the private broker ended? Asked while it does not answer yet. */
    bool (*has_broker_ended)(void *user);
    /* There is a connection, or there is none any more (core->phase, core->down_status). */
    void (*on_connection)(void *user);
} client_hooks;

typedef struct client_settings {
    uint32_t mode;            /* SLUICE_MODE_* */
    const char *endpoint;     /* of the service; must outlive the core */
    bool endpoint_is_default; /* nobody has named it */
    const char *client_name;  /* must outlive the core */
    client_trust trust;       /* whose broker it may be */
    uint64_t process_id;
    uint64_t open_timeout_ns;
    uint64_t open_deadline_ns; /* of the first connection; 0 = by open_timeout_ns */
    uint64_t call_grace_ns;
    uint32_t credit_operations; /* wish; 0 = any */
    /* Which limit of this process it was for which the system refused something, if that can be
     * told: limit.h. NULL = it cannot. */
    bool (*explain_limit)(uint32_t os_error, char *ret_detail, size_t size);
    /* What the start of a private broker is at, or how that has ended. With the hooks' user; on the
     * core's thread. NULL = nobody knows. */
    void (*explain_start)(void *user, bool has_ended, sl_reason *ret_reason);
} client_settings;

struct client_core {
    client_hooks hooks;
    client_settings settings;
    engine_worker *worker;
    sl_clock *clock;
    sl_random *random;
    sl_account *account;
    sl_arena arena;
    uint64_t now_ns; /* of this round */

    client_phase phase;
    uint32_t mode;   /* PRIVATE or SERVICE; AUTO until known */
    int down_status; /* why there is no connection; OK while there is */
    uint32_t down_os_error;
    char down_detail[SLUICE_DETAIL_BYTES]; /* what is said about it */
    char endpoint[ENGINE_PIPE_NAME_BYTES]; /* of this or the next connection */
    uint64_t started;                      /* the private broker's process; 0: a service */
    client_link *link;                     /* the present one, or NULL */
    sl_list old_links;                     /* being closed */
    uint64_t phase_deadline_ns;            /* of who waits for a connection */
    uint64_t listen_deadline_ns; /* the broker is not waited for any longer; that or before */
    uint64_t step_deadline_ns;   /* of the present phase; that or before */
    uint64_t step_most_ns;       /* so long it may take */
    uint64_t lost_ns;            /* when the last connection was lost; 0 = never */
    uint32_t attempt_count;
    bool is_absent; /* since somebody wants a connection, nobody was there to give one */
    uint64_t connection_count;

    /* Of the present or last connection. */
    engine_identity server; /* whose broker it is */
    sl_hello_reply hello;   /* its texts are those below */
    char broker_version[SL_VERSION_BYTES + 1];
    char engine_name[SL_VERSION_BYTES + 1];

    sl_slots handles; /* client_entry */
    sl_list all;      /* operations that are not retired */
    sl_list waiting;  /* for a connection */
    sl_heap timers;
    client_mail *own_first; /* posted on this thread (client_core_submit_here), oldest first */
    client_mail *own_last;

    /* Lanes: link.h, send.c. */
    sl_list cancels;   /* by cancel_link: first of all */
    sl_list requests;  /* in the order in which they came */
    sl_list fragments; /* writes that have begun; round robin */
    sl_list pings;     /* the application's: one at a time is on the wire */
    bool fragment_is_due;
    bool ping_is_due;
    bool hello_is_due;

    /* Requests that the broker has not answered, by wire id. */
    client_operation **wire;
    uint32_t wire_size; /* a power of two */
    uint32_t wire_count;
    uint64_t next_wire_id;
    uint32_t credit_used; /* requests with credit */
    uint64_t credit_bytes_used;
    uint32_t close_count; /* unanswered */
    uint32_t operation_count;

    /* The watch. */
    client_operation *ping_operation; /* the application's ping that is unanswered */
    uint64_t ping_id;                 /* the unanswered ping of either kind; 0 = none */
    uint64_t quiet_since_ns;          /* the broker owes us a sign of life since then */
    uint64_t expected_wake_ns;
    uint32_t full_count; /* polls in a row that brought as much as they can */
    uint64_t settle_ns;  /* time does not count before: we were stopped ourselves */
};

/* The worker belongs to the calling thread. SLUICE_OK, ENOMEM. */
int client_core_init(client_core *core, engine_worker *worker, sl_clock *clock, sl_random *random,
                     sl_account *account, const client_settings *settings,
                     const client_hooks *hooks);

/* Polls once, at most until deadline_ns, and does all that is to do then. */
void client_core_run(client_core *core, uint64_t deadline_ns);
/* When it has something to do of its own accord: for who runs several in one thread. */
uint64_t client_core_deadline_ns(client_core *core);

/* Ends every operation (ECANCELED) and closes the connection. Operations that come later end with
 * ECLOSED. */
void client_core_stop(client_core *core);
/* After stop: nothing is with the engine any more. */
bool client_core_is_idle(const client_core *core);
/* When idle. */
void client_core_deinit(client_core *core);

/* Any thread. The operation holds a reference for the core. */
void client_core_submit(engine_worker *worker, client_operation *op);
/* The same on the core's own thread (an INLINE callback), where it needs no mailbox unless that
 * holds others' calls. */
void client_core_submit_here(client_core *core, client_operation *op);
/* Any thread, any number of times; takes a reference of its own. */
void client_core_cancel(engine_worker *worker, client_operation *op);
/* Any thread. */
void client_core_post(engine_worker *worker, client_mail *mail);

/* On the core's thread: how the launch went, which process it is and where it listens; or what is
 * said about its failure. */
void client_core_launched(client_core *core, int status, uint32_t os_error, uint64_t process_id,
                          const char *endpoint, const char *detail);

/* ---- between the parts ---- */

/* core.c. The wire does not know it any more, or never did. */
void client_core_retire(client_core *core, client_operation *op);
/* Finish and retire; the core's reference goes with the outcome. */
void client_core_end(client_core *core, client_operation *op, int status, uint32_t os_error);
/* What its failure, which is told next, has to say. Nothing happens to one that has been told. */
void client_core_explain(client_operation *op, const char *detail);
/* Finishes it although the broker has not answered, and asks the broker to end it. */
void client_core_detach(client_core *core, client_operation *op, int status);
/* A read that got bytes from elsewhere asks for too many: cancels it, to be sent again. */
void client_core_recall(client_core *core, client_operation *op);
/* It is answered, and not served: sends it again, for what is missing. */
void client_core_resend(client_core *core, client_operation *op);
/* Puts it in its lane, if its handle (if any) is good. */
void client_core_enqueue(client_core *core, client_operation *op);
/* Closes a handle of the broker's that nobody wants. SLUICE_OK, ENOMEM. */
int client_core_close_late(client_core *core, uint64_t broker_handle);

/* core.c: wire ids. */
void client_wire_add(client_core *core, client_operation *op);
client_operation *client_wire_find(const client_core *core, uint64_t id);
void client_wire_remove(client_core *core, client_operation *op);
int client_wire_resize(client_core *core, uint32_t operations);
uint64_t client_wire_next_id(client_core *core);

/* connect.c: somebody wants a connection. */
void client_connect_want(client_core *core);
/* What is said about the end of the connection, or of the attempt, that is told next. */
void client_connect_explain(client_core *core, const char *detail);
/* Why a call that waits for a connection has none yet. */
void client_connect_describe_wait(const client_core *core, sl_reason *ret_reason);
void client_connect_done(client_core *core, client_link *link, const engine_completion *completion);
void client_connect_greeted(client_core *core, const sl_response *response);
void client_connect_tick(client_core *core);
uint64_t client_connect_deadline_ns(const client_core *core);
/* We were stopped ourselves: the step under way has its time again. */
void client_connect_stopped(client_core *core);
/* The connection is over. Ends what is in flight with that status. */
void client_connect_lost(client_core *core, int status, uint32_t os_error);

/* send.c: puts frames into the link's buffer, as many as fit. Returns bytes. */
size_t client_send_fill(client_core *core, uint8_t *buffer, size_t size);

/* receive.c: one frame. SLUICE_OK, or the connection is to be given up with that status. */
int client_receive_frame(client_core *core, const sl_frame *frame);

/* watch.c: time. */
void client_watch_start(client_core *core, client_operation *op);
void client_watch_heard(client_core *core);
/* After each poll: have we been stopped? */
void client_watch_woken(client_core *core);
void client_watch_tick(client_core *core);
uint64_t client_watch_deadline_ns(const client_core *core);

#endif
