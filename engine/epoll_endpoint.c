/*
 * epoll_endpoint.c - one listening socket dealt out to several workers.
 *
 * Several workers that accept from one socket are not served evenly (400 of 400 connections went
 * to one of them), so each endpoint has one acceptor thread: it accepts, and deals the
 * descriptors out in turn, before any I/O on them, into small inboxes. An inbox is filled under
 * the endpoint's lock and emptied by its worker without any: taking a connection never waits for
 * another thread. A worker takes the lock only to join or leave; it is held for at most a few
 * dozen instructions and one eventfd write per listener, never over a call that can wait. Each
 * inbox has an eventfd that is registered with the worker like any descriptor, so a dealt
 * connection arrives as an edge and nothing is in flight that could outlive the listener.
 *
 * Lifetime: a member is its worker's from join to leave; one that left connections behind is the
 * acceptor's until they are dealt out. The endpoint outlives its members.
 */
#include <errno.h>
#include <sys/eventfd.h>

#include "engine/epoll.h"

#define CALLS engine_epoll_calls

/* ---- inboxes -------------------------------------------------------------------------------- */

struct engine_epoll_member {
    sl_list link; /* in endpoint->members or ->orphans, under its lock */
    engine_epoll_endpoint *endpoint;
    int event_fd;                /* the handle's fd: edge-triggered, never read */
    sl_atomic_bool is_signalled; /* an edge is on its way or was not followed to the end */
    sl_atomic_u32 dealt_count;   /* written under the lock */
    sl_atomic_u32 taken_count;   /* written by the worker */
    int held_fd;                 /* when it has left: the one its handle held; or -1 */
    int fds[ENGINE_EPOLL_INBOX]; /* [taken_count, dealt_count), modulo the size */
};

static void signal_fd(int event_fd) {
    const uint64_t one = 1;
    (void)!CALLS.write(event_fd, &one, sizeof(one));
}

static bool member_has_room(engine_epoll_member *member) {
    unsigned dealt = atomic_load_explicit(&member->dealt_count, memory_order_relaxed);
    return dealt - atomic_load(&member->taken_count) < ENGINE_EPOLL_INBOX;
}

/* Under the lock. Deals to the first member with room, which then goes to the end of the line. */
static bool deal(engine_epoll_endpoint *endpoint, int fd) {
    sl_list *node = endpoint->members.next;
    while (node != &endpoint->members) {
        engine_epoll_member *member = SL_LIST_ENTRY(node, engine_epoll_member, link);
        if (member_has_room(member)) {
            unsigned dealt = atomic_load_explicit(&member->dealt_count, memory_order_relaxed);
            member->fds[dealt % ENGINE_EPOLL_INBOX] = fd;
            atomic_store(&member->dealt_count, dealt + 1);
            if (!atomic_exchange(&member->is_signalled, true)) {
                signal_fd(member->event_fd);
            }
            sl_list_remove(&member->link);
            sl_list_push_back(&endpoint->members, &member->link);
            return true;
        }
        node = node->next;
    }
    return false;
}

/* The acceptor says that it waits for room, then looks again; we make room, then look whether it
 * waits. Both are sequentially consistent: one of the two sees the other. */
static void tell_room(engine_epoll_endpoint *endpoint) {
    if (atomic_load(&endpoint->wants_room) && atomic_exchange(&endpoint->wants_room, false)) {
        signal_fd(endpoint->wake_fd);
    }
}

static bool has_dealt(engine_epoll_member *member) {
    return member->held_fd >= 0 ||
           atomic_load(&member->dealt_count) !=
               atomic_load_explicit(&member->taken_count, memory_order_relaxed);
}

/* By the worker; after it has left, by the acceptor. */
static bool take_dealt(engine_epoll_member *member, int *ret_fd) {
    if (!has_dealt(member)) {
        return false;
    }
    if (member->held_fd >= 0) {
        *ret_fd = member->held_fd;
        member->held_fd = -1;
        return true;
    }
    unsigned taken = atomic_load_explicit(&member->taken_count, memory_order_relaxed);
    *ret_fd = member->fds[taken % ENGINE_EPOLL_INBOX];
    atomic_store(&member->taken_count, taken + 1);
    return true;
}

int engine_epoll_member_take(engine_epoll_member *member, int *ret_fd) {
    if (!has_dealt(member)) {
        /* From here on a dealt connection is signalled again. One that came just before was not. */
        (void)atomic_exchange(&member->is_signalled, false);
    }
    if (!take_dealt(member, ret_fd)) {
        return EAGAIN;
    }
    tell_room(member->endpoint);
    return 0;
}

/* ---- joining and leaving -------------------------------------------------------------------- */

static int register_member(engine_epoll_handle *self, engine_worker *worker) {
    int fd = CALLS.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    engine_epoll_handle_init(self, ENGINE_EPOLL_MEMBER, fd);
    int error = engine_epoll_register(engine_epoll_worker_of(worker), self, false);
    if (error != 0) {
        (void)CALLS.close(fd);
        self->fd = -1;
    }
    return error;
}

int engine_epoll_endpoint_join(engine_endpoint *base, engine_worker *worker,
                               engine_handle *handle) {
    engine_epoll_endpoint *endpoint = (engine_epoll_endpoint *)base;
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    engine_epoll_member *member =
        sl_account_alloc(&base->engine->account, sizeof(*member)); /* it may outlive the worker */
    if (member == NULL) {
        return SLUICE_ENOMEM;
    }
    int error = register_member(self, worker);
    if (error != 0) {
        sl_account_free(&base->engine->account, member, sizeof(*member));
        worker->os_error = (uint32_t)error;
        return engine_epoll_status(error);
    }
    sl_list_init(&member->link);
    member->endpoint = endpoint;
    member->event_fd = self->fd;
    member->held_fd = -1;
    self->member = member;
    engine_handle_opened(handle, ENGINE_CAN_ACCEPT, 1);
    sl_mutex_lock(&endpoint->lock);
    sl_list_push_back(&endpoint->members, &member->link);
    sl_mutex_unlock(&endpoint->lock);
    tell_room(endpoint);
    return SLUICE_OK;
}

static void close_dealt(engine_epoll_member *member) {
    int fd;
    while (take_dealt(member, &fd)) {
        (void)CALLS.close(fd);
    }
}

static void free_member(engine_epoll_member *member) {
    sl_account_free(&member->endpoint->endpoint.engine->account, member, sizeof(*member));
}

/*
 * Once off the list nothing is dealt to it any more. What it has is left to the acceptor,
 * together with the inbox, to be dealt again before anything new is accepted; so there are never
 * more orphans than the members had room for. When the last one leaves there is nobody to deal
 * to, and they are dropped.
 */
void engine_epoll_member_leave(engine_epoll_handle *self) {
    engine_epoll_member *member = self->member;
    engine_epoll_endpoint *endpoint = member->endpoint;
    member->held_fd = self->held_fd;
    self->held_fd = -1;
    sl_mutex_lock(&endpoint->lock);
    sl_list_remove(&member->link);
    bool is_orphaned = has_dealt(member) && !sl_list_is_empty(&endpoint->members);
    if (is_orphaned) {
        sl_list_push_back(&endpoint->orphans, &member->link);
    }
    sl_mutex_unlock(&endpoint->lock);
    if (is_orphaned) {
        signal_fd(endpoint->wake_fd);
    } else {
        close_dealt(member);
        free_member(member);
    }
}

/* ---- the acceptor --------------------------------------------------------------------------- */

static bool has_room(engine_epoll_endpoint *endpoint) {
    bool found = false;
    sl_mutex_lock(&endpoint->lock);
    sl_list *node = endpoint->members.next;
    while (node != &endpoint->members && !found) {
        found = member_has_room(SL_LIST_ENTRY(node, engine_epoll_member, link));
        node = node->next;
    }
    sl_mutex_unlock(&endpoint->lock);
    return found;
}

/* false: nobody has room, and whoever makes some will wake us. */
static bool find_room(engine_epoll_endpoint *endpoint) {
    if (has_room(endpoint)) {
        return true;
    }
    atomic_store(&endpoint->wants_room, true);
    if (!has_room(endpoint)) {
        return false;
    }
    atomic_store(&endpoint->wants_room, false);
    return true;
}

/* Takes the next connection that a member left behind. */
static void adopt_orphan(engine_epoll_endpoint *endpoint) {
    while (endpoint->held_fd < 0) {
        sl_mutex_lock(&endpoint->lock);
        sl_list *node = sl_list_first(&endpoint->orphans);
        engine_epoll_member *member =
            node != NULL ? SL_LIST_ENTRY(node, engine_epoll_member, link) : NULL;
        bool is_spent = member != NULL && !take_dealt(member, &endpoint->held_fd);
        if (is_spent) {
            sl_list_remove(&member->link);
        }
        sl_mutex_unlock(&endpoint->lock);
        if (!is_spent) {
            return;
        }
        free_member(member);
    }
}

/* Accepts and deals while it can. Returns how long to wait in ms, -1 = for an event. Without room
 * it leaves connections where they are: a full backlog is what tells clients to wait. */
static int accept_and_deal(engine_epoll_endpoint *endpoint) {
    while (!atomic_load(&endpoint->is_stopping)) {
        adopt_orphan(endpoint);
        if (endpoint->held_fd < 0 && !endpoint->may_accept) {
            return -1;
        }
        if (!find_room(endpoint)) {
            return -1;
        }
        if (endpoint->held_fd < 0) {
            int error = engine_epoll_accept_fd(endpoint->name.fd, &endpoint->held_fd);
            if (error == EAGAIN) {
                endpoint->may_accept = false;
                return -1;
            }
            if (error == EINTR) {
                continue;
            }
            if (error != 0) { /* no more descriptors, most likely; may_accept stays */
                return ENGINE_EPOLL_BACKOFF_MS;
            }
        }
        sl_mutex_lock(&endpoint->lock);
        bool is_dealt = deal(endpoint, endpoint->held_fd);
        sl_mutex_unlock(&endpoint->lock);
        if (is_dealt) {
            endpoint->held_fd = -1; /* else the one with room has left: look again */
        }
    }
    return 0;
}

static void run_acceptor(void *context) {
    engine_epoll_endpoint *endpoint = context;
    while (!atomic_load(&endpoint->is_stopping)) {
        struct epoll_event events[2];
        int wait_ms = accept_and_deal(endpoint);
        int count = CALLS.epoll_wait(endpoint->epoll_fd, events, 2, wait_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == endpoint->name.fd) {
                endpoint->may_accept = true;
            }
        }
    }
}

static int watch(engine_epoll_endpoint *endpoint, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    return CALLS.epoll_ctl(endpoint->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

/* The acceptor's descriptors. 0 or errno, with nothing left open. */
static int open_acceptor(engine_epoll_endpoint *endpoint) {
    endpoint->epoll_fd = CALLS.epoll_create1(EPOLL_CLOEXEC);
    if (endpoint->epoll_fd < 0) {
        return errno;
    }
    endpoint->wake_fd = CALLS.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (endpoint->wake_fd < 0) {
        int error = errno;
        (void)CALLS.close(endpoint->epoll_fd);
        return error;
    }
    int error = watch(endpoint, endpoint->wake_fd);
    if (error == 0) {
        error = watch(endpoint, endpoint->name.fd);
    }
    if (error != 0) {
        (void)CALLS.close(endpoint->wake_fd);
        (void)CALLS.close(endpoint->epoll_fd);
    }
    return error;
}

static void close_acceptor(engine_epoll_endpoint *endpoint) {
    (void)CALLS.close(endpoint->wake_fd);
    (void)CALLS.close(endpoint->epoll_fd);
}

int engine_epoll_endpoint_create(engine_endpoint *base, const engine_listen_options *options,
                                 const char **ret_detail) {
    engine_epoll_endpoint *endpoint = (engine_epoll_endpoint *)base;
    static const engine_behalf own;
    int error;
    int status = engine_epoll_name_init(&endpoint->name, &base->address, options);
    if (status == SLUICE_OK) {
        status = engine_epoll_name_take(&endpoint->name, &own, ret_detail, &error);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    error = open_acceptor(endpoint);
    if (error != 0) {
        engine_epoll_name_drop(&endpoint->name);
        return engine_epoll_status(error);
    }
    sl_mutex_init(&endpoint->lock);
    sl_list_init(&endpoint->members);
    sl_list_init(&endpoint->orphans);
    endpoint->may_accept = false;
    endpoint->held_fd = -1;
    status = sl_thread_start(&endpoint->thread, "sluice-acceptor", run_acceptor, endpoint);
    if (status != SLUICE_OK) {
        sl_mutex_deinit(&endpoint->lock);
        close_acceptor(endpoint);
        engine_epoll_name_drop(&endpoint->name);
    }
    return status;
}

/* The acceptor waits only in epoll_wait, so joining it is prompt. */
void engine_epoll_endpoint_destroy(engine_endpoint *base) {
    engine_epoll_endpoint *endpoint = (engine_epoll_endpoint *)base;
    atomic_store(&endpoint->is_stopping, true);
    signal_fd(endpoint->wake_fd);
    sl_thread_join(&endpoint->thread);
    SL_CHECK(sl_list_is_empty(&endpoint->members), "an endpoint outlives its listeners");
    if (endpoint->held_fd >= 0) {
        (void)CALLS.close(endpoint->held_fd);
    }
    sl_list *node;
    while ((node = sl_list_pop_front(&endpoint->orphans)) != NULL) {
        engine_epoll_member *member = SL_LIST_ENTRY(node, engine_epoll_member, link);
        close_dealt(member);
        free_member(member);
    }
    close_acceptor(endpoint);
    sl_mutex_deinit(&endpoint->lock);
    engine_epoll_name_drop(&endpoint->name);
}
