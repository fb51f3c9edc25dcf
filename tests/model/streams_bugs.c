/*
 * streams_bugs.c - runs the search of the CI size with each planted bug: see streams.h. The table
 * is bugs.inc, made by plant.awk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/model/streams.h"
#include "tests/world/os.h"

#define COMMAND_BYTES 128u
#define SAID_BYTES    4096u

static const struct {
    const char *name;
    const char *says;
} bugs[] = {
#include "bugs.inc"
};

int streams_bug_number(const char *name) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(bugs); i++) {
        if (strcmp(bugs[i].name, name) == 0) {
            return (int)i + 1;
        }
    }
    return 0;
}

/* Up to the end of its line. */
static const char *line_at(char *said, const char *after) {
    char *place = strstr(said, after);
    if (place == NULL) {
        return NULL;
    }
    place += strlen(after);
    place[strcspn(place, "\n[")] = '\0';
    return place;
}

/* "FILE:LINE: WHAT" -> WHAT */
static const char *what(const char *place) {
    const char *colon = place != NULL ? strstr(place, ": ") : NULL;
    return colon != NULL ? colon + 2 : "a crash";
}

int streams_find_bugs(const char *program) {
    static char said[SAID_BYTES];
    char command[COMMAND_BYTES];
    unsigned missed = 0;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(bugs); i++) {
        (void)snprintf(command, sizeof(command), "bug %s ci", bugs[i].name);
        os_try(program, command, said, sizeof(said));
        char *where = strstr(said, "\nafter ");
        unsigned long long states = where != NULL ? strtoull(where + 7, NULL, 10) : 0;
        char scenario[32] = "-";
        if (where != NULL) {
            (void)sscanf(where, "\nafter %*u states: repeat %31s", scenario);
            *where = '\0';
        } else {
            printf("NOT FOUND: %s (%s) %s\n", bugs[i].name, bugs[i].says, said);
            missed++;
            continue;
        }
        printf("%-24s %-16s %7llu states: %s\n", bugs[i].name, scenario, states,
               what(line_at(said, "broken invariant at ")));
        fflush(stdout);
    }
    printf("%u of %u planted bugs found\n", (unsigned)SL_ARRAY_COUNT(bugs) - missed,
           (unsigned)SL_ARRAY_COUNT(bugs));
    return missed == 0 ? 0 : 1;
}
