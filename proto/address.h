/*
 * address.h - addresses as text: "pipe:NAME", "tcp:HOST:PORT", "tcp:[IPV6]:PORT".
 *
 * HOST is a name or a numeric address; the broker looks names up. NAME is what the platform's
 * engine makes of it (engine.h): Windows "\\.\pipe\NAME", Linux a socket's path. Pure text: no
 * system call, no allocation.
 */
#ifndef SLUICE_PROTO_ADDRESS_H
#define SLUICE_PROTO_ADDRESS_H

#include <stdint.h>

#include "proto/limits.h"
#include "proto/reason.h"

#define SL_ADDRESS_NAME_BYTES 768 /* a pipe's name with its NUL, as the engine's */
#define SL_ADDRESS_HOST_BYTES 256 /* a host's, likewise */

typedef enum sl_address_kind { SL_ADDRESS_PIPE, SL_ADDRESS_TCP } sl_address_kind;

typedef struct sl_address {
    sl_address_kind kind;
    uint16_t port;                    /* TCP; 0 = any */
    char name[SL_ADDRESS_NAME_BYTES]; /* the pipe's name, or the host without brackets */
} sl_address;

/* SLUICE_OK; EINVAL (none of these forms), ENAMETOOLONG, with the reason. */
int sl_address_parse(const char *text, sl_address *ret_address, sl_reason *ret_reason);

/*
 * A name as people give it on Windows, for an address or an endpoint (`where`): *ret_name is what
 * of it stands behind "\\.\pipe\", which may be given, too, as may "\\?\pipe\". SLUICE_OK; EINVAL
 * with the reason: a path to somewhere else, or nothing that Windows would leave a name of.
 */
int sl_address_windows_pipe(const char *given, const char *where, const char **ret_name,
                            sl_reason *ret_reason);

/* The text form, at most SL_ADDRESS_BYTES long with its NUL; returns the text. */
const char *sl_address_text(const sl_address *address, char text[SL_ADDRESS_BYTES]);

/* Numeric hosts, written as RFC 5952 says. `bytes` are in network byte order. A scope of 0 is left
 * out, another is appended as %NUMBER. */
void sl_address_from_ipv4(sl_address *ret_address, const uint8_t bytes[4], uint16_t port);
void sl_address_from_ipv6(sl_address *ret_address, const uint8_t bytes[16], uint32_t scope_id,
                          uint16_t port);

#endif
