/*
 * returns_docs.c - the table of returns.c, as docs/errors.md shows it and as the comments of
 * sluice.h name it.
 *
 *     returns_docs --print                  what belongs into docs/errors.md
 *     returns_docs ERRORS.md SLUICE.H       compares; exit 1 and a line for each difference
 *
 * A function's statuses in the header are those named in the comment right before it; for a
 * synchronous call also those of that part's opening comment, and of sluice_open where it may have
 * to connect; for a _start those of the asynchronous part's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "tests/client/returns.h"

#define FILE_MAX   (256u * 1024)
#define BEGIN_MARK "<!-- the table: tests/client/returns_docs.c --print -->\n"

static unsigned failures;
static char made[64 * 1024];
static size_t made_length;

static void add(const char *text) {
    size_t length = strlen(text);
    SL_CHECK(made_length + length < sizeof(made), "the page fits");
    memcpy(made + made_length, text, length + 1);
    made_length += length;
}

/* ---- docs/errors.md -------------------------------------------------------------------------- */

static void add_row(const returns_row *row) {
    add("| `");
    add(sl_status_name(row->status));
    add("` | ");
    add(row->when);
    add(" |\n");
}

static void add_set(unsigned set) {
    const char *comma = "";
    add("\n### ");
    add(returns_sets[set]);
    add("\n\n");
    for (unsigned call = 0; call < CLIENT_CALL_COUNT && set != RETURNS_START; call++) {
        if ((returns_calls[call].sets & 1u << set) != 0) {
            bool is_twin = (returns_calls[call].sets & 1u << RETURNS_START) != 0;
            add(is_twin ? "" : comma);
            add(is_twin ? "" : "`");
            add(is_twin ? "" : returns_calls[call].name);
            add(is_twin ? "" : "`");
            comma = is_twin ? comma : ", ";
        }
    }
    add(set == RETURNS_BEGUN ? "; and their `_start` twins.\n" : set == RETURNS_START ? "" : ".\n");
    add(set == RETURNS_START ? "| status | when |\n| --- | --- |\n"
                             : "\n| status | when |\n| --- | --- |\n");
    for (unsigned i = 0; i < returns_row_count; i++) {
        if (returns_rows[i].set == set) {
            add_row(&returns_rows[i]);
        }
    }
}

static void add_own(void) {
    add("\n### Of one call\n\n| call | status | when |\n| --- | --- | --- |\n");
    for (unsigned i = 0; i < returns_row_count; i++) {
        if (returns_rows[i].set == RETURNS_OWN) {
            add("| `");
            add(returns_calls[returns_rows[i].call].name);
            add("` ");
            add_row(&returns_rows[i]);
        }
    }
}

static void make(void) {
    for (unsigned set = 0; set < RETURNS_OWN; set++) {
        add_set(set);
    }
    add_own();
    add("\n### All of it, call by call\n\n| call | can return, besides `SLUICE_OK` |\n| --- | --- "
        "|\n");
    for (unsigned call = 0; call < CLIENT_CALL_COUNT; call++) {
        const char *comma = "";
        add("| `");
        add(returns_calls[call].name);
        add("` | ");
        for (int status = -1; status > -SLUICE_STATUS_COUNT; status--) {
            if (returns_is_legal((client_call)call, status)) {
                add(comma);
                add(sl_status_name(status));
                comma = ", ";
            }
        }
        add(" |\n");
    }
}

static void compare_page(const char *page) {
    const char *table = strstr(page, BEGIN_MARK);
    if (table == NULL || strcmp(table + sizeof(BEGIN_MARK) - 1, made) != 0) {
        printf("docs/errors.md: what follows its mark is not what returns_docs --print says\n");
        failures++;
    }
}

/* ---- sluice.h -------------------------------------------------------------------------------- */

static uint64_t bit(int status) {
    return UINT64_C(1) << -status;
}

/* The statuses that are named in a text, "EINVAL" or "SLUICE_EINVAL". */
static uint64_t named_in(const char *text, size_t length) {
    uint64_t set = 0;
    for (size_t i = 0; i < length;) {
        size_t word = strspn(text + i, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
        if (word == 0) {
            i++;
            continue;
        }
        size_t skip = word > 7 && strncmp(text + i, "SLUICE_", 7) == 0 ? 7 : 0;
        for (int status = -1; status > -SLUICE_STATUS_COUNT; status--) {
            const char *name = sl_status_name(status);
            if (strlen(name) == word - skip && strncmp(text + i + skip, name, word - skip) == 0) {
                set |= bit(status);
            }
        }
        i += word;
    }
    return set;
}

static uint64_t of_table(client_call call) {
    uint64_t set = 0;
    for (int status = -1; status > -SLUICE_STATUS_COUNT; status--) {
        set |= returns_is_legal(call, status) ? bit(status) : 0;
    }
    return set;
}

/* In the comment that ends right before the declaration at `at`; 0 = there is none. */
static uint64_t of_comment(const char *header, const char *at) {
    const char *end = at;
    while (end > header && end[-1] == '\n') {
        end--;
    }
    if (end - header < 2 || strncmp(end - 2, "*/", 2) != 0) {
        return 0;
    }
    const char *begin = end - 2;
    while (begin > header && strncmp(begin, "/*", 2) != 0) {
        begin--;
    }
    return named_in(begin, (size_t)(end - begin));
}

static uint64_t of_part(const char *header, const char *title) {
    const char *begin = strstr(header, title);
    SL_CHECK(begin != NULL, "the header has its parts");
    return named_in(begin, (size_t)(strstr(begin, "*/") - begin));
}

static const char *declaration(const char *header, const char *name) {
    char text[80];
    (void)snprintf(text, sizeof(text), "SLUICE_API int32_t %s(", name);
    return strstr(header, text);
}

static void report(const char *name, const char *what, uint64_t set) {
    for (int status = -1; status > -SLUICE_STATUS_COUNT; status--) {
        if ((set & bit(status)) != 0) {
            printf("sluice.h: %s: %s %s\n", name, what, sl_status_name(status));
            failures++;
        }
    }
}

static void compare_call(const char *header, client_call call) {
    const returns_call *row = &returns_calls[call];
    const char *at = declaration(header, row->name);
    if (at == NULL) {
        printf("sluice.h has no %s\n", row->name);
        failures++;
        return;
    }
    bool is_twin = (row->sets & 1u << RETURNS_START) != 0;
    uint64_t own = is_twin ? 0 : of_comment(header, at);
    uint64_t common = 0;
    if (is_twin) {
        common = of_part(header, "---- asynchronous calls");
    } else if ((row->sets & 1u << RETURNS_BEGUN) != 0) {
        common = of_part(header, "---- synchronous calls") | bit(SLUICE_ECANCELED);
    }
    if ((row->sets & 1u << RETURNS_OPENS) != 0) {
        common |= of_comment(header, declaration(header, "sluice_open"));
    }
    report(row->name, "can return, and does not name,", of_table(call) & ~(own | common));
    /* What becomes of a session's operations is named where it is closed, and the like. */
    const uint64_t others = bit(SLUICE_ECANCELED) | bit(SLUICE_ECLOSED);
    report(row->name, "names, and cannot return,", own & ~(of_table(call) | others));
}

static char *read_file(const char *path) {
    char *text = calloc(1, FILE_MAX);
    FILE *file = fopen(path, "rb");
    SL_CHECK(text != NULL && file != NULL, "a file can be read");
    SL_CHECK(fread(text, 1, FILE_MAX - 1, file) < FILE_MAX - 1, "a file is not that long");
    (void)fclose(file);
    return text;
}

int main(int argc, char **argv) {
    make();
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        fputs(made, stdout);
        return 0;
    }
    SL_CHECK(argc == 3, "two files");
    char *page = read_file(argv[1]);
    char *header = read_file(argv[2]);
    compare_page(page);
    for (unsigned call = 0; call < CLIENT_CALL_COUNT; call++) {
        compare_call(header, (client_call)call);
    }
    free(page);
    free(header);
    return failures == 0 ? 0 : 1;
}
