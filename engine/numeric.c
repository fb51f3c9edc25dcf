/*
 * numeric.c - addresses in figures: what is written out needs no look-up, and no opener.
 *
 * IPv4 in four decimal parts; IPv6 as RFC 4291 has it, with a scope that is a number or, at a
 * link-local address, the name of an interface, if the system says without waiting which that is
 * (RFC 4007). Everything else, also the older forms ("127.1", "0x7f000001", parts that begin with a
 * 0), is a name to us, and the system's resolver reads it.
 */
#include <string.h>

#include "engine/opener.h"

#define IPV4_BYTES 4u
#define IPV6_BYTES 16u

/* Reads to the end of the text. */
static bool parse_ipv4(const char *text, uint8_t ret_ip[IPV4_BYTES]) {
    for (unsigned i = 0; i < IPV4_BYTES; i++) {
        unsigned value = 0;
        unsigned digits = 0;
        for (; *text >= '0' && *text <= '9'; text++, digits++) {
            if (digits > 0 && value == 0) {
                return false; /* octal, elsewhere */
            }
            value = value * 10 + (unsigned)(*text - '0');
            if (value > 255) {
                return false;
            }
        }
        if (digits == 0 || *text != (i + 1 < IPV4_BYTES ? '.' : '\0')) {
            return false;
        }
        ret_ip[i] = (uint8_t)value;
        text++;
    }
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* What has been read of an IPv6 address. */
typedef struct ipv6_parse {
    uint8_t bytes[IPV6_BYTES];
    unsigned count;
    unsigned gap; /* where "::" stands, if it does */
    bool has_gap;
} ipv6_parse;

/* One group at *text, and what parts it from the next. false: not an address. */
static bool parse_group(ipv6_parse *parse, const char **text) {
    const char *begin = *text;
    unsigned value = 0;
    unsigned digits = 0;
    for (int digit; (digit = hex_digit(**text)) >= 0 && digits < 5; ++*text, digits++) {
        value = value * 16 + (unsigned)digit;
    }
    if (**text == '.' && parse->count + IPV4_BYTES <= IPV6_BYTES &&
        parse_ipv4(begin, parse->bytes + parse->count)) {
        parse->count += IPV4_BYTES;
        *text = begin + strlen(begin);
        return true;
    }
    if (digits == 0 || digits > 4 || parse->count + 2 > IPV6_BYTES) {
        return false;
    }
    parse->bytes[parse->count++] = (uint8_t)(value >> 8);
    parse->bytes[parse->count++] = (uint8_t)value;
    if (**text == '\0') {
        return true;
    }
    if (*(*text)++ != ':') {
        return false;
    }
    return **text != '\0'; /* no single colon at the end: "::" is looked for next */
}

/* "::" at *text, once. */
static bool parse_gap(ipv6_parse *parse, const char **text) {
    if (parse->has_gap) {
        return false;
    }
    parse->has_gap = true;
    parse->gap = parse->count;
    *text += parse->count == 0 ? 2 : 1; /* behind a group its first colon has been read */
    return **text != ':';
}

static bool parse_ipv6(const char *text, uint8_t ret_ip[IPV6_BYTES]) {
    ipv6_parse parse = {.count = 0};
    if (text[0] == ':' && text[1] != ':') {
        return false;
    }
    while (*text != '\0') {
        bool is_gap = *text == ':';
        if (is_gap ? !parse_gap(&parse, &text) : !parse_group(&parse, &text)) {
            return false;
        }
    }
    if (parse.has_gap ? parse.count > IPV6_BYTES - 2 : parse.count != IPV6_BYTES) {
        return false;
    }
    memset(ret_ip, 0, IPV6_BYTES);
    unsigned before = parse.has_gap ? parse.gap : IPV6_BYTES;
    memcpy(ret_ip, parse.bytes, before);
    if (parse.has_gap) {
        unsigned after = parse.count - before;
        memcpy(ret_ip + IPV6_BYTES - after, parse.bytes + before, after);
    }
    return true;
}

static bool parse_scope(const char *text, const uint8_t ip[IPV6_BYTES], uint32_t *ret_scope) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= UINT32_MAX; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (*text != '\0' && *at == '\0' && value <= UINT32_MAX) {
        *ret_scope = (uint32_t)value;
        return true;
    }
    *ret_scope = engine_is_of_one_link(ip) ? engine_opener_os_interface(text) : 0;
    return *ret_scope != 0;
}

bool engine_numeric_address(const char *host, uint16_t port, engine_address *ret_address) {
    uint8_t ip[IPV6_BYTES];
    if (parse_ipv4(host, ip)) {
        engine_address_ipv4(ret_address, ip, port);
        return true;
    }
    char text[ENGINE_HOST_BYTES];
    uint32_t scope_id = 0;
    size_t length = strcspn(host, "%");
    memcpy(text, host, length);
    text[length] = '\0';
    if (!parse_ipv6(text, ip) ||
        (host[length] == '%' && !parse_scope(host + length + 1, ip, &scope_id))) {
        return false;
    }
    engine_address_ipv6(ret_address, ip, scope_id, port);
    return true;
}
