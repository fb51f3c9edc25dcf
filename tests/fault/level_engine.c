/*
 * level_engine.c - the engine alone, one act at a time.
 */
#include "tests/fault/level.h"

#include <stdio.h>

#include "tests/fault/script.h"

static script the_script;

static const char *act_name(unsigned act) {
    return engine_acts[act].name;
}

/* Whether all of it was as on a good day. */
static bool play(unsigned act) {
    the_script.has_failed = false;
    engine_acts[act].run(&the_script);
    EXPECT(the_script.accepted == the_script.ended && the_script.inbox_count == 0);
    return !the_script.has_failed;
}

/* What it costs beside its acts is there after the first time. */
static void expect_no_leak(unsigned handles) {
    unsigned now = script_count_handles();
    if (now != handles) {
        fprintf(stderr, "fault: %u descriptors before, %u now\n", handles, now);
    }
    EXPECT(now == handles);
}

static unsigned run(unsigned act, const fault_plan *plans, unsigned count) {
    unsigned last = engine_act_count - 1;
    unsigned handles = script_count_handles();
    if (act != 0) {
        EXPECT(play(0));
    }
    fault_begin(plans, count);
    bool is_good = play(act);
    unsigned struck = fault_struck();
    fault_end();
    EXPECT(is_good || struck > 0);
    if (act != last && (act != 0 || !is_good)) {
        EXPECT(play(act)); /* the next request works */
    }
    if (act != last) {
        EXPECT(play(last));
    }
    expect_no_leak(handles);
    unsigned names = script_count_names();
    EXPECT(names == 0 || struck > 0);
    return struck;
}

static const char *const claims[] = {"engine/", "base/nobody", "base/thread", NULL};

static unsigned count_acts(void) {
    return engine_act_count;
}

const fault_level level_engine = {
    .name = "engine",
    .count_acts = count_acts,
    .claims = claims,
    .hits = 4,
    .run = run,
    .act_name = act_name,
};
