/*
 * bugs.c - see bugs.h. The table is bugs.inc, made by plant.awk.
 */
#include "tests/world/bugs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/world/os.h"

#define COMMAND_BYTES 128u
#define SAID_BYTES    4096u

static const struct {
    const char *name;
    const char *says;
} bugs[] = {
#include "bugs.inc"
};

int world_bug_number(const char *name) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(bugs); i++) {
        if (strcmp(bugs[i].name, name) == 0) {
            return (int)i + 1;
        }
    }
    return 0;
}

/* "... at FILE:LINE: WHAT [CONDITION]" -> FILE:LINE: WHAT */
static const char *where_and_what(char *said) {
    static const char before[] = "broken invariant at ";
    char *place = strstr(said, before);
    if (place == NULL) {
        return "a crash";
    }
    place += strlen(before);
    while (strncmp(place, "../", 3) == 0) {
        place += 3;
    }
    place[strcspn(place, "[\n")] = '\0';
    return place;
}

int world_find_bugs(const char *program, uint64_t lives) {
    char command[COMMAND_BYTES];
    static char said[SAID_BYTES];
    unsigned missed = 0;
    printf("%-28s %5s  %s\n", "planted bug", "seed", "found by");
    for (unsigned i = 0; i < SL_ARRAY_COUNT(bugs); i++) {
        (void)snprintf(command, sizeof(command), "--bug %s --seeds %llu", bugs[i].name,
                       (unsigned long long)lives);
        os_try(program, command, said, sizeof(said));
        const char *seed = strstr(said, "\nseed ");
        if (seed == NULL) {
            printf("%-28s %5s  (%s) %s\n", bugs[i].name, "-", bugs[i].says, said);
            missed++;
            continue;
        }
        unsigned long long number = strtoull(seed + strlen("\nseed "), NULL, 10);
        printf("%-28s %5llu  %s\n", bugs[i].name, number, where_and_what(said));
        (void)fflush(stdout);
    }
    printf("%u of %u bugs found within %llu lives each\n",
           (unsigned)SL_ARRAY_COUNT(bugs) - missed, (unsigned)SL_ARRAY_COUNT(bugs),
           (unsigned long long)lives);
    return missed == 0 ? 0 : 1;
}
