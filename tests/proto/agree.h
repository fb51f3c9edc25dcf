/*
 * agree.h - decodes a control message both ways, the short (proto/flat.h) and the general, and
 * checks that they agree in everything: status, words, meaning, and the bytes when it is encoded
 * again. Without a test framework, so that fuzzers use it too; aborts when they do not agree.
 */
#ifndef SLUICE_TESTS_PROTO_AGREE_H
#define SLUICE_TESTS_PROTO_AGREE_H

#include "proto/message.h"

int agree_response(sl_arena *arena, const uint8_t *bytes, size_t length, uint32_t payload_length,
                   sl_response *ret_response, sl_reason *ret_reason);
int agree_request(sl_arena *arena, const sl_session_limits *limits, const uint8_t *bytes,
                  size_t length, uint32_t payload_length, sl_request *ret_request,
                  sl_reason *ret_reason);

#endif
