/*
 * bench.c - the command `sluice bench`. What it measures and how: bench/bench.h.
 */
#include "client/cli/bench/bench.h"
#include "client/cli/commands.h"

int command_bench(int count, char **argv) {
    static const bench_program program = {
        .name = "sluice bench",
        .about =
            "Measures what a call through the broker costs, beside the same work done without it\n"
            "in the same run: a message to another process and back on a bare socket or pipe,\n"
            "through a bare relay or copying process, through shared memory. Both take turns in\n"
            "slices of a few milliseconds, and the ratio of each round is what counts. Takes some\n"
            "two minutes; close other programs: it says so if the machine is busy.\n"
            "\n"
            "delivery: where the callback of an asynchronous call runs (inline is the fastest),\n"
            "or sync for calls that wait.\n"
            "\n"
            "Examples:\n"
            "  sluice bench                           everything\n"
            "  sluice bench --case null               what a call costs, in four deliveries\n"
            "  sluice bench --topology two-processors the same with a processor for the broker\n"
            "  sluice bench --case out-64k --json     for scripts\n"};
    return bench_main(&program, count, argv);
}
