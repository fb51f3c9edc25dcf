/*
 * iocp_stream.c - reading and writing pipes and connected sockets.
 *
 * A read is one ReadFile or WSARecv; its packet ends it. A read of no bytes pends until there is
 * data, an end of file or an error, and takes nothing (WINDOWS-IO.md). A read that the kernel
 * aborted has taken nothing from the stream (R5).
 *
 * A write is one WSASend of its buffers, or on a pipe, which has no gather, one WriteFile after
 * another, each when the packet of the one before is in. Pipe writes are cut into chunks of the
 * pipe's quota and sends into IOCP_SEND_BYTES, so that what is in doubt after a cancel, and what
 * the kernel locks, stays small. request->done counts the bytes
 * whose packets said success. The byte count of a failed write is not used: drivers disagree about
 * it (WINDOWS-IO.md), so all that was in the kernel is in doubt.
 */
#include "engine/iocp.h"

static bool is_pipe(const iocp_request *r) {
    return SL_CONTAINER_OF(r->request.handle, iocp_handle, handle)->type == IOCP_PIPE;
}

static SOCKET socket_of(const iocp_request *r) {
    return (SOCKET)SL_CONTAINER_OF(r->request.handle, iocp_handle, handle)->os;
}

/* Ends a read or write that failed. */
static void stream_failed(iocp_request *r, DWORD code, size_t in_doubt) {
    if (engine_iocp_status(code) == SLUICE_ERESET) {
        engine_iocp_handle(r->request.handle)->was_reset = true;
    }
    engine_iocp_fail(&r->request, code, r->request.done, in_doubt);
}

/* ---- reading ---- */

/* The end of a pipe is an error to the kernel. */
static void read_failed(iocp_request *r, DWORD code) {
    if (engine_iocp_status(code) == SLUICE_EBROKENPIPE && is_pipe(r)) {
        engine_request_finish(&r->request, SLUICE_EEOF, 0, 0, 0);
    } else {
        stream_failed(r, code, 0);
    }
}

/*
 * A socket has no more to read. Nobody shall take a stream that was cut off for a whole one, so an
 * end of file behind a reset is a reset. Windows repeats a reset to every read; under Wine, as on
 * Linux, only the first request to ask is told. (A reset that arrives while nothing is pending is
 * consumed by Wine 8 itself, server/sock.c sock_poll_event, and then looks like an end of file:
 * measured, and nothing to be done about it here.)
 */
static void socket_ended(iocp_request *r) {
    iocp_handle *h = engine_iocp_handle(r->request.handle);
    if (h->was_reset && !h->at_end) {
        engine_iocp_fail(&r->request, WSAECONNRESET, 0, 0);
    } else {
        h->at_end = true;
        engine_request_finish(&r->request, SLUICE_EEOF, 0, 0, 0);
    }
}

static void on_read_packet(iocp_op *op, DWORD bytes) {
    iocp_request *r = engine_iocp_request_of_op(op);
    DWORD code = engine_iocp_packet_code(op);
    if (code != 0 && engine_iocp_status(code) != SLUICE_ETRUNCATED) {
        read_failed(r, code);
    } else if (bytes == 0 && r->request.length > 0 && !is_pipe(r)) {
        socket_ended(r);
    } else {
        /* ETRUNCATED: part of a message of a message pipe; the rest comes with the next read. */
        engine_request_finish(&r->request, SLUICE_OK, 0, bytes, 0);
    }
}

void engine_iocp_read_start(iocp_request *r) {
    DWORD length = (DWORD)r->request.length;
    DWORD error = 0;
    r->request.done = 0;
    engine_iocp_op_begin(&r->op, engine_iocp_handle(r->request.handle)->file, on_read_packet);
    if (is_pipe(r)) {
        void *buffer = r->request.buffer != NULL ? r->request.buffer : &r->socket_address;
        HANDLE pipe = engine_iocp_handle(r->request.handle)->os;
        if (!ReadFile(pipe, buffer, length, NULL, &r->op.overlapped)) {
            error = GetLastError();
        }
    } else {
        WSABUF buffer = {.len = length, .buf = r->request.buffer};
        DWORD flags = 0;
        if (WSARecv(socket_of(r), &buffer, 1, NULL, &flags, &r->op.overlapped, NULL) != 0) {
            error = (DWORD)WSAGetLastError();
        }
    }
    if (!engine_iocp_op_accepted(&r->op, error)) {
        read_failed(r, error);
    }
}

/* ---- writing ---- */

static DWORD pipe_write(iocp_request *r) {
    HANDLE pipe = engine_iocp_handle(r->request.handle)->os;
    const engine_buffer *buffer = &r->request.buffers[r->buffer];
    const char *bytes = (const char *)buffer->bytes + r->offset;
    r->issued = buffer->length - r->offset;
    if (r->issued > IOCP_PIPE_CHUNK_BYTES) {
        r->issued = IOCP_PIPE_CHUNK_BYTES;
    }
    return WriteFile(pipe, bytes, (DWORD)r->issued, NULL, &r->op.overlapped) ? 0 : GetLastError();
}

static DWORD socket_write(iocp_request *r) {
    WSABUF buffers[ENGINE_GATHER_MAX]; /* copied by the call [docs: WSASend] */
    DWORD count = 0;
    size_t offset = r->offset;
    r->issued = 0;
    for (unsigned i = r->buffer; i < r->request.buffer_count && r->issued < IOCP_SEND_BYTES; i++) {
        size_t size = r->request.buffers[i].length - offset;
        if (size > IOCP_SEND_BYTES - r->issued) {
            size = IOCP_SEND_BYTES - r->issued;
        }
        /* WSABUF has no const; a send does not write there. */
        buffers[count].buf = (char *)(uintptr_t)r->request.buffers[i].bytes + offset;
        buffers[count].len = (ULONG)size;
        r->issued += size;
        count++;
        offset = 0;
    }
    int result = WSASend(socket_of(r), buffers, count, NULL, 0, &r->op.overlapped, NULL);
    return result == 0 ? 0 : (DWORD)WSAGetLastError();
}

static void on_write_packet(iocp_op *op, DWORD bytes);

static void write_issue(iocp_request *r) {
    engine_iocp_op_begin(&r->op, engine_iocp_handle(r->request.handle)->file, on_write_packet);
    DWORD error = is_pipe(r) ? pipe_write(r) : socket_write(r);
    if (!engine_iocp_op_accepted(&r->op, error)) {
        stream_failed(r, error, 0);
    }
}

/* `bytes` more are out: the next byte to send. */
static void write_advance(iocp_request *r, size_t bytes) {
    r->request.done += bytes;
    r->offset += bytes;
    while (r->buffer < r->request.buffer_count &&
           r->offset >= r->request.buffers[r->buffer].length) {
        r->offset -= r->request.buffers[r->buffer].length;
        r->buffer++;
    }
}

static void on_write_packet(iocp_op *op, DWORD bytes) {
    iocp_request *r = engine_iocp_request_of_op(op);
    engine_request *request = &r->request;
    DWORD code = engine_iocp_packet_code(op);
    if (code != 0) {
        stream_failed(r, code, r->issued);
        return;
    }
    SL_CHECK(bytes <= r->issued, "the kernel writes no more than it was given");
    if (bytes == 0) { /* no driver says so; without this it would be an endless loop */
        engine_request_finish(request, SLUICE_EOS, 0, request->done, r->issued);
        return;
    }
    write_advance(r, bytes);
    if (request->done == request->length) {
        engine_request_finish(request, SLUICE_OK, 0, request->done, 0);
    } else if (request->cancel_asked) {
        engine_request_finish(request, SLUICE_ECANCELED, 0, request->done, 0);
    } else {
        write_issue(r);
    }
}

void engine_iocp_write_start(iocp_request *r) {
    r->request.done = 0;
    r->buffer = 0;
    r->offset = 0;
    if (is_pipe(r) && engine_iocp_handle(r->request.handle)->os == NULL) { /* half-closed */
        stream_failed(r, ERROR_BROKEN_PIPE, 0);
        return;
    }
    write_issue(r);
}

/* The writing end of a pair has nothing else to do: it is closed, when no request of it is in the
 * kernel, as a close would do it. Its reader gets what was written, then the end [docs: pipes]. */
void engine_iocp_pipe_half_close(iocp_request *r) {
    iocp_handle *h = engine_iocp_handle(r->request.handle);
    if (h->os != NULL) {
        (void)CloseHandle(h->os);
        h->os = NULL;
    }
    engine_request_finish(&r->request, SLUICE_OK, 0, 0, 0);
}
