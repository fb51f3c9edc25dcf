/* address.c - building addresses. What a platform accepts is checked where the address is used. */
#include <string.h>

#include "engine/backend.h"

int engine_address_pipe(engine_address *ret_address, const char *name) {
    size_t length = strlen(name);
    if (length == 0) {
        return SLUICE_EINVAL;
    }
    if (length >= ENGINE_PIPE_NAME_BYTES) {
        return SLUICE_ENAMETOOLONG;
    }
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->family = ENGINE_ADDRESS_PIPE;
    memcpy(ret_address->pipe, name, length + 1);
    return SLUICE_OK;
}

int engine_address_endpoint(engine_address *ret_address, const char *name) {
    int status = engine_address_pipe(ret_address, name);
    if (status == SLUICE_OK) {
        ret_address->is_endpoint = true;
    }
    return status;
}

void engine_address_ipv4(engine_address *ret_address, const uint8_t ip[4], uint16_t port) {
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->family = ENGINE_ADDRESS_IPV4;
    ret_address->port = port;
    memcpy(ret_address->ip, ip, 4);
}

/* RFC 4291, 2.5.5.2. What a socket of both protocols says of an IPv4 peer. */
static bool is_mapped_ipv4(const uint8_t ip[16]) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

void engine_address_ipv6(engine_address *ret_address, const uint8_t ip[16], uint32_t scope_id,
                         uint16_t port) {
    if (is_mapped_ipv4(ip)) {
        engine_address_ipv4(ret_address, ip + 12, port);
        return;
    }
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->family = ENGINE_ADDRESS_IPV6;
    ret_address->port = port;
    ret_address->scope_id = scope_id;
    memcpy(ret_address->ip, ip, 16);
}

void engine_address_loopback(engine_address *ret_address, uint16_t port) {
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    engine_address_ipv4(ret_address, loopback, port);
}

bool engine_address_is_any(const engine_address *address) {
    static const uint8_t any[16];
    return (address->family == ENGINE_ADDRESS_IPV4 || address->family == ENGINE_ADDRESS_IPV6) &&
           memcmp(address->ip, any, sizeof(any)) == 0;
}

bool engine_is_of_one_link(const uint8_t ip[16]) {
    return (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) || (ip[0] == 0xff && (ip[1] & 0x0f) == 2);
}

bool engine_address_lacks_link(const engine_address *address) {
    return address->family == ENGINE_ADDRESS_IPV6 && address->scope_id == 0 &&
           engine_is_of_one_link(address->ip);
}

bool engine_address_equal(const engine_address *a, const engine_address *b) {
    if (a->family != b->family) {
        return false;
    }
    if (a->family == ENGINE_ADDRESS_PIPE) {
        return a->is_endpoint == b->is_endpoint && strcmp(a->pipe, b->pipe) == 0;
    }
    return a->port == b->port && a->scope_id == b->scope_id &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool engine_is_connected_to_itself(const engine_address *own, const engine_address *to) {
    /* To "any" address is to this machine's loopback, and comes from there: connect(2). */
    return engine_address_equal(own, to) || (engine_address_is_any(to) && own->port == to->port);
}
