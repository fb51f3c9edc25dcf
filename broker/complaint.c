/*
 * complaint.c - see complaint.h.
 */
#include "broker/complaint.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/sink.h"
#include "base/text.h"

void complaint_write(const char *what) {
    char line[700];
    int formatted = snprintf(line, sizeof(line) - 1, "sluiced: %.680s", what);
    SL_CHECK(formatted > 0, "the format is ours");
    sl_text_make_safe(line); /* a name that it quotes may be anything, and it is one line */
    size_t length = strlen(line);
    line[length++] = '\n';
    (void)sl_sink_write(SL_SINK_ERROR, line, length);
    (void)sl_sink_write(SL_SINK_FILE, line, length); /* a service has only that */
}
