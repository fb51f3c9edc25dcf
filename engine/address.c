/* address.c - building addresses. What a platform accepts is checked where the address is used. */
#include <string.h>

#include "engine/engine.h"

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

void engine_address_ipv4(engine_address *ret_address, const uint8_t ip[4], uint16_t port) {
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->family = ENGINE_ADDRESS_IPV4;
    ret_address->port = port;
    memcpy(ret_address->ip, ip, 4);
}

void engine_address_ipv6(engine_address *ret_address, const uint8_t ip[16], uint32_t scope_id,
                         uint16_t port) {
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
