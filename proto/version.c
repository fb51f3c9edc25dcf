/* version.c - the highest common version. */
#include "proto/version.h"

#include "base/status.h"
#include "base/text.h"

static bool is_sound(sl_version_range range) {
    return range.min >= 1 && range.min <= range.max;
}

static void append_range(sl_text *text, sl_version_range range) {
    sl_text_append_u64(text, range.min);
    if (range.max != range.min) {
        sl_text_append(text, " to ");
        sl_text_append_u64(text, range.max);
    }
}

int sl_version_choose(sl_version_range ours, sl_version_range theirs, uint32_t *ret_version,
                      sl_reason *ret_reason) {
    if (!is_sound(ours) || !is_sound(theirs)) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "version",
                             "a range starts at 1 or above and does not end below its start");
    }
    uint32_t low = ours.min > theirs.min ? ours.min : theirs.min;
    uint32_t high = ours.max < theirs.max ? ours.max : theirs.max;
    if (low > high) {
        char what[96];
        sl_text text;
        sl_text_init(&text, what, sizeof(what) - 1);
        sl_text_append(&text, "this side speaks ");
        append_range(&text, ours);
        sl_text_append(&text, ", the other ");
        append_range(&text, theirs);
        what[text.length] = '\0';
        return sl_reason_set(ret_reason, SLUICE_EVERSION, "version", what);
    }
    *ret_version = high;
    return SLUICE_OK;
}
