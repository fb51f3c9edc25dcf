/*
 * main.c - tests with real processes: a sluiced, and clients that are killed and halted.
 *
 *   integration CASE SLUICED [--long]   one case; --long: the issue's own sizes
 *   integration role NAME ...           another client, started by a case (roles.c)
 */
#include "tests/client/returns.h"
#include "tests/integration/place.h"

static const place_case cases[] = {
    {"client_killed", case_client_killed, 100},   {"client_stopped", case_client_stopped, 60},
    {"broker_killed", case_broker_killed, 100},   {"broker_stopped", case_broker_stopped, 100},
    {"private", case_private, 60},                {"drain", case_drain, 60},
    {"drain_now", case_drain_now, 60},            {"hostile", case_hostile, 60},
    {"flood", case_flood, 100},                   {"deadlines", case_deadlines, 60},
    {"slow_reader", case_slow_reader, 100},       {"exhaustion", case_exhaustion, 60},
    {"hung_path", case_hung_path, 60},            {"hung_endpoint", case_hung_endpoint, 60},
    {"hung_start", case_hung_start, 60},          {"silent_names", case_silent_names, 100},
    {"hungry", case_hungry, 100},                 {"listeners", case_listeners, 60},
    {"drain_newcomers", case_drain_newcomers, 60},
};

int main(int count, char **words) {
    returns_watch();
    return place_main(cases, sizeof(cases) / sizeof(cases[0]), count, words);
}
