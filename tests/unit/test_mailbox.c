/* test_mailbox.c - four threads post 100,000 each: nothing lost, doubled or reordered. */
#include "unit.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/status.h"

#define POSTERS 4u
#define LETTERS 100000u

typedef struct letter {
    sl_mail mail; /* first */
    uint32_t poster;
    uint32_t number;
} letter;

typedef struct post_office {
    sl_mailbox mailbox;
    sl_event wake;
    sl_atomic_u32 poster_count;
    sl_atomic_u64 wakes;
} post_office;

static letter letters[POSTERS][LETTERS];

static void run_poster(void *context) {
    post_office *office = context;
    uint32_t poster = (uint32_t)atomic_fetch_add(&office->poster_count, 1);
    for (uint32_t i = 0; i < LETTERS; i++) {
        letter *l = &letters[poster][i];
        l->poster = poster;
        l->number = i;
        if (sl_mailbox_post(&office->mailbox, &l->mail)) {
            atomic_fetch_add(&office->wakes, 1);
            sl_event_set(&office->wake);
        }
    }
}

static void test_posters_and_taker(void **state) {
    static post_office office;
    sl_thread threads[POSTERS];
    uint32_t next[POSTERS] = {0};
    uint64_t taken = 0;
    uint64_t batches = 0;
    (void)state;
    sl_mailbox_init(&office.mailbox);
    atomic_init(&office.poster_count, 0);
    atomic_init(&office.wakes, 0);
    assert_int_equal(sl_event_init(&office.wake), SLUICE_OK);
    for (unsigned i = 0; i < POSTERS; i++) {
        unit_thread_start(&threads[i], run_poster, &office);
    }
    while (taken < POSTERS * LETTERS) {
        assert_true(sl_event_wait_until(&office.wake, unit_deadline_ns(UNIT_PATIENCE_NS)));
        sl_mail *mail = sl_mailbox_take_all(&office.mailbox);
        batches += mail != NULL;
        while (mail != NULL) {
            letter *l = (letter *)(void *)mail;
            mail = mail->next;
            l->mail.next = NULL;
            assert_int_equal(l->number, next[l->poster]);
            next[l->poster]++;
            taken++;
        }
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        sl_thread_join(&threads[i]);
        assert_int_equal(next[i], LETTERS);
    }
    assert_true(sl_mailbox_is_empty(&office.mailbox));
    assert_null(sl_mailbox_take_all(&office.mailbox));
    assert_int_equal(atomic_load(&office.wakes), batches); /* one wake-up for each batch */
    print_message("mailbox: %u letters in %" PRIu64 " batches\n", POSTERS * LETTERS, batches);
    sl_event_deinit(&office.wake);
}

static void test_order_and_wake_by_hand(void **state) {
    sl_mailbox mailbox;
    sl_mail mails[3];
    (void)state;
    sl_mailbox_init(&mailbox);
    assert_true(sl_mailbox_is_empty(&mailbox));
    assert_true(sl_mailbox_post(&mailbox, &mails[0]));
    assert_false(sl_mailbox_post(&mailbox, &mails[1]));
    assert_false(sl_mailbox_post(&mailbox, &mails[2]));
    assert_false(sl_mailbox_is_empty(&mailbox));
    sl_mail *mail = sl_mailbox_take_all(&mailbox);
    for (unsigned i = 0; i < 3; i++, mail = mail->next) {
        assert_ptr_equal(mail, &mails[i]);
    }
    assert_null(mail);
    assert_true(sl_mailbox_post(&mailbox, &mails[0]));
    assert_ptr_equal(sl_mailbox_take_all(&mailbox), &mails[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_wake_by_hand),
        cmocka_unit_test(test_posters_and_taker),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
