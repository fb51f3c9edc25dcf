/*
 * check.c - the end of a process whose invariants are broken.
 *
 * Thread: any, also several at once. It allocates nothing, takes no lock and uses no stdio: the
 * heap or the C runtime may be what is broken. The synchronous write is allowed here because the
 * process ends right after it.
 */
#include "base/check.h"

#include "base/process.h"
#include "base/sink.h"
#include "base/text.h"

#define CHECK_LINE_BYTES 512

void sl_check_failed(const char *file, int line, const char *condition, const char *what) {
    char bytes[CHECK_LINE_BYTES];
    sl_text text;
    sl_text_init(&text, bytes, sizeof(bytes));
    sl_text_append(&text, "sluice: broken invariant at ");
    sl_text_append(&text, file);
    sl_text_append(&text, ":");
    sl_text_append_i64(&text, line);
    sl_text_append(&text, ": ");
    sl_text_append(&text, what);
    sl_text_append(&text, " [");
    sl_text_append(&text, condition);
    sl_text_append(&text, "]");
    sl_text_end_line(&text);
    (void)sl_sink_write(SL_SINK_ERROR, bytes, text.length);
    (void)sl_sink_write(SL_SINK_FILE, bytes, text.length);
    sl_process_abort();
}
