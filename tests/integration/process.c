/*
 * process.c - see process.h: what children say, and that none outlives the test.
 */
#include "tests/integration/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_MAX 16

/* os_process of each child, for whoever ends this process. */
static sl_atomic_u64 children[CHILDREN_MAX];

void process_kill_all(void) {
    for (int i = 0; i < CHILDREN_MAX; i++) {
        uint64_t child = atomic_exchange(&children[i], 0);
        if (child != 0) {
            process_os_kill(child);
        }
    }
}

void process_give_up(const char *file, int line, const char *what) {
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    (void)fflush(stderr);
    process_kill_all();
    _Exit(1);
}

static void remember(uint64_t os_process) {
    for (int i = 0; i < CHILDREN_MAX; i++) {
        uint_fast64_t none = 0;
        if (atomic_compare_exchange_strong(&children[i], &none, os_process)) {
            return;
        }
    }
    EXPECT(false && "more children than CHILDREN_MAX");
}

static void forget(uint64_t os_process) {
    for (int i = 0; i < CHILDREN_MAX; i++) {
        uint_fast64_t it = os_process;
        (void)atomic_compare_exchange_strong(&children[i], &it, 0);
    }
}

static void run_reader(void *context) {
    process *p = context;
    char bytes[4096];
    size_t count;
    do {
        count = process_os_read(p, bytes, sizeof(bytes));
        sl_mutex_lock(&p->lock);
        size_t room = PROCESS_TEXT_BYTES - 1 - p->length;
        size_t kept = count < room ? count : room; /* what does not fit is read all the same */
        memcpy(p->text + p->length, bytes, kept);
        p->length += kept;
        p->is_silent = count == 0;
        sl_cond_broadcast(&p->grown);
        sl_mutex_unlock(&p->lock);
    } while (count > 0);
}

void process_start(process *p, const char *const *words) {
    memset(p, 0, sizeof(*p));
    p->text = calloc(1, PROCESS_TEXT_BYTES);
    EXPECT(p->text != NULL);
    sl_mutex_init(&p->lock);
    sl_cond_init(&p->grown);
    process_os_start(p, words);
    remember(p->os_process);
    EXPECT(sl_thread_start(&p->reader, "reader", run_reader, p) == 0);
}

/* The text behind `text` in a whole line at or behind `from`; with the lock held. */
static const char *find(const process *p, size_t from, const char *text, size_t *ret_end) {
    const char *at = strstr(p->text + from, text);
    const char *end = at == NULL ? NULL : strchr(at, '\n');
    if (end == NULL) {
        return NULL;
    }
    *ret_end = (size_t)(end - p->text) + 1;
    return at + strlen(text);
}

static uint64_t patience_ends_ns(void) {
    return sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), PROCESS_PATIENCE_NS);
}

const char *process_until(process *p, const char *text) {
    uint64_t deadline_ns = patience_ends_ns();
    bool is_in_time = true;
    const char *found;
    sl_mutex_lock(&p->lock);
    while ((found = find(p, p->mark, text, &p->mark)) == NULL && !p->is_silent && is_in_time) {
        is_in_time = sl_cond_wait_until(&p->grown, &p->lock, deadline_ns);
    }
    sl_mutex_unlock(&p->lock);
    if (found == NULL) {
        (void)fprintf(stderr, "process %llu %s without: %s\n----- it said\n%s-----\n",
                      (unsigned long long)p->id,
                      is_in_time ? "has ended its output" : "goes on", text, p->text);
        EXPECT(found != NULL);
    }
    return found;
}

const char *process_has_said(process *p, const char *text) {
    uint64_t deadline_ns = patience_ends_ns();
    bool is_in_time = true;
    const char *found;
    size_t end;
    sl_mutex_lock(&p->lock);
    while ((found = find(p, 0, text, &end)) == NULL && p->has_ended && !p->is_silent &&
           is_in_time) {
        is_in_time = sl_cond_wait_until(&p->grown, &p->lock, deadline_ns);
    }
    sl_mutex_unlock(&p->lock);
    return found;
}

/* Moves what is left to the front when half of the room is behind us. */
static void compact(process *p) {
    if (p->mark > PROCESS_TEXT_BYTES / 2) {
        p->length -= p->mark;
        memmove(p->text, p->text + p->mark, p->length);
        memset(p->text + p->length, 0, p->mark);
        p->mark = 0;
    }
}

bool process_next_line(process *p, char *ret_line, size_t size) {
    sl_mutex_lock(&p->lock);
    size_t from = p->mark;
    bool is_there = find(p, from, "", &p->mark) != NULL;
    if (is_there) {
        size_t length = p->mark - from - 1;
        length -= length > 0 && p->text[from + length - 1] == '\r';
        length = length < size ? length : size - 1;
        memcpy(ret_line, p->text + from, length);
        ret_line[length] = '\0';
        compact(p);
    }
    sl_mutex_unlock(&p->lock);
    return is_there;
}

uint64_t process_open_count(void) {
    return process_open_count_of(process_own_id());
}

void process_tell(process *p, const char *text) {
    if (p->has_input) {
        process_os_write(p, text, strlen(text));
    }
}

void process_continue_input(process *p) {
    if (p->has_input) {
        p->has_input = false;
        process_os_close_input(p);
    }
}

bool process_wait(process *p, uint64_t timeout_ns) {
    if (!p->has_ended && process_os_wait(p, timeout_ns)) {
        p->has_ended = true;
        forget(p->os_process);
    }
    return p->has_ended;
}

void process_deinit(process *p) {
    process_continue_input(p);
    if (!process_wait(p, 0)) {
        process_kill(p);
        EXPECT(process_wait(p, PROCESS_PATIENCE_NS));
    }
    /* Its end is the pipe's: a child's own children were given no standard output. */
    sl_thread_join(&p->reader);
    process_os_close(p);
    sl_cond_deinit(&p->grown);
    sl_mutex_deinit(&p->lock);
    free(p->text);
    p->text = NULL;
}
