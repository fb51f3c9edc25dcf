/*
 * peer.h - who is at the other end of a pipe, and what it may open. A part of engine.h.
 */
#ifndef SLUICE_ENGINE_PEER_H
#define SLUICE_ENGINE_PEER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct engine engine;
typedef struct engine_handle engine_handle;
typedef struct engine_rights engine_rights;

#define ENGINE_IDENTITY_BYTES      68  /* of a SID (SECURITY_MAX_SID_SIZE); a Linux id takes 4 */
#define ENGINE_IDENTITY_TEXT_BYTES 184 /* of its text with the NUL: a SID's [docs: MS-DTYP] */
#define ENGINE_PEER_GROUPS_MAX     1024 /* a peer in more groups is in none that we can tell */

typedef enum engine_identity_kind {
    ENGINE_IDENTITY_NONE,
    ENGINE_IDENTITY_UID, /* Linux: a user */
    ENGINE_IDENTITY_GID, /* Linux: a group */
    ENGINE_IDENTITY_SID  /* Windows: a user or a group */
} engine_identity_kind;

/* A user or a group as the system's kernel knows it, never a name: a look-up may block. Opaque;
 * compare it with engine_identity_equal. All 0 = nobody. */
typedef struct engine_identity {
    uint8_t kind;   /* engine_identity_kind */
    uint8_t length; /* of the bytes in use */
    uint8_t bytes[ENGINE_IDENTITY_BYTES];
} engine_identity;

/* false where one of them is nobody. */
bool engine_identity_equal(const engine_identity *a, const engine_identity *b);
/* "uid 1000", "gid 100", "S-1-5-21-..."; "nobody known". Formats by hand: workers may call it. */
void engine_identity_text(const engine_identity *identity,
                          char ret_text[ENGINE_IDENTITY_TEXT_BYTES]);
/* The reverse. SLUICE_OK, or EINVAL. */
int engine_identity_parse(const char *text, engine_identity *ret_identity);
void engine_identity_uid(engine_identity *ret_identity, uint32_t uid);
void engine_identity_gid(engine_identity *ret_identity, uint32_t gid);

/* The user as which this process runs. Any thread. Does not wait. SLUICE_OK, EOS. */
int engine_own_identity(engine *engine, engine_identity *ret_identity);

typedef struct engine_peer {
    engine_identity user;
    /* Linux: it has no number in our user namespace, and shows one that others show as well
     * (base/nobody.h). It is nobody's own: no list names it, and it owns nothing. */
    bool is_unmapped;
    /* Accepted pipes: root, LocalSystem, or an enabled member of Administrators. */
    bool is_administrator;
    bool is_self;        /* this very process */
    uint64_t process_id; /* for people; 0 = not known. Numbers are used again: no identity */
} engine_peer;

/*
 * Who is at the other end of a pipe that was accepted or connected by name; asked of the kernel, at
 * any time until the handle closes. Does not wait, submits nothing. The worker's thread.
 *   Linux: SO_PEERCRED. Of an accepted pipe who connected, of a connected one who listened, as it
 *   was at that moment, whoever has the descriptor now.
 *   Windows, accepted: the token with which the client connected (ImpersonateNamedPipeClient). It
 *   decides what is shown: SECURITY_ANONYMOUS is EACCESS; with SECURITY_CONTEXT_TRACKING, and by
 *   the documentation always, it is EBUSY until something was read from it: ask again then.
 *   Windows, connected: the owner of the pipe object, which only its first server sets. It must be
 *   that server's user, or a group that may own in its name (Administrators, by default of their
 *   members); only an administrator can name somebody else. A server's process id would say less:
 *   it is of whoever made this instance, and may be another process's by the time one looks.
 * SLUICE_OK; ENOTSUP (an anonymous pipe, a socket, a listener), ECLOSED (closing, or the peer has
 * gone and the system does not tell any more), EBUSY, EACCESS, EOSLIMIT, EOS.
 */
int engine_peer_identity(engine_handle *handle, engine_peer *ret_peer);

/* Is the peer of an accepted pipe one of these users, or a member of one of these groups? As it was
 * when it connected. Errors as engine_peer_identity. */
int engine_peer_is_among(engine_handle *handle, const engine_identity *whom, unsigned count,
                         bool *ret_is_among);

/*
 * From now on an accepted pipe also ends when the process that connected has ended, as if it had
 * closed its end: what it wrote is read, then comes the end of file. Else a child of its fork, or
 * whoever was sent the descriptor, would keep the connection. Does not wait; once a handle.
 *   Linux: a pidfd of the process (SO_PEERPIDFD, since 6.5). An older kernel tells its number only
 *   (SO_PEERCRED), and numbers are used again: if the process has ended before this call, another
 *   one may be watched. Its end comes late then, but never too early.
 *   Windows: nothing to do; handles of a pipe's client end with its process, unless it gave them
 *   away.
 * SLUICE_OK; ENOTSUP (no accepted pipe, or the system has no way), ECLOSED, EOSLIMIT, EOS.
 */
int engine_watch_peer(engine_handle *handle);

/*
 * Has the peer of an accepted pipe, which is our own user, less than this process has? Then what we
 * may do is not its to ask for, though the user is the same. As it was when it connected.
 *   Linux: it is not in all of our groups (a set-group-ID program's broker and another program of
 *   its user's), or we have what cannot be seen of a peer: capabilities, another real or saved
 *   user. Root is never less.
 *   Windows: its token is of a lower integrity, filtered (CreateRestrictedToken), or no
 *   administrator's where ours is (docs: Mandatory Integrity Control; User Account Control).
 * What cannot be told counts as less. Errors as engine_peer_identity.
 */
int engine_peer_is_lesser(engine_handle *handle, bool *ret_is_lesser);

/*
 * What the peer of an accepted pipe may open, as far as the system lets us know it, for opens on
 * its behalf: its user and groups (Linux: SO_PEERCRED, SO_PEERGROUPS), its token (Windows), as they
 * were when it connected. Never changes; counted; keep and release from any thread. SLUICE_OK with
 * one reference, to be released before the engine is destroyed, or with NULL where a backend knows
 * nothing of it; ENOMEM; errors as engine_peer_identity.
 *   A pipe is connected to only if these rights would do; and on Linux listened on only if they
 *   would do to make files in its folder. Else EACCESS, with a detail. A pipe that is listened on
 *   lets their user connect as well as ours. Linux: the socket is that user's file (we are root),
 *   or has an ACL with an entry for it; Windows: its DACL has one.
 */
int engine_peer_rights(engine_handle *handle, engine_rights **ret_rights);
engine_rights *engine_rights_keep(engine_rights *rights); /* NULL is allowed */
void engine_rights_release(engine_rights *rights);        /* NULL is allowed */

#endif
