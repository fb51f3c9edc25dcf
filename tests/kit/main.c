/*
 * main.c - kit.exe: runs what is in its list, says how far it is, writes the report.
 *
 * A check has passed when its program ends with 0 on a real Windows; on Wine that is "not
 * certified". What fails, fails anywhere. Its reason is the last line that the program said.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "client/cli/args.h"
#include "tests/kit/kit.h"

#define INTERRUPTED 3 /* exit code */

static const char about[] =
    "Runs all that only a real Windows kernel can certify, and writes one report. Nothing is\n"
    "installed but services of its own, which it removes; nothing is left but the report.\n"
    "Run it as administrator: what needs that is skipped otherwise, by name.\n"
    "\n"
    "standard takes some 20 minutes, --quick 3, --full 3 hours. Ctrl-C ends it; the report then\n"
    "says what was not run. Windows' firewall may ask about programs of the tests: whatever is\n"
    "answered is right, they talk to this machine only.\n"
    "\n"
    "Exit code: 0 = every check passed; 1 = one failed; 2 = it could not begin; 3 = interrupted;\n"
    "4 = none failed, but some were skipped or cannot be certified here (always so on Wine).\n";

typedef struct kit_options {
    bool is_quick;
    bool is_full;
    bool is_list;
    const char *only;
    const char *list_path;
    const char *report_path;
} kit_options;

static kit_list list;
static kit_system here;
static kit_outcome outcome;

/* ---- which checks ---- */

static char mode_of(const kit_options *options) {
    return options->is_quick ? 'q' : options->is_full ? 'f' : 's';
}

static const char *mode_name(const kit_options *options) {
    return options->is_quick ? "quick" : options->is_full ? "full" : "standard";
}

/* --only NAME, or the beginning of several names and a '*'. */
static bool is_wanted(const kit_options *options, const kit_check *check) {
    if (strchr(check->modes, mode_of(options)) == NULL) {
        return false;
    }
    if (options->only == NULL) {
        return true;
    }
    size_t length = strlen(options->only);
    return length > 0 && options->only[length - 1] == '*'
               ? strncmp(options->only, check->name, length - 1) == 0
               : strcmp(options->only, check->name) == 0;
}

static unsigned count_wanted(const kit_options *options) {
    unsigned count = 0;
    for (unsigned i = 0; i < list.count; i++) {
        count += is_wanted(options, &list.checks[i]) ? 1 : 0;
    }
    return count;
}

/* ---- the verdict ---- */

/* The last line that a program said itself, cut to fit: the audit's figures come behind it. */
static void last_line(const char *output, char ret_line[KIT_REASON_BYTES]) {
    static const char audit[] = "sluice-audit:";
    size_t begin = strlen(output);
    size_t end;
    do {
        end = begin;
        while (end > 0 && (output[end - 1] == '\n' || output[end - 1] == '\r')) {
            end--;
        }
        begin = end;
        while (begin > 0 && output[begin - 1] != '\n') {
            begin--;
        }
    } while (begin > 0 && strncmp(output + begin, audit, sizeof(audit) - 1) == 0);
    size_t length = end - begin < KIT_REASON_BYTES - 1 ? end - begin : KIT_REASON_BYTES - 1;
    memcpy(ret_line, output + begin, length);
    ret_line[length] = '\0';
    for (char *at = ret_line; *at != '\0'; at++) {
        *at = *at == '\t' ? ' ' : *at;
    }
    sl_text_make_safe(ret_line);
}

static kit_verdict judge(const kit_check *check, char ret_reason[KIT_REASON_BYTES]) {
    ret_reason[0] = '\0';
    switch (outcome.end) {
    case KIT_END_EXIT: break;
    case KIT_END_INTERRUPTED:
        (void)snprintf(ret_reason, KIT_REASON_BYTES, "interrupted");
        return KIT_NOT_RUN;
    case KIT_END_LATE:
        (void)snprintf(ret_reason, KIT_REASON_BYTES, "it had not ended after %u s",
                       (unsigned)check->limit_s);
        return KIT_FAILED;
    case KIT_END_NOT_STARTED:
        (void)snprintf(ret_reason, KIT_REASON_BYTES, "it could not be started: Windows error %u",
                       (unsigned)outcome.exit_code);
        return KIT_FAILED;
    }
    if (outcome.exit_code == 0 && here.wine != NULL) {
        (void)snprintf(ret_reason, KIT_REASON_BYTES, "this is Wine");
        return KIT_NOT_CERTIFIED;
    }
    if (outcome.exit_code == 0) {
        return KIT_PASSED;
    }
    if (outcome.exit_code == (uint32_t)check->skip_code && check->skip_code != 0) {
        last_line(outcome.output, ret_reason);
        return strstr(ret_reason, kit_verdict_names[KIT_NOT_CERTIFIED]) != NULL ? KIT_NOT_CERTIFIED
                                                                                : KIT_SKIPPED;
    }
    (void)snprintf(ret_reason, KIT_REASON_BYTES,
                   outcome.exit_code > 0xFFFF ? "it ended with 0x%08X" : "it ended with %u",
                   (unsigned)outcome.exit_code);
    return KIT_FAILED;
}

/* ---- the run ---- */

static void run_check(const kit_check *check, const char *folder, kit_report *report,
                      unsigned counts[KIT_VERDICTS]) {
    char reason[KIT_REASON_BYTES];
    char took[OUT_NUMBER_BYTES];
    out_text text = {0};
    if (kit_is_interrupted()) {
        memset(&outcome, 0, sizeof(outcome));
        outcome.end = KIT_END_INTERRUPTED;
    } else {
        kit_run(check, folder, &outcome);
    }
    kit_verdict verdict = judge(check, reason);
    counts[verdict]++;
    kit_report_check(&text, check, verdict, &outcome, reason);
    kit_report_write(report, &text);
    out_say("%s, %s%s%s\n", kit_verdict_names[verdict], out_duration(outcome.took_ns, took),
            reason[0] != '\0' ? ": " : "", reason);
}

static int exit_code_of(const unsigned counts[KIT_VERDICTS]) {
    if (counts[KIT_FAILED] > 0) {
        return CLI_EXIT_FOUND;
    }
    if (counts[KIT_NOT_RUN] > 0) {
        return INTERRUPTED;
    }
    return counts[KIT_SKIPPED] + counts[KIT_NOT_CERTIFIED] > 0 ? CLI_EXIT_UNCERTAIN : CLI_EXIT_OK;
}

static int run_all(const kit_options *options, const char *folder, const char *path,
                   kit_report *report) {
    unsigned counts[KIT_VERDICTS] = {0};
    unsigned count = count_wanted(options);
    unsigned number = 0;
    out_text text = {0};
    uint64_t begin_ns = sl_clock_now_ns(sl_clock_system());
    kit_report_head(&text, &list, &here, mode_name(options), count);
    kit_report_write(report, &text);
    for (unsigned i = 0; i < list.count; i++) {
        if (is_wanted(options, &list.checks[i])) {
            out_say("[%u/%u] %s: ", ++number, count, list.checks[i].name);
            run_check(&list.checks[i], folder, report, counts);
        }
    }
    int code = exit_code_of(counts);
    if (!kit_run_deinit()) {
        kit_report_note(&text, "its temporary folders could not be removed");
    }
    kit_report_sum(&text, &here, counts, sl_clock_now_ns(sl_clock_system()) - begin_ns, code);
    kit_report_write(report, &text);
    if (!kit_report_close(report)) {
        out_complain("kit: the report could not be written as a whole: %s\n", path);
        return CLI_EXIT_FOUND;
    }
    out_say("\n%u passed, %u FAILED, %u skipped, %u not certified%s, %u not run\nReport: %s\n",
            counts[KIT_PASSED], counts[KIT_FAILED], counts[KIT_SKIPPED], counts[KIT_NOT_CERTIFIED],
            here.wine != NULL ? " (this is Wine)" : "", counts[KIT_NOT_RUN], path);
    return code;
}

/* A name that is new each second. */
static void default_report(const char *folder, char ret_path[KIT_PATH_BYTES]) {
    char utc[40];
    sl_text text;
    sl_text_init(&text, utc, sizeof(utc) - 1);
    sl_text_append_utc(&text, sl_clock_now_ns(sl_clock_utc()));
    utc[strlen("2026-11-27T21:15:48")] = '\0';
    for (char *at = utc; *at != '\0'; at++) { /* no colon may be in a file's name */
        *at = *at == ':' ? '-' : *at;
    }
    (void)snprintf(ret_path, KIT_PATH_BYTES, "%.900s\\report-%s.txt", folder, utc);
}

static int begin(const kit_options *options, const char *folder, const char *list_path) {
    char path[KIT_PATH_BYTES];
    uint32_t os_error;
    if (options->report_path != NULL) {
        (void)snprintf(path, sizeof(path), "%s", options->report_path);
    } else {
        default_report(folder, path);
    }
    kit_report *report = kit_report_open(path, &os_error);
    if (report == NULL) {
        out_complain("kit: cannot make the file %.600s (Windows error %u): --report FILE\n", path,
                     (unsigned)os_error);
        return CLI_EXIT_USAGE;
    }
    if (!kit_run_init(folder, &os_error)) {
        out_complain("kit: no temporary folder (Windows error %u): is TEMP a folder whose name is "
                     "in ASCII?\n",
                     (unsigned)os_error);
        (void)kit_report_close(report);
        return CLI_EXIT_USAGE;
    }
    kit_system_ask(&here);
    out_say("%s\n%s\n%s\nmode %s (%.500s), %s\n\n", list.packed, here.os, here.machine,
            mode_name(options), list_path,
            here.is_elevated ? "as administrator"
                             : "NOT as administrator: what needs that is skipped");
    return run_all(options, folder, path, report);
}

static int run_kit(const kit_options *options) {
    char folder[KIT_PATH_BYTES];
    char path[KIT_PATH_BYTES + 16];
    char wrong[KIT_REASON_BYTES];
    if (!kit_own_folder(folder)) {
        out_complain("kit: the name of this folder is not in ASCII, and programs of the tests do "
                     "not take it: unpack the kit elsewhere, such as in C:\\sluice-kit\n");
        return CLI_EXIT_USAGE;
    }
    (void)snprintf(path, sizeof(path), "%s\\kit.list", folder);
    const char *list_path = options->list_path != NULL ? options->list_path : path;
    if (!kit_read_file(list_path, list.text, sizeof(list.text))) {
        out_complain("kit: cannot read %.600s: has all of the kit been unpacked?\n", list_path);
        return CLI_EXIT_USAGE;
    }
    if (!kit_list_parse(&list, wrong)) {
        out_complain("kit: %.600s: %s\n", list_path, wrong);
        return CLI_EXIT_USAGE;
    }
    if (count_wanted(options) == 0) {
        out_complain("kit: no check %s in this mode (see --list)\n", options->only);
        return CLI_EXIT_USAGE;
    }
    for (unsigned i = 0; i < list.count && options->is_list; i++) {
        if (is_wanted(options, &list.checks[i])) {
            out_say("%s\n", list.checks[i].name);
        }
    }
    return options->is_list ? CLI_EXIT_OK : begin(options, folder, list_path);
}

int main(void) {
    int count;
    char **words = kit_words(&count);
    kit_options options = {0};
    const args_option table[] = {
        {"quick", NULL, ARGS_FLAG, &options.is_quick, 0, 0, NULL,
         "one of each kind, without the long loads"},
        {"full", NULL, ARGS_FLAG, &options.is_full, 0, 0, NULL, "races and chaos at full size"},
        {"only", "NAME", ARGS_TEXT, &options.only, 0, 0, NULL,
         "this check only; NAME* = those whose names begin so"},
        {"list", NULL, ARGS_FLAG, &options.is_list, 0, 0, NULL, "the checks, and do nothing"},
        {"report", "FILE", ARGS_TEXT, &options.report_path, 0, 0, NULL,
         "the report, a new file (default: report-TIME.txt beside run.cmd)"},
        {"checks", "FILE", ARGS_TEXT, &options.list_path, 0, 0, NULL,
         "another list (default: kit.list beside run.cmd)"},
    };
    const args_command command = {.name = "run.cmd",
                                  .synopsis = "[OPTION...]",
                                  .about = about,
                                  .options = table,
                                  .option_count = SL_ARRAY_COUNT(table)};
    args_verdict verdict = args_parse(&command, count - 1, words + 1);
    if (verdict != ARGS_RUN) {
        return verdict == ARGS_SHOWN ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    if (options.is_quick && options.is_full) {
        out_complain("kit: --quick or --full\n");
        return CLI_EXIT_USAGE;
    }
    return run_kit(&options);
}
