/*
 * epoll_mark.c - what tells a broker's endpoint from any other pipe.
 *
 * The text with which a socket is bound stays with it, and the kernel tells it to whoever has
 * connected (getpeername(2), unix(7)): through symbolic links, hard links, mounts and renames, and
 * only who bound it has chosen it. So an endpoint is bound as "DIRECTORY//NAME", which is the same
 * file. A client of the broker cannot make its listener look so: in its text each
 * "//" becomes "/". No text of a listener of ours is trusted for more than that: another program
 * may bind what it likes, and is known by its user (epoll_identity.c).
 */
#include <errno.h>
#include <string.h>

#include "engine/epoll.h"

#define CALLS engine_epoll_calls

void engine_epoll_collapse(char *path) {
    char *to = path;
    for (const char *from = path; *from != '\0'; from++) {
        if (from[0] != '/' || from[1] != '/') {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* A name without a directory is ".//NAME". */
int engine_epoll_mark(struct sockaddr_un *name, socklen_t *length) {
    char *slash = strrchr(name->sun_path, '/');
    const char *mark = slash != NULL ? "/" : ".//";
    char *place = slash != NULL ? slash : name->sun_path;
    size_t mark_length = strlen(mark);
    size_t rest = strlen(place) + 1; /* with its NUL */
    if ((size_t)(place - name->sun_path) + mark_length + rest > sizeof(name->sun_path)) {
        return SLUICE_ENAMETOOLONG;
    }
    memmove(place + mark_length, place, rest);
    memcpy(place, mark, mark_length);
    *length += (socklen_t)mark_length;
    return SLUICE_OK;
}

static bool is_marked(const char *text) {
    const char *slash = strrchr(text, '/');
    return slash != NULL && slash > text && slash[-1] == '/';
}

int engine_epoll_check_mark(int fd, bool is_endpoint, const char **ret_detail, int *ret_error) {
    struct {
        struct sockaddr_un name;
        char end; /* the kernel's text may be without its NUL */
    } peer;
    memset(&peer, 0, sizeof(peer));
    socklen_t length = sizeof(peer.name);
    if (CALLS.getpeername(fd, (struct sockaddr *)&peer.name, &length) != 0) {
        *ret_error = errno; /* ENOTCONN: it is over already */
        return errno == ENOTCONN ? SLUICE_ERESET : engine_epoll_status(errno);
    }
    if (is_marked(peer.name.sun_path) == is_endpoint) {
        return SLUICE_OK;
    }
    *ret_detail = is_endpoint ? ENGINE_DETAIL_PIPE : ENGINE_DETAIL_ENDPOINT;
    return is_endpoint ? SLUICE_EUNTRUSTED : SLUICE_EACCESS;
}
