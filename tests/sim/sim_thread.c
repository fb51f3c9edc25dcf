/*
 * sim_thread.c - simulated threads, and the kernel's rule about cancelling (engine_sim.h: THREADS).
 *
 * A thread is a number that the test says calls come from. A request belongs to the thread that
 * started it. To cancel it, the kernel runs a piece of code in that thread (a normal kernel APC)
 * and waits until it has run; a thread inside a synchronous call takes none. The cancelling
 * thread's own requests need no APC. Who waits is marked; what it waited for happens when the other
 * thread leaves its call. One real thread.
 */
#include <stdio.h>

#include "tests/sim/sim_world.h"

static sim_thread *thread_at(sim_world *world, uint32_t number) {
    SL_CHECK(number >= 1 && number <= world->thread_count, "a simulated thread was made");
    return &world->threads[number - 1];
}

uint32_t sim_thread_create(sim_world *world, const char *name) {
    SL_CHECK(world->thread_count < SIM_THREADS_MAX, "there is a limit to simulated threads");
    sim_thread *made = &world->threads[world->thread_count++];
    *made = (sim_thread){.name = name};
    return world->thread_count;
}

uint32_t sim_thread_enter(sim_world *world, uint32_t number) {
    uint32_t before = world->thread;
    SL_CHECK(number == 0 || !sim_thread_is_blocked(world, number), "who runs is not blocked");
    world->thread = number;
    return before;
}

bool sim_thread_is_blocked(sim_world *world, uint32_t number) {
    const sim_thread *thread = thread_at(world, number);
    return thread->call != NULL || thread->waits_for != 0;
}

/* Somebody broke the rule: one that our workers keep, and a mixed design does not. */
static void violation(sim_world *world, const char *what) {
    SL_CHECK(world->options.allows_mixing, what);
    world->counters.mixed_count++;
}

void sim_thread_check(sim_world *world, const engine_worker *base) {
    const sim_worker *worker = SL_CONTAINER_OF(base, const sim_worker, worker);
    if (worker->thread != world->thread) {
        violation(world, "a worker issues, cancels, completes and closes from its own thread");
    }
}

bool sim_thread_cancels(sim_world *world, sim_request *request) {
    uint32_t issuer = request->issuer;
    if (issuer == world->thread || issuer == 0 || world->thread == 0 ||
        thread_at(world, issuer)->call == NULL) {
        return true;
    }
    sim_thread *canceller = thread_at(world, world->thread);
    canceller->waits_for = issuer;
    canceller->cancels = request;
    canceller->cancels_id = request->request.id;
    return false;
}

void sim_sync_begin(sim_world *world, const char *call, uint32_t ender) {
    sim_thread *thread = thread_at(world, world->thread);
    for (sl_list *node = world->workers.next; node != &world->workers; node = node->next) {
        if (SL_LIST_ENTRY(node, sim_worker, link)->thread == world->thread) {
            violation(world, "a worker's thread does no synchronous I/O");
        }
    }
    thread->call = call;
    thread->ender = ender;
}

void sim_sync_end(sim_world *world, uint32_t number) {
    sim_thread *left = thread_at(world, number);
    SL_CHECK(left->call != NULL, "who leaves a synchronous call was in it");
    left->call = NULL;
    for (uint32_t i = 1; i <= world->thread_count; i++) {
        sim_thread *thread = thread_at(world, i);
        if (thread->waits_for == number) {
            thread->waits_for = 0;
            if (thread->cancels->request.state == ENGINE_REQUEST_STARTED &&
                thread->cancels->request.id == thread->cancels_id) {
                sim_schedule(world, &thread->cancels->abort, SIM_EVENT_ABORT);
            }
        }
    }
}

/* The thread that a thread waits for, and in which words; 0 = none. */
static uint32_t waits_for(sim_world *world, uint32_t number, char *text, size_t size) {
    const sim_thread *thread = thread_at(world, number);
    uint32_t other = thread->waits_for != 0 ? thread->waits_for : thread->ender;
    if ((thread->waits_for == 0 && thread->call == NULL) || other == 0) {
        return 0;
    }
    const char *who = thread_at(world, other)->name;
    if (thread->waits_for != 0) {
        (void)snprintf(text, size, "%s is in a cancel, which waits for %s to take an APC; ",
                       thread->name, who);
    } else {
        (void)snprintf(text, size, "%s is in %s and takes none until %s acts; ", thread->name,
                       thread->call, who);
    }
    return other;
}

bool sim_thread_circle(sim_world *world, char *text, size_t size) {
    for (uint32_t first = 1; first <= world->thread_count; first++) {
        size_t used = 0;
        uint32_t number = first;
        text[0] = '\0';
        for (uint32_t i = 0; i < world->thread_count && number != 0; i++) {
            number = waits_for(world, number, text + used, size - used);
            while (used < size - 1 && text[used] != '\0') {
                used++;
            }
            if (number == first) {
                (void)snprintf(text + used, size - used, "so nobody ever goes on");
                return true;
            }
        }
    }
    text[0] = '\0';
    return false;
}
