/*
 * share.h - a simulated broker that several users share, with small limits, and how a client comes
 * to be at its user's limit of memory.
 */
#ifndef SLUICE_TESTS_BROKER_SHARE_H
#define SLUICE_TESTS_BROKER_SHARE_H

#include "tests/broker/rig.h"

#define ALICE       2001u
#define BOB         2002u
#define MIB         (1u << 20)
#define USER_MEMORY (4u * MIB)
#define MEMORY      (16u * MIB)
#define WORKERS     3u
#define PART        65536u
#define CROWD       6u /* a user may have one session more */
#define USER_LIMIT  "this user's limit user_memory_bytes of 4 MiB is reached"
#define ALL_LIMIT   "the broker's limit memory_bytes of 16 MiB is reached"

typedef struct share_rig {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
} share_rig;

extern uint8_t share_pattern[MIB];

void share_fill_pattern(void); /* first */
void share_open(share_rig *s, uint64_t seed);
void share_close(share_rig *s);
raw_client *share_client(share_rig *s, uint32_t user_id);
void share_expect_alive(raw_client *c);
/* A MiB through a pipe of its own. */
void share_use(raw_client *c);
/* Writes to a pair what nobody reads, until nothing is left: in smaller and smaller pieces, and
 * again when the session's input buffer has become small. Returns the bytes that are held. */
uint64_t share_fill(raw_client *c, const uint64_t ends[2], const char *limit);

#endif
