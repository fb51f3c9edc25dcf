/*
 * buffers.h - what the kernel holds for a handle: a part of the engine's contract (engine.h).
 *
 * A handle costs memory of the kernel's, too, for which whoever opens it may want to account. Any
 * open handle costs engine_handle_bytes. Where more is possible the two directions are apart:
 *   receiving  the buffer does not grow until engine_widen lets it, by engine_receive_step bytes
 *   sending    where engine_sends_more, what is written costs its length and ENGINE_SEND_BYTES a
 *              write, until engine_unsent says how much of it is still there
 * iocp and the simulator know only engine_handle_bytes. Nothing of this waits.
 */
#ifndef SLUICE_ENGINE_BUFFERS_H
#define SLUICE_ENGINE_BUFFERS_H

#include "engine/engine.h"

#define ENGINE_SEND_BYTES 4096u /* of a write: a small segment has 2 KiB around it (measured) */

/* 0: nothing. */
uint32_t engine_handle_bytes(const engine *engine);

/* Those below: the worker's thread, a handle that is open. 0: it cannot become larger. */
uint32_t engine_receive_step(engine_handle *handle);
void engine_widen(engine_handle *handle);
bool engine_sends_more(engine_handle *handle);
/* SLUICE_OK; ENOTSUP: the system does not say. */
int engine_unsent(engine_handle *handle, uint64_t *ret_bytes);

#endif
