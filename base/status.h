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
    X(EOSLIMIT, -9, "the operating system has no more descriptors, handles or buffers to give") \
    X(EBROKENPIPE, -10, "the peer's reading end is gone: nothing more can be written") \
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
    X(EOS, -23, "an operating-system error without a status of its own; see the raw code")

enum sluice_status {
#define X(name, number, sentence) SLUICE_##name = (number),
    SLUICE_STATUS_TABLE(X)
#undef X
};

/* The number of statuses; they are numbered 0, -1, ... -(SLUICE_STATUS_COUNT - 1) without gaps. */
#define SLUICE_STATUS_COUNT 24

/* The name without its prefix, for example "ECANCELED"; "UNKNOWN" for a number that is not in the
 * table. */
const char *sl_status_name(int status);

/* One sentence for people, without a full stop. Never NULL. */
const char *sl_status_sentence(int status);

#endif
