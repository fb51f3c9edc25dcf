/*
 * handles.c - see handles.h.
 */
#include "client/handles.h"

#include <string.h>

#define INDEX_MASK      ((UINT64_C(1) << CLIENT_HANDLE_INDEX_BITS) - 1)
#define GENERATION_MASK UINT64_C(0x7fffffff)
#define STASH_FIRST     4096u

static uint64_t handle_of(const client_core *core, const client_entry *entry) {
    sl_slot_id id = sl_slots_id_of(&core->handles, entry);
    return (core->connection_count & 0xffff) << 48 |
           (id >> 32 & GENERATION_MASK) << CLIENT_HANDLE_INDEX_BITS | (id & INDEX_MASK);
}

int client_handles_open(client_core *core, const sl_opened_handle *opened, uint64_t *ret_handle) {
    void *memory;
    sl_slot_id id;
    int status = sl_slots_take(&core->handles, &memory, &id);
    if (status != SLUICE_OK) {
        return status;
    }
    client_entry *entry = memory;
    memset(entry, 0, sizeof(*entry));
    sl_list_init(&entry->reads);
    entry->broker = opened->handle;
    entry->can = opened->can;
    if (opened->local_address != NULL && opened->local_address[0] != '\0') {
        entry->address_size = strlen(opened->local_address) + 1;
        entry->address = sl_account_alloc(core->account, entry->address_size);
        if (entry->address == NULL) {
            sl_slots_release(&core->handles, entry);
            return SLUICE_ENOMEM;
        }
        memcpy(entry->address, opened->local_address, entry->address_size);
    }
    *ret_handle = handle_of(core, entry);
    return SLUICE_OK;
}

static int refuse_strange(uint64_t handle, sl_reason *ret_reason) {
    return sl_reason_about(ret_reason, SLUICE_EBADHANDLE, "handle", handle,
                           "is not one that this session has open");
}

int client_handles_find(client_core *core, uint64_t handle, client_entry **ret_entry,
                        sl_reason *ret_reason) {
    uint64_t connection = handle >> 48;
    uint64_t current = core->connection_count & 0xffff;
    if (connection != current || core->phase != CLIENT_READY) {
        bool was_given =
            connection != 0 && (connection <= current || core->connection_count > 0xffff);
        return was_given ? sl_reason_about(ret_reason, SLUICE_ESTALE, "handle", handle,
                                           "is of a connection that is lost; open it again")
                         : refuse_strange(handle, ret_reason);
    }
    sl_slot_id id =
        (handle >> CLIENT_HANDLE_INDEX_BITS & GENERATION_MASK) << 32 | (handle & INDEX_MASK);
    client_entry *entry = sl_slots_find(&core->handles, id);
    if (entry == NULL) {
        return refuse_strange(handle, ret_reason);
    }
    *ret_entry = entry;
    return SLUICE_OK;
}

void client_handles_close(client_core *core, client_entry *entry) {
    sl_list *node;
    while ((node = sl_list_pop_front(&entry->reads)) != NULL) {
        SL_LIST_ENTRY(node, client_operation, read_link)->entry = NULL;
    }
    sl_account_free(core->account, entry->address, entry->address_size);
    sl_account_free(core->account, entry->stash, entry->stash_size);
    entry->address = NULL;
    entry->stash = NULL;
    sl_slots_release(&core->handles, entry);
}

void client_handles_close_all(client_core *core) {
    uint32_t cursor = 0;
    client_entry *entry;
    while ((entry = sl_slots_next(&core->handles, &cursor)) != NULL) {
        client_handles_close(core, entry);
    }
}

static int stash(client_core *core, client_entry *entry, const uint8_t *bytes, size_t count) {
    size_t used = entry->stash_end - entry->stash_begin;
    if (entry->stash_end + count > entry->stash_size) {
        size_t size = used + count < STASH_FIRST ? STASH_FIRST : (used + count) * 2;
        uint8_t *memory = sl_account_alloc(core->account, size);
        if (memory == NULL) {
            return SLUICE_ENOMEM;
        }
        if (used != 0) {
            memcpy(memory, entry->stash + entry->stash_begin, used);
        }
        sl_account_free(core->account, entry->stash, entry->stash_size);
        entry->stash = memory;
        entry->stash_size = size;
        entry->stash_begin = 0;
        entry->stash_end = used;
    }
    memcpy(entry->stash + entry->stash_end, bytes, count);
    entry->stash_end += count;
    return SLUICE_OK;
}

static size_t stashed(const client_entry *entry) {
    return entry->stash_end - entry->stash_begin;
}

static bool is_satisfied(const client_operation *op) {
    return op->received == op->in_size || (op->received != 0 && !op->request.as.read.all);
}

static size_t give(client_operation *op, const uint8_t *bytes, size_t count) {
    size_t room = op->in_size - op->received;
    count = count < room ? count : room;
    if (count != 0) {
        memcpy((uint8_t *)op->in + op->received, bytes, count);
        op->received += (uint32_t)count;
    }
    return count;
}

bool client_handles_serve(client_core *core, client_operation *op) {
    client_entry *entry = op->entry;
    if (entry == NULL || stashed(entry) == 0) {
        return false;
    }
    entry->stash_begin += give(op, entry->stash + entry->stash_begin, stashed(entry));
    if (stashed(entry) == 0) {
        sl_account_free(core->account, entry->stash, entry->stash_size);
        entry->stash = NULL;
        entry->stash_size = entry->stash_begin = entry->stash_end = 0;
    }
    return op->in_size == 0 || is_satisfied(op);
}

/* It needs no answer any more. */
static void end_served(client_core *core, client_operation *op) {
    if (op->state == CLIENT_OPERATION_SENT) {
        client_core_detach(core, op, SLUICE_OK);
    } else {
        client_core_end(core, op, SLUICE_OK, 0);
    }
}

/* Gives bytes that `op` has brought to the oldest reads that wait. Usually that is `op`. One that
 * another's bytes have ended needs no answer any more, also one of no bytes, which only waits for
 * some; one that still wants some, but fewer than it has asked for, is asked for again. Returns how
 * many bytes were given. */
static size_t give_in_order(client_core *core, client_entry *entry, client_operation *op,
                            const uint8_t *bytes, size_t count) {
    size_t given = 0;
    sl_list *node = entry->reads.next;
    while (node != &entry->reads && given < count) {
        client_operation *each = SL_LIST_ENTRY(node, client_operation, read_link);
        node = node->next;
        if (each->is_detached || each->is_replied) {
            continue;
        }
        if (each->in_size == 0) {
            end_served(core, each);
            continue;
        }
        if (each->received == each->in_size) {
            continue;
        }
        given += give(each, bytes + given, count - given);
        if (each == op) {
            continue; /* its own answer ends it */
        }
        if (is_satisfied(each)) {
            end_served(core, each);
        } else {
            client_core_recall(core, each);
        }
    }
    return given;
}

int client_handles_take(client_core *core, client_operation *op, const uint8_t *bytes,
                        size_t count) {
    client_entry *entry = op->entry;
    if (entry == NULL) { /* the handle is closed: nobody else will read */
        if (!op->is_detached) {
            (void)give(op, bytes, count);
        }
        return SLUICE_OK;
    }
    size_t given = give_in_order(core, entry, op, bytes, count);
    return given == count ? SLUICE_OK : stash(core, entry, bytes + given, count - given);
}

bool client_handles_is_served(const client_operation *op) {
    return op->in_size == 0 || is_satisfied(op);
}
