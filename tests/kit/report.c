/*
 * report.c - the report: lines for machines that people can read, too. Each line begins with a
 * word; fields are separated by tabs; what a program said is in lines of its own.
 *
 *     fact    NAME  VALUE
 *     check   NAME  VERDICT  SECONDS  REASON
 *     program NAME  PATH          of a check that failed: what was run,
 *     word    NAME  WORD          what it was told,
 *     said    NAME  LINE          and what it said last
 *     note    NAME  LINE          what it said that it passed over
 *     sum     VERDICT  COUNT
 *     end     EXIT-CODE           without this line the run was cut short
 *
 * Everything else is for people only, and begins with a blank or '='. The file is report_win.c's.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "tests/kit/kit.h"

const char *const kit_verdict_names[KIT_VERDICTS] = {"passed", "FAILED", "skipped", "not certified",
                                                     "not run"};

/* A line of fields, the last of which is NULL: each is made safe, so none has a tab. */
static void record(out_text *text, const char *kind, ...) {
    va_list fields;
    va_start(fields, kind);
    out_print(text, "%s", kind);
    for (const char *field = va_arg(fields, const char *); field != NULL;
         field = va_arg(fields, const char *)) {
        out_append(text, "\t", 1);
        out_print(text, "%s", field);
    }
    out_append(text, "\n", 1);
    va_end(fields);
}

static void fact(out_text *text, const char *name, const char *value) {
    record(text, "fact", name, value, NULL);
}

static void now(out_text *text, const char *name) {
    char bytes[40];
    sl_text utc;
    sl_text_init(&utc, bytes, sizeof(bytes) - 1);
    sl_text_append_utc(&utc, sl_clock_now_ns(sl_clock_utc()));
    bytes[utc.length] = '\0';
    fact(text, name, bytes);
}

void kit_report_head(out_text *text, const kit_list *list, const kit_system *system,
                     const char *mode, unsigned count) {
    char number[OUT_NUMBER_BYTES];
    out_print(
        text,
        "=== Sluice on Windows: what one machine certifies ===\n"
        "  Lines of fields, separated by tabs. fact: name, value. check: name, verdict,\n"
        "  seconds, reason. said: what the program of a check that FAILED said last. note:\n"
        "  what a program passed over. sum: verdict, count. end: exit code; a report without\n"
        "  that line was cut short. The user's and the machine's name are in it.\n");
    if (system->wine != NULL) {
        out_print(text, "  THIS IS WINE, which is no Windows: nothing here is certified.\n");
    } else if (!system->is_elevated) {
        out_print(text, "  Not run as administrator: what needs that was skipped, by name.\n");
    }
    fact(text, "format", "1");
    fact(text, "kit", list->packed);
    fact(text, "system", system->os);
    fact(text, "certifies", system->wine != NULL ? "nothing: this is Wine" : "yes");
    fact(text, "machine", system->machine);
    (void)snprintf(number, sizeof(number), "%u", system->processors);
    fact(text, "processors", number);
    fact(text, "memory", out_bytes(system->memory_bytes, number));
    fact(text, "user", system->user);
    fact(text, "elevated", system->is_elevated ? "yes" : "no");
    fact(text, "mode", mode);
    (void)snprintf(number, sizeof(number), "%u", count);
    fact(text, "checks", number);
    now(text, "begun");
}

/* One line of what a program said, as something that a report can hold. */
static void quote(out_text *text, const char *kind, const char *name, const char *line,
                  size_t length) {
    char safe[KIT_LINE_BYTES];
    size_t count = length < sizeof(safe) - 1 ? length : sizeof(safe) - 1;
    memcpy(safe, line, count);
    safe[count] = '\0';
    safe[strcspn(safe, "\r")] = '\0';
    for (char *at = safe; *at != '\0'; at++) {
        *at = *at == '\t' ? ' ' : *at;
    }
    sl_text_make_safe(safe); /* a newline, too, which is none of ours */
    record(text, kind, name, safe, NULL);
}

/* Where the last `count` lines of a text begin. */
static const char *last_lines(const char *output, unsigned count) {
    const char *at = output + strlen(output);
    while (at > output && at[-1] == '\n') {
        at--;
    }
    for (; at > output; at--) {
        if (at[-1] == '\n' && --count == 0) {
            break;
        }
    }
    return at;
}

static bool has_skipped(const char *line, size_t length) {
    for (size_t i = 0; i + 7 <= length; i++) {
        if (memcmp(line + i, "skipped", 7) == 0 || memcmp(line + i, "SKIPPED", 7) == 0) {
            return true;
        }
    }
    return false;
}

/* All that comes from `output` on: as what was said, or of it what was passed over. */
static void quote_lines(out_text *text, const char *name, const char *output, bool is_all) {
    while (*output != '\0') {
        size_t length = strcspn(output, "\n");
        if (is_all || has_skipped(output, length)) {
            quote(text, is_all ? "said" : "note", name, output, length);
        }
        output += length;
        output += *output == '\n' ? 1 : 0;
    }
}

void kit_report_check(out_text *text, const kit_check *check, kit_verdict verdict,
                      const kit_outcome *outcome, const char *reason) {
    char number[OUT_NUMBER_BYTES];
    (void)snprintf(number, sizeof(number), "%.3f", (double)outcome->took_ns / (double)SL_NS_PER_S);
    record(text, "check", check->name, kit_verdict_names[verdict], number, reason, NULL);
    if (verdict == KIT_FAILED) {
        for (unsigned i = 0; check->words[i] != NULL; i++) {
            quote(text, i == 0 ? "program" : "word", check->name, check->words[i],
                  strlen(check->words[i]));
        }
        quote_lines(text, check->name, last_lines(outcome->output, KIT_LAST_LINES), true);
    } else if (verdict != KIT_SKIPPED) {
        quote_lines(text, check->name, outcome->output, false);
    }
    if (outcome->left_files > 0) {
        char note[80];
        (void)snprintf(note, sizeof(note), "left %u files in the temporary folder (removed)",
                       outcome->left_files);
        record(text, "note", check->name, note, NULL);
    }
}

void kit_report_note(out_text *text, const char *note) {
    record(text, "note", "kit", note, NULL);
}

void kit_report_sum(out_text *text, const kit_system *system, const unsigned counts[KIT_VERDICTS],
                    uint64_t took_ns, int exit_code) {
    char number[OUT_NUMBER_BYTES];
    now(text, "ended");
    fact(text, "took", out_duration(took_ns, number));
    for (unsigned i = 0; i < KIT_VERDICTS; i++) {
        (void)snprintf(number, sizeof(number), "%u", counts[i]);
        record(text, "sum", kit_verdict_names[i], number, NULL);
    }
    if (system->wine != NULL) {
        out_print(text, "  not certified: this is Wine\n");
    }
    (void)snprintf(number, sizeof(number), "%d", exit_code);
    record(text, "end", number, NULL);
}
