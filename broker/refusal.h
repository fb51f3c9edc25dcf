/*
 * refusal.h - connections that become no session: each is told why, in a Goodbye, and closed.
 *
 * They cost a fixed number of small places of the worker, and each user gets at most half of those
 * that others leave: it may be strangers who hold them, and a client that came too late must not
 * take silence for "no broker" because of them. Strangers are together one user. Whoever finds no
 * place is closed without a word. A place is free again when the client has hung up, as it does
 * when it has read the Goodbye, or after a second.
 */
#ifndef SLUICE_BROKER_REFUSAL_H
#define SLUICE_BROKER_REFUSAL_H

#include "broker/types.h"

#define REFUSALS_MAX 32u /* of a worker at a time */

typedef struct broker_refusal {
    broker_worker *worker;
    broker_target write_target;
    broker_target read_target;
    broker_target close_target;
    broker_timer timer;
    engine_handle *pipe; /* NULL: a free place */
    uint32_t whom;       /* users_hash */
    bool is_closing;
    bool is_writing; /* in the engine */
    bool is_reading;
    uint8_t scrap[64]; /* what the client says is not listened to */
    uint8_t goodbye[SL_RESPONSE_BYTES_EVENT];
} broker_refusal;

/* SLUICE_OK, ENOMEM. */
int refusal_init(broker_worker *worker);

/* Tells and closes it. whom: users_hash of the user, 0 = a stranger. */
void refusal_send(broker_worker *worker, engine_handle *pipe, uint32_t whom, int status,
                  const char *detail);
/* A worker that ends waits for nobody to read; who comes then is closed without a word. */
void refusal_end_all(broker_worker *worker);
/* Adds the handles and requests that the engine has of them, those without a place included. */
void refusal_count(const broker_worker *worker, uint32_t *handles, uint32_t *requests);

#endif
