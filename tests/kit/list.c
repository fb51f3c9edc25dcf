/*
 * list.c - the list of what is run, as pack.cmake writes it: one thing a line, in fields that are
 * separated by tabs.
 *
 *     packed  TEXT                                      what is in the kit
 *     check   NAME  MODES  LIMIT_S  SKIP_CODE  PROGRAM  WORD...
 *
 * MODES: letters of q, s, f; and e: let it end. An empty line and one that begins with # say
 * nothing.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/args.h"
#include "tests/kit/kit.h"

enum { FIELD_KIND, FIELD_NAME, FIELD_MODES, FIELD_LIMIT, FIELD_SKIP, FIELD_PROGRAM };

#define FIELDS_MAX (FIELD_PROGRAM + KIT_WORDS_MAX)

/* Ends each field of a line in place; how many there are, FIELDS_MAX + 1: too many. */
static unsigned split(char *line, char *fields[FIELDS_MAX]) {
    unsigned count = 0;
    for (char *at = line; at != NULL;) {
        char *tab = strchr(at, '\t');
        if (tab != NULL) {
            *tab++ = '\0';
        }
        if (count == FIELDS_MAX) {
            return FIELDS_MAX + 1;
        }
        fields[count++] = at;
        at = tab;
    }
    return count;
}

static const char *add_check(kit_list *list, char *const *fields, unsigned count) {
    uint64_t limit_s;
    uint64_t skip_code;
    if (count <= FIELD_PROGRAM || count > FIELDS_MAX) {
        return "a check has a name, modes, a limit, a code, a program and at most 15 words";
    }
    if (list->count == KIT_CHECKS_MAX) {
        return "too many checks";
    }
    if (fields[FIELD_MODES][strspn(fields[FIELD_MODES], "qsfe")] != '\0') {
        return "modes are letters of qsfe";
    }
    if (!args_count(fields[FIELD_LIMIT], &limit_s) || limit_s == 0 || limit_s > 100000 ||
        !args_count(fields[FIELD_SKIP], &skip_code) || skip_code > 255) {
        return "the limit (seconds) and the code for \"skipped\" are numbers";
    }
    for (unsigned i = 0; i < list->count; i++) {
        if (strcmp(list->checks[i].name, fields[FIELD_NAME]) == 0 &&
            strpbrk(list->checks[i].modes, fields[FIELD_MODES]) != NULL) {
            return "the same check twice in a mode";
        }
    }
    kit_check *check = &list->checks[list->count++];
    check->name = fields[FIELD_NAME];
    check->modes = fields[FIELD_MODES];
    check->is_left_alone = strchr(fields[FIELD_MODES], 'e') != NULL;
    check->limit_s = (uint32_t)limit_s;
    check->skip_code = (int)skip_code;
    for (unsigned i = FIELD_PROGRAM; i < count; i++) {
        check->words[i - FIELD_PROGRAM] = fields[i];
    }
    return NULL;
}

static const char *parse_line(kit_list *list, char *line) {
    char *fields[FIELDS_MAX];
    if (line[0] == '\0' || line[0] == '#') {
        return NULL;
    }
    unsigned count = split(line, fields);
    if (strcmp(fields[FIELD_KIND], "check") == 0) {
        return add_check(list, fields, count);
    }
    if (strcmp(fields[FIELD_KIND], "packed") == 0 && count == 2) {
        list->packed = fields[1];
        return NULL;
    }
    return "a line begins with \"check\", or is \"packed\" and a text";
}

bool kit_list_parse(kit_list *list, char ret_wrong[KIT_REASON_BYTES]) {
    unsigned number = 1;
    list->count = 0;
    list->packed = "unknown";
    for (char *line = list->text; line != NULL; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        line[strcspn(line, "\r")] = '\0';
        const char *wrong = parse_line(list, line);
        if (wrong != NULL) {
            (void)snprintf(ret_wrong, KIT_REASON_BYTES, "line %u: %s", number, wrong);
            return false;
        }
        line = end;
    }
    if (list->count == 0) {
        (void)snprintf(ret_wrong, KIT_REASON_BYTES, "no check in it");
    }
    return list->count > 0;
}
