/*
 * version.h - which version of the protocol a session speaks.
 *
 * Both sides state the range they speak; the highest common version holds. A version counts up only
 * when something changes its meaning; fields, kinds, statuses and events are added without
 * (docs/protocol.md, "Versions").
 */
#ifndef SLUICE_PROTO_VERSION_H
#define SLUICE_PROTO_VERSION_H

#include <stdint.h>

#include "proto/reason.h"

/* What this code speaks. */
#define SL_VERSION_MIN 1
#define SL_VERSION_MAX 1

typedef struct sl_version_range {
    uint32_t min;
    uint32_t max;
} sl_version_range;

/* SLUICE_OK and the version; EVERSION (none in common); EINVAL (0, or min above max). Symmetric. */
int sl_version_choose(sl_version_range ours, sl_version_range theirs, uint32_t *ret_version,
                      sl_reason *ret_reason);

#endif
