/* status.c - looks results up in the one table (status.h). */
#include "base/status.h"

#include "base/check.h"

typedef struct status_entry {
    const char *name;
    const char *sentence;
} status_entry;

static const status_entry entries[] = {
#define X(name, number, sentence) [-(number)] = {#name, sentence},
    SLUICE_STATUS_TABLE(X)
#undef X
};

_Static_assert(SL_ARRAY_COUNT(entries) == SLUICE_STATUS_COUNT, "the status table has no gaps");

static const status_entry *find_entry(int status) {
    if (status > 0 || status <= -SLUICE_STATUS_COUNT) {
        return NULL;
    }
    return &entries[-status];
}

const char *sl_status_name(int status) {
    const status_entry *entry = find_entry(status);
    return entry != NULL ? entry->name : "UNKNOWN";
}

const char *sl_status_sentence(int status) {
    const status_entry *entry = find_entry(status);
    return entry != NULL ? entry->sentence : "a number that is no status of Sluice";
}
