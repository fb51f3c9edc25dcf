/* address.c - parses and writes the text form of addresses. */
#include "proto/address.h"

#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "base/text.h"
#include "engine/engine.h"

_Static_assert(SL_ADDRESS_NAME_BYTES == ENGINE_PIPE_NAME_BYTES, "a name fits the engine's");
_Static_assert(SL_ADDRESS_HOST_BYTES == ENGINE_HOST_BYTES, "a host fits the engine's");
_Static_assert(SL_ADDRESS_NAME_BYTES + 16 <= SL_ADDRESS_BYTES,
               "scheme, brackets, port fit as well");

static int copy_name(const char *name, size_t length, size_t size, sl_address *ret_address,
                     sl_reason *ret_reason) {
    if (length == 0) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address", "the name is empty");
    }
    if (length >= size) {
        return sl_reason_too_long(ret_reason, SLUICE_ENAMETOOLONG, "address: the name", length,
                                  size - 1);
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f) {
            return sl_reason_value(ret_reason, SLUICE_EINVAL, "address",
                                   "a control character in the name at offset", i);
        }
    }
    memcpy(ret_address->name, name, length);
    ret_address->name[length] = '\0';
    return SLUICE_OK;
}

static int parse_port(const char *text, uint16_t *ret_port, sl_reason *ret_reason) {
    uint32_t port = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++) {
        port = port * 10 + (uint32_t)(text[digits] - '0');
    }
    if (digits == 0 || text[digits] != '\0' || port > UINT16_MAX) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address",
                             "the port is not a number from 0 to 65535");
    }
    *ret_port = (uint16_t)port;
    return SLUICE_OK;
}

static int parse_tcp(const char *rest, sl_address *address, sl_reason *ret_reason) {
    const char *host = rest;
    const char *colon = strrchr(rest, ':');
    if (colon == NULL) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address", "tcp:HOST:PORT has no port");
    }
    size_t length = (size_t)(colon - host);
    if (host[0] == '[') {
        if (length < 2 || host[length - 1] != ']') {
            return sl_reason_set(ret_reason, SLUICE_EINVAL, "address",
                                 "want tcp:[IPV6]:PORT after a bracket");
        }
        host++;
        length -= 2;
    } else if (memchr(host, ':', length) != NULL) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address",
                             "an IPv6 address stands in brackets: tcp:[IPV6]:PORT");
    }
    if (memchr(host, '[', length) != NULL || memchr(host, ']', length) != NULL) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address", "a bracket within the host");
    }
    int status = parse_port(colon + 1, &address->port, ret_reason);
    return status == SLUICE_OK ? copy_name(host, length, SL_ADDRESS_HOST_BYTES, address, ret_reason)
                               : status;
}

int sl_address_parse(const char *text, sl_address *ret_address, sl_reason *ret_reason) {
    sl_address address = {0};
    int status = SLUICE_OK;
    if (strncmp(text, "pipe:", 5) == 0) {
        address.kind = SL_ADDRESS_PIPE;
        status = copy_name(text + 5, strlen(text + 5), SL_ADDRESS_NAME_BYTES, &address, ret_reason);
    } else if (strncmp(text, "tcp:", 4) == 0) {
        address.kind = SL_ADDRESS_TCP;
        status = parse_tcp(text + 4, &address, ret_reason);
    } else {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address",
                             "want pipe:NAME, tcp:HOST:PORT or tcp:[IPV6]:PORT");
    }
    if (status == SLUICE_OK) {
        *ret_address = address;
    }
    return status;
}

/* Windows takes / and \ for the same. */
static bool is_separator(char c) {
    return c == '\\' || c == '/';
}

/* The length of the prefix that `name` begins with, in whatever case. 0: it has none. */
static size_t pipe_prefix(const char *name) {
    static const char prefix[] = "\\\\.\\pipe\\";
    for (size_t i = 0; i < sizeof(prefix) - 1; i++) {
        char c = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
        bool is_same =
            prefix[i] == '\\' ? is_separator(c) : c == prefix[i] || (prefix[i] == '.' && c == '?');
        if (!is_same) {
            return 0;
        }
    }
    return sizeof(prefix) - 1;
}

/* A part of it between / and \ is "..": with one a name can lead out of the pipes. */
static bool has_parent(const char *name) {
    while (*name != '\0') {
        size_t length = strcspn(name, "/\\");
        if (length == 2 && name[0] == '.' && name[1] == '.') {
            return true;
        }
        name += length;
        name += *name != '\0';
    }
    return false;
}

int sl_address_windows_pipe(const char *given, const char *where, const char **ret_name,
                            sl_reason *ret_reason) {
    size_t prefix = pipe_prefix(given);
    const char *name = given + prefix;
    *ret_name = name;
    if (prefix == 0 && is_separator(name[0]) && is_separator(name[1])) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, where,
                             "a pipe of another machine, or no pipe: only \\\\.\\pipe\\NAME and "
                             "NAME are reached");
    }
    if (name[strspn(name, "./\\ ")] == '\0') { /* Windows takes these off the end of a name */
        return sl_reason_set(ret_reason, SLUICE_EINVAL, where,
                             "nothing is left of the pipe's name without its dots and blanks");
    }
    if (has_parent(name)) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, where,
                             "\"..\" is no part of a pipe's name");
    }
    return SLUICE_OK;
}

const char *sl_address_text(const sl_address *address, char text[SL_ADDRESS_BYTES]) {
    sl_text builder;
    sl_text_init(&builder, text, SL_ADDRESS_BYTES - 1);
    if (address->kind == SL_ADDRESS_PIPE) {
        sl_text_append(&builder, "pipe:");
        sl_text_append(&builder, address->name);
    } else {
        bool is_ipv6 = strchr(address->name, ':') != NULL;
        sl_text_append(&builder, is_ipv6 ? "tcp:[" : "tcp:");
        sl_text_append(&builder, address->name);
        sl_text_append(&builder, is_ipv6 ? "]:" : ":");
        sl_text_append_u64(&builder, address->port);
    }
    text[builder.length] = '\0';
    return text;
}

void sl_address_from_ipv4(sl_address *ret_address, const uint8_t bytes[4], uint16_t port) {
    *ret_address = (sl_address){.kind = SL_ADDRESS_TCP, .port = port};
    sl_text builder;
    sl_text_init(&builder, ret_address->name, SL_ADDRESS_NAME_BYTES - 1);
    for (unsigned i = 0; i < 4; i++) {
        sl_text_append(&builder, i > 0 ? "." : "");
        sl_text_append_u64(&builder, bytes[i]);
    }
}

static void append_hex(sl_text *text, unsigned group) {
    static const char digits[] = "0123456789abcdef";
    char out[5];
    size_t length = 0;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = group >> shift & 15;
        if (digit != 0 || length > 0 || shift == 0) {
            out[length++] = digits[digit];
        }
    }
    out[length] = '\0';
    sl_text_append(text, out);
}

/* The longest run of two or more zero groups, the first of equals; its length, 0 = none. */
static unsigned longest_zeros(const unsigned groups[8], unsigned *ret_start) {
    unsigned best = 1;
    for (unsigned i = 0; i < 8; i++) {
        unsigned run = 0;
        while (i + run < 8 && groups[i + run] == 0) {
            run++;
        }
        if (run > best) {
            best = run;
            *ret_start = i;
        }
    }
    return best > 1 ? best : 0;
}

void sl_address_from_ipv6(sl_address *ret_address, const uint8_t bytes[16], uint32_t scope_id,
                          uint16_t port) {
    *ret_address = (sl_address){.kind = SL_ADDRESS_TCP, .port = port};
    sl_text builder;
    sl_text_init(&builder, ret_address->name, SL_ADDRESS_NAME_BYTES - 1);
    unsigned groups[8];
    for (unsigned i = 0; i < 8; i++) {
        groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    }
    unsigned start = 8;
    unsigned zeros = longest_zeros(groups, &start);
    for (unsigned i = 0; i < 8; i++) {
        if (zeros > 0 && i == start) {
            sl_text_append(&builder, "::");
            i += zeros - 1;
            continue;
        }
        sl_text_append(&builder, i > 0 && (zeros == 0 || i != start + zeros) ? ":" : "");
        append_hex(&builder, groups[i]);
    }
    if (scope_id != 0) {
        sl_text_append(&builder, "%");
        sl_text_append_u64(&builder, scope_id);
    }
}
