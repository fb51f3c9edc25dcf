/*
 * status.h - the one table of results: code, name, sentence.
 *
 * Every function of Sluice that can fail returns 0 (SLUICE_OK) or one of these negative numbers;
 * the same number goes over the wire, to the client and into logs. Numbers are part of the ABI:
 * never renumber, only append. An operating-system error is mapped to a status once, in the engine;
 * the raw code rides along for diagnosis and is never branched on above the engine.
 *
 * The table lives in base/ and not in proto/ because the engine maps to it and may not include
 * proto/.
 */
#ifndef SLUICE_BASE_STATUS_H
#define SLUICE_BASE_STATUS_H

/* X(name, number, sentence) */
#define SLUICE_STATUS_TABLE(X) \
    X(OK, 0, "the call succeeded") \
    X(EEOF, -1, "end of file: the peer closed or half-closed its end and all its bytes were read") \
    X(ECANCELED, -2, "the request was cancelled") \
    X(ETIMEDOUT, -3, "the deadline passed first, or the peer did not answer in time") \
    X(ECLOSED, -4, "the handle is closing or closed") \
    X(EINVAL, -5, "an argument is out of range or makes no sense here") \
    X(ENOTSUP, -6, "this kind of handle or this platform has no such operation") \
    X(ENOMEM, -7, "out of memory, or over the owner's memory budget") \
    X(EQUOTA, -8, "a limit of Sluice's own is reached") \
    X(EOSLIMIT, -9, "the system has no more descriptors, handles, ports or buffers to give") \
    X(EBROKENPIPE, -10, "the peer reads no more, or a half-close came before the write") \
    X(ERESET, -11, "the peer or the network reset the connection") \
    X(EREFUSED, -12, "nobody is listening at that address") \
    X(EUNREACHABLE, -13, "the network or the host cannot be reached") \
    X(EADDRINUSE, -14, "that network address is already in use") \
    X(EADDRNOTAVAIL, -15, "that network address does not belong to this machine") \
    X(ENAMETAKEN, -16, "another process already listens under that pipe name") \
    X(ENOTFOUND, -17, "there is no pipe of that name, or no host of that name") \
    X(ENAMETOOLONG, -18, "the name is longer than the platform allows") \
    X(EACCESS, -19, "permission denied") \
    X(ETRUNCATED, -20, "the message was longer than the buffer; what did not fit is lost") \
    X(ETOOLARGE, -21, "the message is larger than the transport can carry in one piece") \
    X(EBUSY, -22, "the object is still in use") \
    X(EOS, -23, "an operating-system error without a status of its own; see the raw code") \
    X(EPROTOCOL, -24, "the other side broke the protocol; the session is over") \
    X(EVERSION, -25, "client and broker have no version of the protocol in common") \
    X(ENOBROKER, -26, "no broker is running at that endpoint") \
    X(EUNTRUSTED, -27, "what answers at that endpoint is not the broker it should be") \
    X(EBROKERLOST, -28, "the broker ended or the connection to it broke") \
    X(EUNRESPONSIVE, -29, "the broker was silent for too long; the session was given up") \
    X(ESTALE, -30, "the handle belongs to a broker that is gone; open it again") \
    X(EBADHANDLE, -31, "this session has no such handle") \
    X(ETORN, -32, "an earlier write was cut short; acknowledge that before writing on") \
    X(EABANDONED, -33, "the system did not let go in time; the broker keeps what is left") \
    X(ESHUTDOWN, -34, "the broker is stopping") \
    X(EDEADLK, -35, "the call might wait for itself: it is made on a thread that serves calls") \
    X(EFORKED, -36, "this process was forked from the one that opened the session") \
    X(ESYNCHANDLE, -37, "the handle was opened for synchronous I/O, which may hang; not adopted")

#ifndef SLUICE_STATUS_H /* client/include/sluice/status.h has the same enumeration */
enum sluice_status {
#define X(name, number, sentence) SLUICE_##name = (number),
    SLUICE_STATUS_TABLE(X)
#undef X
};
#endif

/* The number of statuses; they are numbered 0, -1, ... -(SLUICE_STATUS_COUNT - 1) without gaps. */
#define SLUICE_STATUS_COUNT 38

/* The name without its prefix, for example "ECANCELED"; "UNKNOWN" for a number that is not in the
 * table. */
const char *sl_status_name(int status);

/* One sentence for people, without a full stop. Never NULL. */
const char *sl_status_sentence(int status);

#endif
