/*
 * failpoint_request.c - see failpoint_request.h. Test builds only.
 *
 * The product's decoder knows no such request, so that the product has nothing of it. What gets
 * here was found well formed (proto/wire.c): the little reader below only looks for two fields.
 */
#include "broker/failpoint_request.h"

#include <string.h>

#include "base/failpoint.h"
#include "broker/op.h"
#include "broker/quota.h"

#define TEXT_BYTES         4096u
#define TEXT_FIELD         1u
#define WIRE_VARINT        0u
#define WIRE_LENGTH        2u

typedef struct piece {
    const uint8_t *at;
    size_t length;
} piece;

static bool take_number(piece *from, uint64_t *ret_number) {
    uint64_t number = 0;
    for (unsigned shift = 0; from->length > 0 && shift < 64; shift += 7) {
        uint8_t byte = *from->at++;
        from->length--;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

/* The field of that number that has a length, among others that are numbers or have one. */
static bool find(piece from, uint64_t number, piece *ret_found) {
    uint64_t tag;
    uint64_t value;
    while (take_number(&from, &tag) && take_number(&from, &value)) {
        if ((tag & 7) == WIRE_VARINT) {
            continue;
        }
        if ((tag & 7) != WIRE_LENGTH || value > from.length) {
            return false;
        }
        *ret_found = (piece){from.at, (size_t)value};
        if (tag >> 3 == number) {
            return true;
        }
        from.at += value;
        from.length -= (size_t)value;
    }
    return false;
}

static int configure(broker_worker *worker, piece text, sl_reason *ret_reason) {
    static const char where[] = "failpoints";
    char copy[TEXT_BYTES];
    char error[SL_FAILPOINT_ERROR_BYTES];
    if (text.length >= sizeof(copy)) {
        return sl_reason_set(ret_reason, SLUICE_ETOOLARGE, where, "a text of 4 KiB at most");
    }
    memcpy(copy, text.at, text.length);
    copy[text.length] = '\0';
    sl_failpoint_exempt_this_thread(); /* first: it must be able to answer */
    if (!sl_failpoint_configure(copy, error)) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, where, error);
    }
    return sl_reason_value(ret_reason, SLUICE_OK, where, "set by worker", worker->index);
}

bool failpoint_request(broker_session *session, const sl_request *request, const sl_frame *frame) {
    piece inner;
    piece text = {(const uint8_t *)"", 0};
    broker_op *op;
    if (request->kind != SL_REQUEST_NONE ||
        !find((piece){frame->control, frame->control_length}, FAILPOINT_REQUEST_KIND, &inner) ||
        op_create(session, request->id, request->kind, &op) != SLUICE_OK) {
        return false; /* an id that is in use is a violation, as of any request */
    }
    sl_reason reason = {""};
    (void)find(inner, TEXT_FIELD, &text); /* none: nothing changes but whose worker is exempt */
    int status = quota_take_refusal(op);
    if (status == SLUICE_OK) {
        status = configure(session->worker, text, &reason);
    }
    op_refuse(op, status, &reason);
    return true;
}
