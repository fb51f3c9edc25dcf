/*
 * main.c - `sluice`, the tool: what it can do, and who does it.
 */
#include <sluice/sluice.h>
#include <string.h>

#include "base/check.h"
#include "client/cli/args.h"
#include "client/cli/commands.h"
#include "client/cli/os.h"
#include "client/cli/out.h"

typedef struct cli_command {
    const char *name;
    const char *summary;
    int (*run)(int count, char **argv);
} cli_command;

static const cli_command commands[] = {
    {"hangtest", "does what hangs Windows programs, through the broker or not", command_hangtest},
    {"status", "the broker's counters", command_status},
    {"ops", "what it is working on, and what is stuck", command_ops},
    {"bench", "what a call through the broker costs, beside the bare system", command_bench},
    {"selftest", "on Windows: what only its kernel can certify", command_selftest},
};

static void show_help(void) {
    out_text text = {0};
    out_print(&text, "Usage: sluice COMMAND [OPTION...]\n\n"
                     "Looks at a Sluice broker, and tries it out.\n\n");
    for (size_t i = 0; i < SL_ARRAY_COUNT(commands); i++) {
        out_print(&text, "  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    out_print(&text,
              "\n\"sluice COMMAND --help\" tells more. Also: --help, --version.\n\n"
              "First steps:\n"
              "  sluiced run                 a broker at the default endpoint, in this terminal\n"
              "  sluice status               in another one: is it there, what does it hold?\n"
              "  sluice hangtest --iterations 2000\n"
              "  sluice ops --older 5s       while something seems slow\n\n"
              "Exit codes: 0 fine; 1 it ran and found something wrong, or could not write;\n"
              "2 wrong usage; 3 no broker there, it cannot be used, or it was lost;\n"
              "4 selftest: nothing failed, but not everything could be certified;\n"
              "5 hangtest: it was interrupted, and had found nothing wrong.\n");
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        show_help();
        return CLI_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        show_help();
        return CLI_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        out_say("sluice %s (ABI %u)\n", sluice_version(), (unsigned)sluice_abi_version());
        return CLI_EXIT_OK;
    }
    for (size_t i = 0; i < SL_ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 2, argv + 2);
        }
    }
    out_text text = {0};
    out_print(&text, "sluice: no such command: %s; there are", argv[1]);
    for (size_t i = 0; i < SL_ARRAY_COUNT(commands); i++) {
        out_print(&text, "%s %s", i > 0 ? "," : "", commands[i].name);
    }
    out_print(&text, " (see: sluice --help)\n");
    (void)out_flush(&text, SL_SINK_ERROR);
    return CLI_EXIT_USAGE;
}

int main(int argc, char **argv) {
    os_prepare();
    int code = run(argc, argv);
    return !out_end() && code == CLI_EXIT_OK ? CLI_EXIT_FOUND : code;
}
