/*
 * open.h - operations that open handles: pair, connect, listen.
 */
#ifndef SLUICE_BROKER_OPEN_H
#define SLUICE_BROKER_OPEN_H

#include "broker/op.h"

void open_pair(broker_op *op);
void open_connect(broker_op *op, const char *address);
void open_listen(broker_op *op, const char *address, uint32_t backlog);

#endif
