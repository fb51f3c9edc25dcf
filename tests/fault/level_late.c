/*
 * level_late.c - bytes that come too late for their read, and wait for the next one: the client's
 * handle table alone, since only a broker that is late itself brings them (tests/client/sim_test).
 */
#include <string.h>

#include "client/handles.h"
#include "tests/fault/level.h"

#define COUNT 6000u

static unsigned count_acts(void) {
    return 1;
}

static const char *act_name(unsigned act) {
    (void)act;
    return "late bytes";
}

/* Brings `count` bytes for a read that is over. */
static bool bring_late(client_core *core, client_entry *entry, const uint8_t *bytes,
                       size_t count) {
    client_operation late;
    memset(&late, 0, sizeof(late));
    late.entry = entry;
    late.is_detached = true;
    int status = client_handles_take(core, &late, bytes, count);
    EXPECT(status == SLUICE_OK || status == SLUICE_ENOMEM);
    return status == SLUICE_OK;
}

static bool play(void) {
    static client_core core;
    static uint8_t bytes[COUNT];
    static uint8_t got[COUNT];
    sl_account account;
    client_entry *entry;
    client_operation next;
    const sl_opened_handle opened = {.handle = 1, .can = SLUICE_CAN_READ,
                                     .local_address = "tcp:127.0.0.1:1"};
    uint64_t handle = 0;
    bool is_good = false;
    memset(&core, 0, sizeof(core));
    memset(&next, 0, sizeof(next));
    for (size_t i = 0; i < COUNT; i++) {
        bytes[i] = (uint8_t)(i * 3 + 1);
    }
    sl_account_init(&account, sl_allocator_system(), "late", SIZE_MAX);
    core.account = &account;
    core.connection_count = 1;
    core.phase = CLIENT_READY;
    if (sl_slots_init(&core.handles, &account, 16, sizeof(client_entry)) == SLUICE_OK) {
        if (client_handles_open(&core, &opened, &handle) == SLUICE_OK) {
            EXPECT(client_handles_find(&core, handle, &entry, NULL) == SLUICE_OK);
            size_t kept = bring_late(&core, entry, bytes, 1000) ? 1000 : 0;
            is_good = kept > 0 && bring_late(&core, entry, bytes + kept, COUNT - kept);
            kept = is_good ? COUNT : kept;
            next.entry = entry;
            next.in = got;
            next.in_size = COUNT;
            EXPECT(client_handles_serve(&core, &next) == (kept > 0));
            EXPECT(next.received == kept && memcmp(got, bytes, kept) == 0);
            client_handles_close(&core, entry);
        }
        sl_slots_deinit(&core.handles);
    }
    sl_account_deinit(&account);
    return is_good;
}

static unsigned run(unsigned act, const fault_plan *plans, unsigned count) {
    (void)act;
    fault_begin(plans, count);
    bool is_good = play();
    fault_end();
    unsigned struck = fault_struck();
    EXPECT(is_good == (struck == 0));
    EXPECT(play());
    return struck;
}

const fault_level level_late = {
    .name = "client",
    .count_acts = count_acts,
    .run = run,
    .act_name = act_name,
};
