/*
 * proto_test.h - what the tests of proto/ share: cmocka's includes, a decoder, samples of every
 * message.
 */
#ifndef SLUICE_TESTS_PROTO_PROTO_TEST_H
#define SLUICE_TESTS_PROTO_PROTO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/status.h"
#include "proto/frame.h"
#include "proto/message.h"

/* A decoder, and the books that show that decoding does not allocate. */
typedef struct test_decoder {
    sl_account account;
    sl_arena arena;
    sl_session_limits limits; /* the defaults */
    sl_frame_limits frame_limits;
} test_decoder;

void decoder_init(test_decoder *decoder);
void decoder_deinit(test_decoder *decoder); /* checks that init's was the only allocation */

/* Samples: at least one of each kind, and the longest of each. NULL past the end. */
const sl_request *sample_request(size_t index);
const sl_response *sample_response(size_t index);

/* A payload length that goes with it. */
uint32_t sample_request_payload(const sl_request *request);
uint32_t sample_response_payload(const sl_response *response);

/* Every byte of a text of the greatest length. */
extern char text_of_64[65];
extern char text_of_256[257];
extern char address_of_512[513];

void samples_init(void);

#endif
