/*
 * case_private.c - a private broker is gone when its client is: closed, ended without closing, or
 * killed, with operations pending.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/place.h"

#define GONE_NS (5 * SL_NS_PER_S)

static void end_client(place *at, const char *how) {
    process client;
    const char *words[] = {at->sluiced, how, NULL};
    place_start_role(&client, "private", words);
    uint64_t id = strtoull(process_until(&client, "broker "), NULL, 10);
    uint64_t broker = process_open(id);
    EXPECT(id != 0 && broker != 0);
    uint64_t start_ns = place_now_ns();
    if (strcmp(how, "killed") == 0) {
        process_kill(&client);
    } else {
        process_continue_input(&client);
        (void)process_until(&client, "leaving");
    }
    EXPECT(process_wait(&client, PROCESS_PATIENCE_NS));
    /* The audit, where it is in the client, rightly names the requests of a session left open. */
    bool is_audited = strcmp(how, "exit") == 0 &&
                      process_has_said(&client, "thread-exit-outstanding") != NULL;
    EXPECT(strcmp(how, "killed") == 0 || is_audited || client.exit_code == 0);
    EXPECT(process_is_gone(broker, GONE_NS));
    printf("client %s: its broker is gone after %.0f ms\n", how,
           (double)(place_now_ns() - start_ns) / 1e6);
    process_deinit(&client);
}

void case_private(place *at) {
    end_client(at, "close");
    end_client(at, "exit");
    end_client(at, "killed");
}
