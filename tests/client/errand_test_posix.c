/*
 * errand_test_posix.c - errands that were left are counted, also in a child of fork, which begins
 * anew, and whichever of its threads sends the first. What the program does at the end of a thread
 * does not keep the sender.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/status.h"
#include "client/errand.h"
#include "client/fork.h"

#define SENDERS 4u
#define FORKS   100u

typedef struct sender {
    client_errand errand;
    sl_thread thread;
    bool is_left;
} sender;

static sl_atomic_u32 ready_count;
static sl_atomic_bool may_return;

static void run(client_errand *errand) {
    (void)errand;
    while (!atomic_load(&may_return)) {
        sl_thread_yield();
    }
}

static void do_nothing(client_errand *errand) {
    (void)errand;
}

/* All at once. */
static void send_and_leave(void *context) {
    sender *s = context;
    s->errand = (client_errand){.run = run, .on_done = do_nothing, .dispose = do_nothing};
    atomic_fetch_add(&ready_count, 1);
    while (atomic_load(&ready_count) != SENDERS) {
    }
    s->is_left =
        client_errand_start(&s->errand, "test") == SLUICE_OK && client_errand_leave(&s->errand);
}

/* Returns whether all were counted, and taken off when they came back. */
static bool leave_some(void) {
    static sender senders[SENDERS];
    bool good = client_errand_left_count() == 0;
    atomic_store(&ready_count, 0);
    atomic_store(&may_return, false);
    for (unsigned i = 0; i < SENDERS; i++) {
        good =
            sl_thread_start(&senders[i].thread, "sender", send_and_leave, &senders[i]) == 0 && good;
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        sl_thread_join(&senders[i].thread);
        good = good && senders[i].is_left;
    }
    good = good && client_errand_left_count() == SENDERS;
    atomic_store(&may_return, true);
    while (good && client_errand_left_count() != 0) { /* the test's time limit ends this */
        good = client_errand_left_count() <= SENDERS;
        sl_thread_yield();
    }
    return good;
}

static void test_first_ones_in_a_child(void **state) {
    (void)state;
    client_fork_watch();
    assert_true(leave_some());
    for (unsigned i = 0; i < FORKS; i++) {
        int status = -1;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            _exit(leave_some() ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static pthread_key_t at_exit;
static sl_event is_done;
static sl_atomic_bool is_leaving;

/* As a name service's module or a DllMain may do: it does not come back. */
static void stay(void *value) {
    (void)value;
    atomic_store(&is_leaving, true);
    while (!atomic_load(&may_return)) {
        sl_thread_yield();
    }
    atomic_store(&is_leaving, false);
}

static void run_with_end(client_errand *errand) {
    (void)pthread_setspecific(at_exit, errand);
}

static void tell(client_errand *errand) {
    (void)errand;
    sl_event_set(&is_done);
}

static void test_an_exit_that_blocks(void **state) {
    (void)state;
    client_errand *errand = calloc(1, sizeof(*errand));
    assert_non_null(errand);
    assert_int_equal(pthread_key_create(&at_exit, stay), 0);
    assert_int_equal(sl_event_init(&is_done), SLUICE_OK);
    *errand = (client_errand){.run = run_with_end, .on_done = tell, .dispose = do_nothing};
    atomic_store(&may_return, false);
    assert_int_equal(client_errand_start(errand, "test"), SLUICE_OK);
    assert_true(sl_event_wait_until(&is_done, SL_CLOCK_NEVER));
    client_errand_settle(errand); /* the test's time limit ends this */
    assert_true(atomic_load(&is_leaving));
    client_errand_settle(errand);
    free(errand); /* its thread does not touch it any more */
    atomic_store(&may_return, true);
    while (atomic_load(&is_leaving)) {
        sl_thread_yield();
    }
    sl_event_deinit(&is_done);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_an_exit_that_blocks),
                                       cmocka_unit_test(test_first_ones_in_a_child)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
