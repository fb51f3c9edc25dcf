/*
 * case_hung_win.c - see case_hung_posix.c: what such a test needs is not to be had here. The
 * engine's own tests hold its openers instead (tests/engine/suite_openers.c).
 */
#include "tests/integration/place.h"

void case_hung_path(place *at) {
    (void)at;
    place_skip("no file system here hangs on request");
}

void case_hung_endpoint(place *at) {
    (void)at;
    place_skip("an endpoint is on no file system here");
}

void case_hung_start(place *at) {
    (void)at;
    place_skip("no file system here hangs on request");
}

void case_silent_names(place *at) {
    (void)at;
    place_skip("name look-up has no namespace of its own here");
}
