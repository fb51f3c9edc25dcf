/*
 * main.c - chaos: kills, halts and disturbs a broker and its clients under checked load. chaos.h.
 *
 *   chaos [--seconds N] [--seed S] [--clients N] [--sluiced PATH] [--json] ...    see --help
 *   chaos role client ...    a client, started by the driver (load.c)
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/out.h"
#include "tests/chaos/chaos.h"
#include "tests/chaos/load.h"
#include "tests/client/returns.h"

static const char about[] =
    "A broker and several clients as processes, under load that checks each byte, each outcome\n"
    "and each deadline. At random they are killed, halted and continued, and started again; half\n"
    "of the clients reach the broker through a proxy that splits, delays, truncates and breaks\n"
    "off what passes. Times between deeds are means, of the time in which there is chaos (80 %).\n"
    "\n"
    "Examples:\n"
    "  chaos --seconds 1800 --seed 1\n"
    "  chaos --seconds 20 --broker-kill-every 5s --json\n"
    "\n"
    "Exit code: 0 = no hang, no wrong outcome, no leak, no crash, and at least half of the\n"
    "throughput of the clean parts in between (judged from 5 cycles of 25 s on); 1 = not so (the\n"
    "lines say what); 2 = wrong usage.\n";

#ifndef SLUICED /* CMakeLists.txt: the program of this build */
#define SLUICED ""
#endif

static args_verdict parse(chaos_options *options, int count, char **words) {
    enum { OTHERS = 5 };
    args_option table[OTHERS + CHAOS_DEEDS] = {
        {"seconds", "N", ARGS_COUNT, &options->seconds, 2, 1000000, NULL,
         "how long (default: 20); quiet points come on top"},
        {"seed", "S", ARGS_COUNT, &options->seed, 0, UINT64_MAX, NULL,
         "of the schedule (default: 1)"},
        {"clients", "N", ARGS_COUNT, &options->clients, CHAOS_CLIENTS_MIN, CHAOS_CLIENTS_MAX, NULL,
         "at a time (default: 4); two of them are never killed"},
        {"sluiced", "PATH", ARGS_TEXT, &options->sluiced, 0, 0, NULL,
         "the broker, an absolute path (default: the one of this build)"},
        {"json", NULL, ARGS_FLAG, &options->is_json, 0, 0, NULL, "the figures as JSON"},
#define X(name, option, standard_ms, word) \
        [OTHERS + CHAOS_##name] = {option, "TIME", ARGS_DURATION, \
                                   &options->every_ns[CHAOS_##name], 10 * SL_NS_PER_MS, \
                                   24 * 3600 * SL_NS_PER_S, NULL, word},
        CHAOS_DEED_TABLE(X)
#undef X
    };
    const args_command command = {.name = "chaos",
                                  .synopsis = "[OPTION...]",
                                  .about = about,
                                  .options = table,
                                  .option_count = OTHERS + CHAOS_DEEDS};
    return args_parse(&command, count, words);
}

static void run(chaos *c) {
    char names[2][PLACE_ENDPOINT_BYTES];
    sl_random_seeded_init(&c->random, c->options.seed);
    c->at.sluiced = c->options.sluiced;
    process_endpoint(c->at.endpoint, sizeof(c->at.endpoint), 0);
    process_endpoint(c->peer_base, sizeof(c->peer_base), 9);
    chaos_broker_start(c);
    for (uint32_t i = 0; i < 2; i++) {
        process_endpoint(names[i], sizeof(names[i]), 1 + i);
        proxy_start(&c->proxies[i], names[i], c->at.endpoint, c->options.seed + i);
    }
    c->control = place_open(c->at.endpoint, "chaos");
    chaos_clients_init(c);
    chaos_run(c);
    chaos_clients_end(c);
    for (uint32_t i = 0; i < 2; i++) {
        proxy_stop(&c->proxies[i]);
    }
    EXPECT(sluice_session_close(c->control) == SLUICE_OK);
    place_stop_broker(&c->at);
}

int main(int count, char **words) {
    static chaos c;
    returns_watch();
    if (count > 2 && strcmp(words[1], "role") == 0 && strcmp(words[2], "client") == 0) {
        return load_run_role(count - 3, words + 3);
    }
    c.options = (chaos_options){.seconds = 20, .seed = 1, .clients = 4, .sluiced = SLUICED};
#define X(name, option, standard_ms, word) \
    c.options.every_ns[CHAOS_##name] = standard_ms * SL_NS_PER_MS;
    CHAOS_DEED_TABLE(X)
#undef X
    args_verdict verdict = parse(&c.options, count - 1, words + 1);
    if (verdict != ARGS_RUN) {
        return verdict == ARGS_SHOWN ? 0 : 2;
    }
    run(&c);
    return chaos_report(&c) ? 0 : 1;
}
