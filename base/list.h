/*
 * list.h - an intrusive, circular, doubly linked list. No allocation, O(1) everywhere but counting.
 *
 * A node is in at most one list at a time. An unlinked node points at itself (after sl_list_init or
 * sl_list_remove), so removing twice is harmless and "is it linked?" can be asked.
 */
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

typedef struct sl_list {
    struct sl_list *next;
    struct sl_list *prev;
} sl_list; /* used both as head and as node */

static inline void sl_list_init(sl_list *list) {
    list->next = list;
    list->prev = list;
}

static inline bool sl_list_is_empty(const sl_list *list) {
    return list->next == list;
}

/* For a node: is it in some list? */
static inline bool sl_list_is_linked(const sl_list *node) {
    return node->next != node;
}

static inline void sl_list_insert_before(sl_list *position, sl_list *node) {
    SL_CHECK(!sl_list_is_linked(node), "a list node is in one list at most");
    node->next = position;
    node->prev = position->prev;
    position->prev->next = node;
    position->prev = node;
}

static inline void sl_list_push_back(sl_list *head, sl_list *node) {
    sl_list_insert_before(head, node);
}

static inline void sl_list_push_front(sl_list *head, sl_list *node) {
    sl_list_insert_before(head->next, node);
}

static inline void sl_list_remove(sl_list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    sl_list_init(node);
}

/* The first node, or NULL. */
static inline sl_list *sl_list_first(sl_list *head) {
    return sl_list_is_empty(head) ? NULL : head->next;
}

/* Unlinks and returns the first node, or NULL. */
static inline sl_list *sl_list_pop_front(sl_list *head) {
    sl_list *node = sl_list_first(head);
    if (node != NULL) {
        sl_list_remove(node);
    }
    return node;
}

/* Moves every node of `from` to the end of `to`; `from` is empty afterwards. */
static inline void sl_list_splice_back(sl_list *to, sl_list *from) {
    if (!sl_list_is_empty(from)) {
        from->next->prev = to->prev;
        from->prev->next = to;
        to->prev->next = from->next;
        to->prev = from->prev;
        sl_list_init(from);
    }
}

#define SL_LIST_ENTRY(node, type, member) SL_CONTAINER_OF(node, type, member)

#endif
