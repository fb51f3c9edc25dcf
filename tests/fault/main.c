/*
 * main.c - every call to the operating system fails once.
 *
 *     fault_calls SITES LEVEL [--hits N] [--claims] [--part I/N] [--site TEXT] [--verbose]
 *
 * SITES is the list of sites.awk. --claims makes only those fail that the level must reach. --part
 * runs a part of the work and judges nothing but the runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/level.h"
#include "tests/fault/script.h"

#ifndef FAULT_LEVELS /* set by CMake where there are fewer */
#define FAULT_LEVELS &level_engine, &level_client, &level_program
#endif
static const fault_level *const levels[] = {FAULT_LEVELS};

static int usage(void) {
    fprintf(stderr, "usage: fault_calls SITES LEVEL [--hits N] [--claims] [--part I/N] "
                    "[--site TEXT] [--verbose]\nLEVEL is one of");
    for (unsigned i = 0; i < SL_ARRAY_COUNT(levels); i++) {
        fprintf(stderr, " %s", levels[i]->name);
    }
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv) {
    drive_options options = {.parts = 1};
    const fault_level *level = NULL;
    int code;
    if (level_program_continues(argc, argv, &code)) {
        return code;
    }
    for (unsigned i = 0; argc >= 3 && i < SL_ARRAY_COUNT(levels); i++) {
        level = strcmp(argv[2], levels[i]->name) == 0 ? levels[i] : level;
    }
    if (level == NULL) {
        return usage();
    }
    for (int i = 3; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--verbose") == 0) {
            options.is_verbose = true;
        } else if (strcmp(argv[i], "--claims") == 0) {
            options.only_claims = true;
        } else if (strcmp(argv[i], "--hits") == 0 && has_value) {
            options.hits = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--site") == 0 && has_value) {
            options.only_site = argv[++i];
        } else if (strcmp(argv[i], "--part") == 0 && has_value &&
                   sscanf(argv[i + 1], "%u/%u", &options.part, &options.parts) == 2 &&
                   options.parts > 0 && options.part < options.parts) {
            i++;
        } else {
            return usage();
        }
    }
    script_place();
    fault_load(argv[1]);
    fault_install();
    return drive_level(level, &options) ? 0 : 1;
}
