/*
 * sluice/status.h - what a call of Sluice can result in: 0, or one of these negative numbers.
 *
 * The same numbers on the wire, in logs and in every language. They are part of the ABI: never
 * renumbered, only appended. A number that this header does not know is a failure like any other.
 * sluice_status_name and sluice_status_sentence (sluice/sluice.h) put them into words.
 */
#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H

#ifndef SLUICE_BASE_STATUS_H /* Sluice's own sources have the same enumeration from base/status.h */
enum sluice_status {
    SLUICE_OK = 0,              /* the call succeeded */
    SLUICE_EEOF = -1,           /* end of file: the peer closed, and all its bytes were read */
    SLUICE_ECANCELED = -2,      /* the request was cancelled */
    SLUICE_ETIMEDOUT = -3,      /* the deadline passed first, or the peer did not answer in time */
    SLUICE_ECLOSED = -4,        /* the handle is closing or closed */
    SLUICE_EINVAL = -5,         /* an argument is out of range or makes no sense here */
    SLUICE_ENOTSUP = -6,        /* this kind of handle or this platform has no such operation */
    SLUICE_ENOMEM = -7,         /* out of memory, or over the owner's memory budget */
    SLUICE_EQUOTA = -8,         /* a limit of Sluice's own is reached */
    SLUICE_EOSLIMIT = -9,       /* the operating system has no more descriptors, ports, buffers */
    SLUICE_EBROKENPIPE = -10,   /* the peer reads no more, or a half-close came before */
    SLUICE_ERESET = -11,        /* the peer or the network reset the connection */
    SLUICE_EREFUSED = -12,      /* nobody is listening at that address */
    SLUICE_EUNREACHABLE = -13,  /* the network or the host cannot be reached */
    SLUICE_EADDRINUSE = -14,    /* that network address is already in use */
    SLUICE_EADDRNOTAVAIL = -15, /* that network address does not belong to this machine */
    SLUICE_ENAMETAKEN = -16,    /* another process already listens under that pipe name */
    SLUICE_ENOTFOUND = -17,     /* there is no pipe, or no host, of that name */
    SLUICE_ENAMETOOLONG = -18,  /* the name is longer than the platform allows */
    SLUICE_EACCESS = -19,       /* permission denied */
    SLUICE_ETRUNCATED = -20,    /* the message was longer than the buffer; the rest is lost */
    SLUICE_ETOOLARGE = -21,     /* larger than the transport can carry in one piece */
    SLUICE_EBUSY = -22,         /* the object is still in use */
    SLUICE_EOS = -23,           /* an operating-system error; see the raw code */
    SLUICE_EPROTOCOL = -24,     /* the other side broke the protocol; the session is over */
    SLUICE_EVERSION = -25,      /* client and broker have no version of the protocol in common */
    SLUICE_ENOBROKER = -26,     /* no broker is running at that endpoint */
    SLUICE_EUNTRUSTED = -27,    /* what answers there is not the broker it should be */
    SLUICE_EBROKERLOST = -28,   /* the broker ended or the connection to it broke */
    SLUICE_EUNRESPONSIVE = -29, /* the broker was silent for too long; it was given up */
    SLUICE_ESTALE = -30,        /* the handle belongs to a broker that is gone; open it again */
    SLUICE_EBADHANDLE = -31,    /* this session has no such handle */
    SLUICE_ETORN = -32,         /* an earlier write was cut short; acknowledge that first */
    SLUICE_EABANDONED = -33,    /* the system did not let go in time; the broker keeps the rest */
    SLUICE_ESHUTDOWN = -34,     /* the broker is stopping */
    SLUICE_EDEADLK = -35,       /* the call might wait for itself */
    SLUICE_EFORKED = -36,       /* this process was forked from the one that opened the session */
    SLUICE_ESYNCHANDLE = -37    /* the handle was opened for synchronous I/O; not adopted */
};
#endif

#endif
