/*
 * clients.c - see chaos.h: the clients as processes, and what they say.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/out.h"
#include "tests/chaos/chaos.h"

#define SILENT_NS (30 * SL_NS_PER_S) /* a client that says nothing for so long hangs */
#define LOOK_NS   (20 * SL_NS_PER_MS)

void chaos_clients_init(chaos *c) {
    for (uint32_t i = 0; i < c->options.clients; i++) {
        chaos_client *client = &c->clients[i];
        client->number = i;
        client->proxy = i % 2 == 0 ? NULL : &c->proxies[i < CHAOS_SURVIVORS ? 0 : 1];
        (void)snprintf(client->endpoint, sizeof(client->endpoint), "%s",
                       client->proxy == NULL ? c->at.endpoint : client->proxy->listener.name);
    }
}

static void start(chaos *c, chaos_client *client) {
    char number[16], clients[16], seed[32];
    (void)snprintf(number, sizeof(number), "%" PRIu32, client->number);
    (void)snprintf(clients, sizeof(clients), "%" PRIu64, c->options.clients);
    (void)snprintf(seed, sizeof(seed), "%" PRIu64, sl_random_seeded_u64(&c->random));
    const char *words[] = {client->endpoint, c->peer_base, number, clients, seed, NULL};
    place_start_role(&client->process, "client", words);
    client->is_started = true;
    client->is_running = false;
    client->is_quiet = false;
    client->is_halted = false;
    client->heard_ns = place_now_ns();
}

static void add_counts(chaos_counts *to, const chaos_counts *more) {
    to->ok += more->ok;
    to->ended += more->ended;
    to->bytes += more->bytes;
    to->lost += more->lost;
    to->streams += more->streams;
    to->latest_us = more->latest_us > to->latest_us ? more->latest_us : to->latest_us;
}

/* ---- what they say ---- */

static void take_line(chaos *c, chaos_client *client, const char *line) {
    chaos_counts n;
    client->heard_ns = place_now_ns();
    if (sscanf(line, "count %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &n.ok, &n.ended, &n.bytes, &n.lost, &n.streams, &n.latest_us) == 6) {
        client->now = n;
    } else if (sscanf(line, "quiet %" SCNu64 " %" SCNu64, &client->open_count,
                      &client->memory_bytes) == 2) {
        client->is_quiet = true;
        client->is_running = false;
    } else if (strcmp(line, "running") == 0) {
        client->is_running = true;
    } else if (strcmp(line, "ended") != 0) {
        c->wrong += strncmp(line, "WRONG ", 6) == 0;
        c->hangs += strncmp(line, "HANG ", 5) == 0;
        out_complain("chaos: client %u: %s\n", client->number, line);
    }
}

static void hear(chaos *c, chaos_client *client) {
    char line[CHAOS_LINE_BYTES];
    while (process_next_line(&client->process, line, sizeof(line))) {
        take_line(c, client, line);
    }
}

/* It is dead: its counts are kept. */
static void bury(chaos *c, chaos_client *client, uint64_t back_after_ns) {
    hear(c, client);
    process_deinit(&client->process);
    add_counts(&client->before, &client->now);
    client->now = (chaos_counts){0};
    client->is_started = false;
    client->is_running = false;
    client->is_halted = false;
    client->start_ns = place_now_ns() + back_after_ns;
}

static void tend(chaos *c, chaos_client *client) {
    uint64_t now_ns = place_now_ns();
    if (!client->is_started) {
        if (now_ns >= client->start_ns) {
            start(c, client);
        }
        return;
    }
    hear(c, client);
    if (process_wait(&client->process, 0)) {
        c->crashes++;
        out_complain("chaos: client %u ended by itself, code %d\n", client->number,
                     client->process.exit_code);
        bury(c, client, 0);
        return;
    }
    if (client->is_halted && now_ns >= client->resume_ns) {
        process_resume(&client->process);
        client->is_halted = false;
        client->heard_ns = now_ns;
    }
    if (!client->is_halted && now_ns > client->heard_ns + SILENT_NS) {
        c->hangs++;
        client->heard_ns = now_ns;
        out_complain("chaos: client %u: HANG: it says nothing any more\n", client->number);
    }
}

void chaos_clients_tend(chaos *c) {
    for (uint32_t i = 0; i < c->options.clients; i++) {
        tend(c, &c->clients[i]);
    }
}

void chaos_clients_start_all(chaos *c) {
    for (uint32_t i = 0; i < c->options.clients; i++) {
        chaos_client *client = &c->clients[i];
        if (!client->is_started) {
            start(c, client);
        } else if (client->is_quiet) {
            process_tell(&client->process, "go\n");
            client->is_quiet = false;
        }
    }
}

/* ---- what is done to them ---- */

void chaos_client_kill(chaos *c, chaos_client *client, uint64_t back_after_ns) {
    process_kill(&client->process);
    if (!process_wait(&client->process, PROCESS_PATIENCE_NS)) {
        c->hangs++;
        out_complain("chaos: client %u: HANG: it does not die\n", client->number);
    }
    bury(c, client, back_after_ns);
}

void chaos_client_halt(chaos_client *client, uint64_t time_ns) {
    process_suspend(&client->process);
    client->is_halted = true;
    client->resume_ns = place_now_ns() + time_ns;
}

void chaos_clients_resume(chaos *c) {
    for (uint32_t i = 0; i < c->options.clients; i++) {
        c->clients[i].resume_ns = 0;
    }
    chaos_clients_tend(c);
}

void chaos_clients_await(chaos *c, bool (*is_so)(const chaos_client *client), const char *what) {
    uint64_t until_ns = place_now_ns() + CHAOS_PATIENCE_NS;
    for (;;) {
        const chaos_client *missing = NULL;
        chaos_clients_tend(c);
        chaos_broker_tend(c, true);
        for (uint32_t i = 0; i < c->options.clients; i++) {
            if (c->clients[i].is_started && !is_so(&c->clients[i])) {
                missing = &c->clients[i];
            }
        }
        if (missing == NULL) {
            return;
        }
        if (place_now_ns() > until_ns) {
            c->hangs++;
            out_complain("chaos: client %u: HANG: not %s\n", missing->number, what);
            return;
        }
        place_let_pass(LOOK_NS);
    }
}

chaos_counts chaos_total(const chaos *c) {
    chaos_counts total = {0};
    for (uint32_t i = 0; i < c->options.clients; i++) {
        add_counts(&total, &c->clients[i].before);
        add_counts(&total, &c->clients[i].now);
    }
    return total;
}

void chaos_clients_end(chaos *c) {
    for (uint32_t i = 0; i < c->options.clients; i++) {
        chaos_client *client = &c->clients[i];
        if (!client->is_started) {
            continue;
        }
        process_continue_input(&client->process);
        if (!process_wait(&client->process, CHAOS_PATIENCE_NS)) {
            c->hangs++;
            out_complain("chaos: client %u: HANG: it does not end\n", client->number);
        } else if (client->process.exit_code != 0) {
            c->crashes++;
            out_complain("chaos: client %u ended with code %d\n", client->number,
                         client->process.exit_code);
        }
        bury(c, client, 0);
    }
}
