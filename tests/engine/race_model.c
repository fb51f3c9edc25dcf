/*
 * race_model.c - which byte streams may come out of a series of writes.
 *
 * Every write of a lane has bytes of its own. A write that ended has sent n bytes, done <= n <=
 * done + in_doubt; the stream is the concatenation of those. The model follows the stream with a
 * set of possible positions (a nondeterministic automaton): after a byte in doubt both "the write
 * went on" and "the next write began" are possible, until a later byte tells. No position left =
 * a byte was lost, doubled, changed or out of order. Bytes that arrive before their write's
 * outcome is known wait.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/engine/race.h"

static lane_write *write_of(lane *l, uint64_t number) {
    return &l->writes[number % LANE_WRITES];
}

/* The bytes of a write: contiguous for at least RACE_WRITE_MAX. */
static const uint8_t *bytes_of(const lane *l, uint64_t number) {
    return pattern_at(l->salt, number * UINT64_C(40503));
}

void lane_init(lane *l) {
    memset(l, 0, sizeof(*l));
    sl_mutex_init(&l->mutex);
    l->unjudged = malloc(LANE_ROOM);
    EXPECT(l->unjudged != NULL);
}

void lane_deinit(lane *l) {
    free(l->unjudged);
    sl_mutex_deinit(&l->mutex);
}

void lane_reset(lane *l, uint32_t salt) {
    sl_mutex_lock(&l->mutex);
    l->salt = salt;
    l->next = 0;
    l->states[0].number = 0;
    l->states[0].at = 0;
    l->state_count = 1;
    l->unjudged_length = 0;
    l->received = 0;
    l->possible = 0;
    l->doubtful = 0;
    l->eof = false;
    sl_mutex_unlock(&l->mutex);
}

static void add_state(lane *l, uint64_t number, uint32_t at) {
    for (unsigned i = 0; i < l->state_count; i++) {
        if (l->states[i].number == number && l->states[i].at == at) {
            return;
        }
    }
    EXPECT(l->state_count < LANE_STATES);
    l->states[l->state_count].number = number;
    l->states[l->state_count].at = at;
    l->state_count++;
}

/* Adds what is possible without a byte: the next write begins where one may have ended. States that
 * can take no byte of their own write are dropped. */
static void close_states(lane *l) {
    for (unsigned i = 0; i < l->state_count;) {
        lane_state state = l->states[i];
        if (state.number == l->next || !write_of(l, state.number)->is_final) {
            i++;
            continue;
        }
        const lane_write *write = write_of(l, state.number);
        if (state.at >= write->done) {
            add_state(l, state.number + 1, 0);
        }
        if (state.at == write->done + write->in_doubt) {
            l->states[i] = l->states[--l->state_count];
        } else {
            i++;
        }
    }
}

static uint64_t oldest_write(const lane *l) {
    uint64_t oldest = l->next;
    for (unsigned i = 0; i < l->state_count; i++) {
        oldest = l->states[i].number < oldest ? l->states[i].number : oldest;
    }
    return oldest;
}

static bool must_wait(lane *l) {
    for (unsigned i = 0; i < l->state_count; i++) {
        if (l->states[i].number != l->next && !write_of(l, l->states[i].number)->is_final) {
            return true;
        }
    }
    return false;
}

/* One byte through all states. */
static void step(lane *l, uint8_t byte) {
    lane_state before[LANE_STATES];
    unsigned count = l->state_count;
    memcpy(before, l->states, count * sizeof(before[0]));
    l->state_count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (before[i].number != l->next && bytes_of(l, before[i].number)[before[i].at] == byte) {
            add_state(l, before[i].number, before[i].at + 1);
        }
    }
    if (l->state_count == 0) {
        t_fail(
            __FILE__, __LINE__,
            "lost, doubled or wrong: byte %llu of a stream is %u; expected byte %u of write %llu "
            "of %llu",
            (unsigned long long)(l->received - l->unjudged_length), byte, before[0].at,
            (unsigned long long)before[0].number, (unsigned long long)l->next);
    }
}

/* The common case: one position, in the certain part of a write. Returns how many bytes were
 * judged. */
static size_t judge_run(lane *l, const uint8_t *bytes, size_t length) {
    lane_state *state = &l->states[0];
    if (l->state_count != 1 || state->number == l->next) {
        return 0;
    }
    const lane_write *write = write_of(l, state->number);
    if (state->at >= write->done) {
        return 0;
    }
    size_t count = write->done - state->at;
    count = count < length ? count : length;
    if (memcmp(bytes, bytes_of(l, state->number) + state->at, count) != 0) {
        return 0; /* step() says where */
    }
    state->at += (uint32_t)count;
    return count;
}

static void judge(lane *l) {
    size_t at = 0;
    close_states(l);
    while (at < l->unjudged_length && !must_wait(l)) {
        size_t count = judge_run(l, l->unjudged + at, l->unjudged_length - at);
        if (count == 0) {
            step(l, l->unjudged[at]);
            count = 1;
        }
        at += count;
        close_states(l);
    }
    l->unjudged_length -= at;
    memmove(l->unjudged, l->unjudged + at, l->unjudged_length);
}

bool lane_has_room(lane *l) {
    sl_mutex_lock(&l->mutex);
    bool room = l->next - oldest_write(l) < LANE_WRITES;
    sl_mutex_unlock(&l->mutex);
    return room;
}

uint64_t lane_begin_write(lane *l, uint8_t *bytes, uint32_t length) {
    sl_mutex_lock(&l->mutex);
    uint64_t number = l->next++;
    lane_write *write = write_of(l, number);
    memset(write, 0, sizeof(*write));
    write->length = length;
    memcpy(bytes, bytes_of(l, number), length);
    sl_mutex_unlock(&l->mutex);
    return number;
}

void lane_forget_write(lane *l, uint64_t number) {
    sl_mutex_lock(&l->mutex);
    EXPECT(number + 1 == l->next);
    l->next--;
    sl_mutex_unlock(&l->mutex);
}

void lane_end_write(lane *l, uint64_t number, uint32_t done, uint32_t in_doubt) {
    sl_mutex_lock(&l->mutex);
    lane_write *write = write_of(l, number);
    EXPECT(!write->is_final);
    EXPECT(done <= write->length && in_doubt <= write->length - done);
    write->done = done;
    write->in_doubt = in_doubt;
    write->is_final = true;
    l->doubtful += in_doubt > 0;
    l->possible += done + in_doubt;
    judge(l);
    sl_mutex_unlock(&l->mutex);
}

void lane_receive(lane *l, const uint8_t *bytes, size_t length) {
    sl_mutex_lock(&l->mutex);
    EXPECT(!l->eof || length == 0);
    EXPECT(length <= LANE_ROOM - l->unjudged_length);
    memcpy(l->unjudged + l->unjudged_length, bytes, length);
    l->unjudged_length += length;
    l->received += length;
    judge(l);
    sl_mutex_unlock(&l->mutex);
}

void lane_receive_eof(lane *l, int write_error) {
    sl_mutex_lock(&l->mutex);
    l->write_error = write_error;
    l->eof = true;
    sl_mutex_unlock(&l->mutex);
}

bool lane_is_unread(lane *l) {
    sl_mutex_lock(&l->mutex);
    bool unread = l->possible > l->received;
    sl_mutex_unlock(&l->mutex);
    return unread;
}

bool lane_finish(lane *l, bool may_be_cut) {
    bool complete = false;
    sl_mutex_lock(&l->mutex);
    judge(l);
    EXPECT(l->unjudged_length == 0);
    for (unsigned i = 0; i < l->state_count; i++) {
        complete = complete || l->states[i].number == l->next;
    }
    /* The end of the file comes after every byte that is certainly out. */
    if (l->eof && !complete && !may_be_cut) {
        lane_write *write = write_of(l, l->states[0].number);
        t_fail(__FILE__, __LINE__,
               "bytes lost: the end came after byte %llu, at byte %u of write %llu of %llu (%u "
               "done, %u in doubt); the reader's own last write error: %s",
               (unsigned long long)l->received, l->states[0].at,
               (unsigned long long)l->states[0].number, (unsigned long long)l->next, write->done,
               write->in_doubt, sl_status_name(l->write_error));
    }
    bool was_cut = l->eof && !complete;
    sl_mutex_unlock(&l->mutex);
    return !was_cut;
}
