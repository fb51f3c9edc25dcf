/*
 * choices.h - trying every choice of a deterministic program by running it again and again.
 *
 * The program asks choices_next() wherever something could go one way or another. One run follows a
 * path of answers; beyond its end the answer is 0 and the path grows. choices_advance() makes the
 * next path, depth first: all paths of a finite program are tried, each once.
 *
 * Two paths may lead to the same state. The program says so with choices_is_new(): of a state that
 * was met before, everything that can follow is tried already (or will be, by the path that met it
 * first), so the run need not choose any further. That is sound if the same fingerprint means the
 * same future; it loses nothing else. The set is exact but for collisions of 64 bits.
 *
 * Thread: one.
 */
#ifndef SLUICE_TESTS_MODEL_CHOICES_H
#define SLUICE_TESTS_MODEL_CHOICES_H

#include <stdbool.h>
#include <stdint.h>

#define CHOICES_MAX 512u /* on one path */

typedef struct choices {
    uint8_t answer[CHOICES_MAX];
    uint8_t bound[CHOICES_MAX];
    unsigned length;
    unsigned at;
    uint64_t *seen; /* fingerprints; 0 = free */
    uint64_t seen_size;
    uint64_t seen_count;
    uint64_t merged_count; /* states that were met again */
} choices;

void choices_init(choices *c);
void choices_deinit(choices *c);
/* A new search: no path yet, no state seen. */
void choices_reset(choices *c);

/* One of 0 to bound - 1; bound is 1 to 255. */
unsigned choices_next(choices *c, unsigned bound);
/* Still on the path that an earlier run has taken? */
bool choices_is_replay(const choices *c);
/* Was a state with this fingerprint never met? Asked beyond the path only. */
bool choices_is_new(choices *c, uint64_t fingerprint);
/* The next path; false = that was the last one. */
bool choices_advance(choices *c);

/* The path as text, "1.0.2", and back (false: not such a text). */
void choices_text(const choices *c, char *text, unsigned size);
bool choices_parse(choices *c, const char *text);

/* Mixes a number into a fingerprint. */
static inline void choices_mix(uint64_t *fingerprint, uint64_t value) {
    uint64_t mixed = (*fingerprint ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 32;
    mixed *= UINT64_C(0xd6e8feb86659fd93);
    *fingerprint = mixed ^ mixed >> 29;
}

#endif
