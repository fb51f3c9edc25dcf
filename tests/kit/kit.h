/*
 * kit.h - the kit for a real Windows: kit.exe runs the programs of a list, one after another, and
 * writes one report. docs/testing.md, "The kit".
 *
 * list.c reads the list that was packed, report.c writes, main.c runs and judges; what is asked of
 * the system is in run_win.c (a program in a job of its own, with a limit) and system_win.c (what
 * this machine is). Everything is on the main thread; all text is UTF-8.
 */
#ifndef SLUICE_TESTS_KIT_H
#define SLUICE_TESTS_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli/out.h"

#define KIT_CHECKS_MAX   250u
#define KIT_WORDS_MAX    16u
#define KIT_PATH_BYTES   1024u
#define KIT_LIST_BYTES   (128u << 10)
#define KIT_LINE_BYTES   400u        /* of what a program said, in the report */
#define KIT_OUTPUT_BYTES (64u << 10) /* the end of what a program said */
#define KIT_LAST_LINES   60u
#define KIT_REASON_BYTES 300u

/* ---- list.c ---- */

/* One program to be run, in some of the modes: 'q' quick, 's' standard, 'f' full. */
typedef struct kit_check {
    const char *name;
    const char *modes;
    bool is_left_alone; /* an interruption waits for its end: it cleans up behind itself */
    uint32_t limit_s;
    int skip_code;                        /* the exit code that says: it cannot be tried here */
    const char *words[KIT_WORDS_MAX + 1]; /* the program, relative to the kit; what it is told */
} kit_check;

typedef struct kit_list {
    char text[KIT_LIST_BYTES]; /* what the rest points into */
    const char *packed;        /* what was packed, when, of which commit */
    kit_check checks[KIT_CHECKS_MAX];
    unsigned count;
} kit_list;

/* Takes list->text apart. false: `ret_wrong` says what is wrong in which line. */
bool kit_list_parse(kit_list *list, char ret_wrong[KIT_REASON_BYTES]);

/* ---- system_win.c ---- */

typedef struct kit_system {
    const char *wine;  /* its version; NULL: this is Windows */
    char os[200];      /* "Windows 10 Pro 23H2, 10.0.22631.4317"; 11 calls itself 10 there */
    char machine[100]; /* what the processors are, and what this program is */
    unsigned processors;
    uint64_t memory_bytes;
    char user[300];
    bool is_elevated;
} kit_system;

void kit_system_ask(kit_system *ret_system);

/* This program's folder. false: its name has characters that programs cannot be told of. */
bool kit_own_folder(char ret_folder[KIT_PATH_BYTES]);
/* The words of the command line, in UTF-8; they live to the end. */
char **kit_words(int *ret_count);
/* At most size - 1 bytes of a file, as a string. false: not to be read, or longer. */
bool kit_read_file(const char *path, char *ret_text, size_t size);

/* ---- run_win.c ---- */

typedef enum kit_end {
    KIT_END_EXIT,        /* by itself; exit_code is set */
    KIT_END_LATE,        /* it was ended: its time was up */
    KIT_END_INTERRUPTED, /* it was ended: somebody pressed Ctrl-C */
    KIT_END_NOT_STARTED, /* exit_code is the Windows error */
} kit_end;

typedef struct kit_outcome {
    kit_end end;
    uint32_t exit_code;
    uint64_t took_ns;
    char output[KIT_OUTPUT_BYTES + 1]; /* the end of what it said */
    unsigned left_files;               /* in the temporary folder, which were removed */
} kit_outcome;

/* A temporary folder for all programs, a sluiced that services can read, and the wish to be told of
 * Ctrl-C. false: no such folder; ret_os_error says why. */
bool kit_run_init(const char *folder, uint32_t *ret_os_error);
/* Removes both. false: something could not be removed. */
bool kit_run_deinit(void);
bool kit_is_interrupted(void);

/* Runs a program of the kit, with `{}` in its words for the kit's folder, and {service} for the
 * sluiced that services can read. What it has started ends
 * with it. */
void kit_run(const kit_check *check, const char *folder, kit_outcome *ret_outcome);

/* ---- report.c ---- */

typedef enum kit_verdict {
    KIT_PASSED,
    KIT_FAILED,
    KIT_SKIPPED,
    KIT_NOT_CERTIFIED, /* it did what it should, on a system that says nothing about Windows */
    KIT_NOT_RUN,       /* interrupted before */
    KIT_VERDICTS
} kit_verdict;

extern const char *const kit_verdict_names[KIT_VERDICTS];

typedef struct kit_report kit_report;

/* A new file. NULL: it cannot be written; ret_os_error says why. */
kit_report *kit_report_open(const char *path, uint32_t *ret_os_error);
/* Writes the text and empties it, to the disk: whatever happens next, it is there. */
void kit_report_write(kit_report *report, out_text *text);
/* false: not all could be written. */
bool kit_report_close(kit_report *report);

void kit_report_head(out_text *text, const kit_list *list, const kit_system *system,
                     const char *mode, unsigned count);
/* The line of a check and, if it failed, what its program said last. */
void kit_report_check(out_text *text, const kit_check *check, kit_verdict verdict,
                      const kit_outcome *outcome, const char *reason);
/* A note on the run as a whole. */
void kit_report_note(out_text *text, const char *note);
void kit_report_sum(out_text *text, const kit_system *system, const unsigned counts[KIT_VERDICTS],
                    uint64_t took_ns, int exit_code);

#endif
