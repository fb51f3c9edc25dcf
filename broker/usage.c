/* usage.c - the help of sluiced: what it is, examples, options, every limit, the exit codes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "broker/options.h"

static const char head[] =
    "sluiced - the Sluice broker: owns pipes and sockets on behalf of other programs\n"
    "\n"
    "  sluiced run [OPTION]...            runs in the foreground until Ctrl-C or SIGTERM\n"
    "  sluiced service install --allow USER|GROUP [--name N] [OPTION]...\n"
    "  sluiced service uninstall|start|stop|status [--name N]\n"
    "                                     the Windows service; on Linux: deploy/sluice.service\n"
    "  sluiced --version | --help\n"
    "\n"
    "Examples\n"
    "  sluiced run                                   for this user, at the default endpoint\n"
    "  sluiced run --endpoint /tmp/team/broker --allow alice --allow \"uid 1001\"\n"
    "                      for others, on Linux: in a folder of this user that they can enter\n"
    "                      (mkdir -m 755 /tmp/team). That of the systemd service is\n"
    "                      /run/sluice/broker\n"
    "  sluiced run --config sluice.conf --limit handles=2000 --log-level debug\n"
    "  sluiced service install --allow \"Web Servers\" && sluiced service start\n"
    "\n"
    "Options (except the last two also lines of the configuration file: log_level = warn)\n"
    "  --endpoint NAME     where clients connect. Windows: the name of a pipe, with or without\n"
    "                      \\\\.\\pipe\\ before it (default: sluice). Linux: a socket's path,\n"
    "                      from / on, of at most %d bytes (default:\n"
    "                      $XDG_RUNTIME_DIR/sluice/broker, else /tmp/sluice-UID/broker)\n"
    "  --allow WHO         a user or group that may connect besides this user; repeat for more.\n"
    "                      Linux: a name, whose user and group may both, \"uid N\", \"gid N\" or\n"
    "                      \"everyone\"; the directory of the socket must let them in\n"
    "  --allow-as-root     lets others in although the broker runs as root or LocalSystem; in the\n"
    "                      file: allow_as_root = yes. What it connects to for a client then sees\n"
    "                      root: a user of its own is better (deploy/sluice.service)\n"
    "  --workers N         threads that do the I/O, 1 to 64; 0 = one for each processor (default)\n"
    "  --engine NAME       the engine that does it: %s\n"
    "  --log-level L       error, warn, info (default) or debug\n"
    "  --log-file PATH     where the log goes, appended to what is there, and what the start-up\n"
    "                      complains about. Default: standard error; service install makes it\n"
    "                      %%ProgramData%%\\Sluice\\NAME\\NAME.log. Opened once: to rotate it,\n"
    "                      copy and truncate. No link of others, no file with a second name\n"
    "  --limit NAME=VALUE  changes a limit of the table below; in the file: NAME = VALUE\n"
    "  --config FILE       lines of name = value; # begins a comment line. What the command line\n"
    "                      says comes after the file and wins; --allow adds\n"
    "  --private-for WHO   ends as soon as the process WHO ends: its id, or, inherited from it,\n"
    "                      handle:N (Windows) or fd:N:ID (Linux, a pidfd)\n"
    "\n"
    "Only for service install:\n"
    "  --name N            the service's name (default: sluice), also for the other commands\n"
    "  --from-here         also if others than administrators can change this program, its folder\n"
    "                      or the configuration file: whoever does has the service's rights\n"
    "\n"
    "Limits (times: ns us ms s min h; sizes: KiB MiB GiB; _ns and _bytes may be left out)\n";

typedef struct help_page {
    char *text;
    size_t size;
    size_t length;
} help_page;

/* snprintf's result, taken into account. */
static void grow(help_page *page, int count) {
    SL_CHECK(count >= 0, "the format is ours");
    page->length += (size_t)count;
    if (page->length >= page->size) {
        page->length = page->size - 1;
    }
}

#define ADD(page, ...) \
    grow((page), \
         snprintf((page)->text + (page)->length, (page)->size - (page)->length, __VA_ARGS__))

void options_help(char *ret_text, size_t size) {
    help_page page = {ret_text, size, 0};
    char engines[64] = "";
    for (unsigned i = 0; engine_backend_at(i) != NULL; i++) {
        size_t used = strlen(engines);
        (void)snprintf(engines + used, sizeof(engines) - used, "%s%s", i == 0 ? "" : ", ",
                       engine_backend_name(engine_backend_at(i)));
    }
    ADD(&page, head, ENGINE_ENDPOINT_PATH_MAX, engines);
    for (size_t i = 0; sl_limit_at(i) != NULL; i++) {
        const sl_limit_info *limit = sl_limit_at(i);
        char standard[SL_LIMIT_TEXT_BYTES];
        char min[SL_LIMIT_TEXT_BYTES];
        char max[SL_LIMIT_TEXT_BYTES];
        ADD(&page, "  %-20s %8s (%s to %s)\n      %s\n", limit->name,
            sl_limit_text(limit->standard, limit->unit, standard),
            sl_limit_text(limit->min, limit->unit, min),
            sl_limit_text(limit->max, limit->unit, max), limit->sentence);
    }
    ADD(&page, "\nExit codes\n");
#define X(name, code, when) ADD(&page, "  %d  %s\n", code, when);
    SLUICED_EXIT_TABLE(X)
#undef X
}
