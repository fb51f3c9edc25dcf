/*
 * far.h - the other processes of a bench, and the blocking streams to them.
 *
 * A far process is this program again, with a hidden command line: it plays one role for one
 * connection after another, until it is ended or this program ends. It listens before
 * bench_far_start returns, because its listener is made here and inherited. far_posix.c, far_win.c;
 * what it does, on both systems: role.c.
 *
 * This is the tool's raw side: kept out of the audit's judgement (docs/audit.md).
 */
#ifndef SLUICE_CLI_BENCH_FAR_H
#define SLUICE_CLI_BENCH_FAR_H

#include "client/cli/bench/bench.h"

#define BENCH_NAME_BYTES   108u
#define BENCH_ARENA_BYTES  (4u << 20)
#define BENCH_BUFFER_BYTES (64u << 10) /* what a copier reads at a time */

/* A byte stream between processes; calls block. Zero = closed. */
typedef struct bench_stream {
    uintptr_t os; /* descriptor + 1, HANDLE */
    uintptr_t os_event;
} bench_stream;

bool bench_stream_connect(const char *name, bench_stream *ret_stream);
/* The two ends of an anonymous pipe: [0] reads what [1] writes. */
bool bench_stream_pipe(bench_stream ret_ends[2]);
void bench_stream_close(bench_stream *stream);
/* All of it; false = the other end is gone. */
bool bench_stream_write(bench_stream *stream, const void *bytes, size_t count);
bool bench_stream_read(bench_stream *stream, void *bytes, size_t count);
/* What is there, at least one byte; 0 = the other end is gone. */
size_t bench_stream_read_some(bench_stream *stream, void *bytes, size_t room);

/* Memory shared with a far process. Who waits spins. */
typedef struct bench_region {
    sl_atomic_u32 ping; /* number of the message in `there` */
    char there[BENCH_BYTES];
    char apart_1[128 - BENCH_BYTES - sizeof(sl_atomic_u32)]; /* the other side's is another line */
    sl_atomic_u32 pong;
    char back[BENCH_BYTES];
    char apart_2[128 - BENCH_BYTES - sizeof(sl_atomic_u32)];
    sl_atomic_u32 stop; /* the far process goes back to its stream */
    char apart_3[4096 - 256 - sizeof(sl_atomic_u32)];
    char arena[BENCH_ARENA_BYTES];
} bench_region;

/* What begins a bulk transfer on a stream: `count` bytes follow in that direction; when all has
 * arrived the sink sends one byte. */
typedef struct bench_header {
    uint64_t count;
    uint32_t is_in; /* from the far end */
    uint32_t block;
} bench_header;

typedef enum bench_place { BENCH_HOME, BENCH_AWAY, BENCH_THIRD } bench_place;

typedef enum bench_role {
    BENCH_ROLE_ECHO,   /* sends messages back */
    BENCH_ROLE_BULK,   /* takes or gives blocks */
    BENCH_ROLE_RELAY,  /* messages to the next process, and back */
    BENCH_ROLE_COPY,   /* blocks to the next process, or from it */
    BENCH_ROLE_RING,   /* sends messages in the region back, spinning */
    BENCH_ROLE_SHARED, /* writes what lies in the region to the next process */
    BENCH_ROLE_AWAKE,  /* keeps its processor awake, with what nobody else wants of it */
    BENCH_ROLE_END,    /* ends at once */
    BENCH_ROLE_BROOM,  /* POSIX: clears away where they listen, if we do not */
} bench_role;

typedef struct bench_far {
    bench_role role;
    uint64_t process_id;
    uintptr_t os_process;
    char name[BENCH_NAME_BYTES];        /* for bench_stream_connect */
    char address[BENCH_NAME_BYTES + 8]; /* "pipe:...", for a broker; in the program's memory */
    bench_region *region;
    uintptr_t os_region;
} bench_far;

/* Starts one, on the processor of that place. `next` = the name of the process it connects to, or
 * NULL. All zero after a failure. SLUICE_OK, or why not. */
int bench_far_start(const bench_stage *stage, bench_role role, bench_place place, const char *next,
                    bench_far *ret_far);
/* Ends it, if there is one. */
void bench_far_stop(bench_far *peer);
/* Is it still there? */
bool bench_far_lives(const bench_far *peer);
/* Starts a process of this program and waits for its end. */
bool bench_far_process(void);
/* We are a far process: plays its role. The exit code. */
int bench_far_serve(int count, char **argv);

/* role.c: until the stream's end. */
void bench_role_play(bench_role role, bench_stream *stream, const char *next, bench_region *region);

/* ---- the machine (machine_posix.c, machine_win.c) ---- */

/* Binds a process and those that it starts to a processor. False: not possible. */
bool bench_machine_pin(uint64_t process_id, unsigned processor);
/* The time a process has had on processors; 0 = not known. */
uint64_t bench_machine_cpu_ns(uint64_t process_id);
/* What a process has in memory; *ret_kind says in which sense. 0 = not known. */
uint64_t bench_machine_memory(uint64_t process_id, const char **ret_kind);
/* Since the start, of all processors: time at work, time stolen by a hypervisor, and all time. */
typedef struct bench_times {
    double busy, stolen, all; /* all = 0: not known. stolen < 0: not known */
} bench_times;
bench_times bench_machine_times(void);
/* What it is, for people. */
void bench_machine_words(char *ret_text, size_t size);
/* The calling process takes only what nobody else wants. */
void bench_machine_be_idle(void);
/* Waits until a waitable of the library is ready, a second at most. */
void bench_machine_wait(uint64_t waitable);

#endif
