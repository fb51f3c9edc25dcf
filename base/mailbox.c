/*
 * mailbox.c - many threads post, one thread takes: a lock-free intrusive queue.
 *
 * Thread: any posts, one takes. Owner of a node: its poster until the post, the taker from then on.
 * Posting pushes onto a stack with a compare-and-swap; taking swaps the whole stack out and
 * reverses it. Nobody pops single nodes, so there is no ABA problem. The release of a post pairs
 * with the acquire of a take: posts in between are read-modify-writes and keep the release sequence
 * whole.
 */
#include "base/mailbox.h"

void sl_mailbox_init(sl_mailbox *mailbox) {
    atomic_init(&mailbox->newest, NULL);
}

bool sl_mailbox_post(sl_mailbox *mailbox, sl_mail *mail) {
    sl_mail *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &newest, mail,
                                                    memory_order_release, memory_order_relaxed));
    /* From here on `mail` is the taker's and may be gone. */
    return newest == NULL;
}

sl_mail *sl_mailbox_take_all(sl_mailbox *mailbox) {
    if (sl_mailbox_is_empty(mailbox)) {
        return NULL; /* an empty look does not claim the cache line */
    }
    sl_mail *mail = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
    sl_mail *oldest = NULL;
    while (mail != NULL) {
        sl_mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    return oldest;
}

bool sl_mailbox_is_empty(const sl_mailbox *mailbox) {
    return atomic_load_explicit(&mailbox->newest, memory_order_relaxed) == NULL;
}
