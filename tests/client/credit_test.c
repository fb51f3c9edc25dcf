/*
 * credit_test.c - the client's own books: whoever asks for what there is gets it, whatever others
 * ask for at the same time.
 */
#include "client/credit.h"

#include "base/status.h"
#include "tests/client/rig.h"

#define OPERATIONS 8u
#define BYTES      1000u
#define HELD       600u /* by another, all the time */
#define SMALL      100u /* can be had besides */
#define LARGE      500u /* cannot */
#define ROUNDS     200000u /* at least; and so many of another's */

typedef struct other {
    client_credit *credit;
    sl_atomic_bool is_over;
    sl_atomic_u32 attempts;
    int status;
    uint32_t wrong_count;
} other;

static void hold(client_credit *credit) {
    client_credit_init(credit);
    client_credit_set(credit, OPERATIONS, BYTES);
    assert_int_equal(client_credit_take(credit, HELD, NULL), SLUICE_OK);
}

/* Takes what there is, again and again, until the other has had its turns, too. Returns how often
 * that was refused. */
static unsigned take_often(client_credit *credit, sl_atomic_u32 *attempts, uint32_t wanted) {
    unsigned refused = 0;
    for (unsigned i = 0; i < ROUNDS || atomic_load(attempts) < wanted; i++) {
        if (client_credit_take(credit, SMALL, NULL) == SLUICE_OK) {
            client_credit_give(credit, SMALL);
        } else {
            refused++;
        }
    }
    return refused;
}

static void wait_for_much(void *context) {
    other *o = context;
    o->status = client_credit_wait(o->credit, LARGE, SL_CLOCK_NEVER, NULL);
}

/* One that waits for more than there is is woken by each that gives. */
static void test_beside_one_that_waits(void **state) {
    client_credit credit;
    sl_thread thread;
    (void)state;
    hold(&credit);
    other o = {.credit = &credit, .status = 1};
    assert_int_equal(sl_thread_start(&thread, "waits", wait_for_much, &o), 0);
    while (atomic_load(&credit.waiter_count) == 0) {
        sl_thread_yield();
    }
    unsigned refused = take_often(&credit, &credit.waiter_count, 0);
    client_credit_give(&credit, HELD);
    sl_thread_join(&thread);
    assert_int_equal(refused, 0);
    assert_int_equal(o.status, SLUICE_OK);
    client_credit_give(&credit, LARGE);
    client_credit_deinit(&credit);
}

static void ask_for_much(void *context) {
    other *o = context;
    while (!atomic_load(&o->is_over)) {
        o->wrong_count += client_credit_take(o->credit, LARGE, NULL) != SLUICE_EQUOTA;
        atomic_fetch_add(&o->attempts, 1);
    }
}

static void test_beside_one_that_does_not(void **state) {
    client_credit credit;
    sl_thread thread;
    (void)state;
    hold(&credit);
    other o = {.credit = &credit};
    assert_int_equal(sl_thread_start(&thread, "asks", ask_for_much, &o), 0);
    unsigned refused = take_often(&credit, &o.attempts, ROUNDS);
    atomic_store(&o.is_over, true);
    sl_thread_join(&thread);
    assert_int_equal(refused, 0);
    assert_int_equal(o.wrong_count, 0);
    client_credit_give(&credit, HELD);
    client_credit_deinit(&credit);
}

/* Which of the two was too little. */
static void test_words(void **state) {
    client_credit credit;
    sl_reason reason;
    (void)state;
    hold(&credit);
    assert_int_equal(client_credit_take(&credit, LARGE, &reason), SLUICE_EQUOTA);
    assert_string_equal(reason.text, "the session's limit credit_bytes of 1,000 bytes is reached");
    client_credit_set(&credit, 1, BYTES);
    assert_int_equal(client_credit_wait(&credit, 0, 0, &reason), SLUICE_EQUOTA);
    assert_string_equal(reason.text, "the session's limit credit_operations of 1 is reached");
    client_credit_give(&credit, HELD);
    client_credit_deinit(&credit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_one_that_waits),
        cmocka_unit_test(test_beside_one_that_does_not),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
