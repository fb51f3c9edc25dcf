/*
 * detail.h - texts for people, from the broker to the application: details (SLUICE_DETAIL_BYTES)
 * and names.
 *
 * A broker's text is a peer's text: what the application may print to a terminal or a log has
 * nothing that these would obey (sl_text_character).
 */
#ifndef SLUICE_CLIENT_DETAIL_H
#define SLUICE_CLIENT_DETAIL_H

#include <stddef.h>

/* Copies `from` (UTF-8; NULL = "") with a NUL into `size` bytes; of 0 bytes nothing is touched.
 * What does not fit is cut, between characters; what may not be shown becomes '?'. */
void client_detail_copy(char *to, size_t size, const char *from);

/* The same of a name or a version: all may be in it, for who shows it escapes it. */
void client_text_copy(char *to, size_t size, const char *from);

#endif
