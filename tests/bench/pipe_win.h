/*
 * pipe_win.h - making overlapped named pipes by hand, for the raw loop. Windows only.
 *
 * Buffers are as large as the engine's, so that writes pend at the same fill.
 */
#ifndef SLUICE_BENCH_PIPE_WIN_H
#define SLUICE_BENCH_PIPE_WIN_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdbool.h>

#define LOOPS_PIPE_BUFFER_BYTES 65536u

/* A new server instance on the port with that key; INVALID_HANDLE_VALUE when it cannot be had. */
HANDLE loops_pipe_create(const char *name, HANDLE port, ULONG_PTR key);

/* Opens the client end, trying again while all instances are busy; INVALID_HANDLE_VALUE as
 * above. */
HANDLE loops_pipe_open(const char *name, HANDLE port, ULONG_PTR key);

#endif
