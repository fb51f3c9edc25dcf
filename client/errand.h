/*
 * errand.h - work that may block without limit, on a thread that can be spared: a program is
 * started (exec waits for a virus scanner), a path is looked at (a dead network file system).
 *
 * Whoever sends an errand may leave it. Then it belongs to its thread, which disposes of what comes
 * of it when it comes back, if ever. So a call is bounded, whatever the system does. Errands that
 * were left are counted; over CLIENT_ERRANDS_LEFT_MAX in this process none is sent any more.
 *
 *     RUNNING --its thread--> DONE: on_done tells the sender, whose it is when the thread has ended
 *        '------the sender: leave--> LEFT: the thread's, which disposes of it
 */
#ifndef SLUICE_CLIENT_ERRAND_H
#define SLUICE_CLIENT_ERRAND_H

#include "base/thread.h"

#define CLIENT_ERRANDS_LEFT_MAX 16u
/* Where there is somewhere else to go on to, one place gets this part of the time that is left, and
 * no more than that: a file system that has not answered in a second will not do anyway. */
#define CLIENT_ERRAND_PARTS       4u
#define CLIENT_ERRAND_PART_MAX_NS SL_NS_PER_S

typedef struct client_errand {
    /* On its thread; may block. */
    void (*run)(struct client_errand *errand);
    /* On its thread, behind `run`, if the sender has not left: tells it. Must not wait. */
    void (*on_done)(struct client_errand *errand);
    /* On its thread, behind `run`, if the sender has left: gives back what came of it, and frees
     * it. */
    void (*dispose)(struct client_errand *errand);
    /* Private. */
    sl_atomic_u32 state;
    bool has_thread; /* that the sender has to join */
    sl_thread thread;
} client_errand;

/* `name` is static. SLUICE_OK; EOSLIMIT, ENOMEM: no thread, or too many that do not come back. */
int client_errand_start(client_errand *errand, const char *name);

/* true: it is left, and not the sender's any more. false: it is done, and all the sender's. */
bool client_errand_leave(client_errand *errand);

/* After on_done, the sender, once or more: its thread has ended. Waits for a few instructions of
 * ours. So no thread is still on its way out when the program ends or unloads the library: in that
 * moment Wine (10) gives a program's exit code as 0. But what others do at a thread's end may block
 * (a DllMain, a destructor of the program's): SL_THREAD_EXIT_NS after on_done has come back the
 * thread is left to that. The errand is the sender's in either case. */
void client_errand_settle(client_errand *errand);

/* When the part for one place is over, of the time that begins now and ends at deadline_ns. */
uint64_t client_errand_part_ns(uint64_t deadline_ns);

/* So many were left in this process and have not come back. */
uint32_t client_errand_left_count(void);

#endif
