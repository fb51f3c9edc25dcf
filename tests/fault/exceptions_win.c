/*
 * exceptions_win.c - what cannot happen at a place, and why. Each is looked for: one that is not
 * needed any more is a finding.
 */
#include "tests/fault/drive.h"

const fault_exception fault_exceptions[] = {
    {"base/clock_win.c:resolve_now_ns:GetModuleHandleW", NULL, "once, before anything can fail"},
    {"base/clock_win.c:resolve_now_ns:GetProcAddress", NULL, "likewise"},
    {"broker/control_watch_win.c:control_watch_open:CloseHandle", NULL,
     "behind uv_async_init alone, which does not fail on Windows (libuv, src/win/async.c)"},
    {"broker/service_place_win.c:refuse_sid:ConvertSidToStringSidA", NULL,
     "of what is refused: tests/sluiced/place_test_win.c; without it \"somebody\""},
    {"broker/startup_win.c:startup_exit:TerminateProcess", NULL,
     "only where the system gives no answer within 10 s (startup_watch.h)"},
    {"engine/iocp_identity.c:engine_iocp_token_rights:CloseHandle", NULL,
     "only without memory (fault.memory)"},
    {"engine/opener_win.c:engine_opener_os_interrupt:CancelSynchronousIo", "?",
     "when an opener is slow to end; its result is not looked at"},
};
const unsigned fault_exception_count = SL_ARRAY_COUNT(fault_exceptions);
