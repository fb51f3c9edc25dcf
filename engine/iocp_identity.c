/*
 * iocp_identity.c - who is at the other end of a pipe.
 *
 * Of a client: its token, seen by impersonating it for a moment. Between ImpersonateNamedPipeClient
 * and RevertToSelf the thread does nothing but open the token; a thread that cannot go back must
 * not go on [docs: RevertToSelf]. The file system control behind it is answered by the pipe driver
 * at once and, having no OVERLAPPED of ours, queues no packet. Looking at a token asks the kernel
 * and nobody else; names, which would ask the security authority or a domain controller, are never
 * looked up here.
 *
 * Of a server: the owner of the pipe object, which the client may read (READ_CONTROL). Our pipes
 * name their user as owner (iocp_pipe.c).
 */
#include "engine/iocp.h"

#include <string.h>

#define TOKEN_USER_BYTES (sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE)

_Static_assert(ENGINE_IDENTITY_BYTES >= SECURITY_MAX_SID_SIZE, "a SID fits an identity");

static bool take_sid(PSID sid, engine_identity *ret_identity) {
    if (sid == NULL || !IsValidSid(sid)) {
        return false;
    }
    DWORD length = GetLengthSid(sid);
    memset(ret_identity, 0, sizeof(*ret_identity));
    ret_identity->kind = ENGINE_IDENTITY_SID;
    ret_identity->length = (uint8_t)length;
    memcpy(ret_identity->bytes, sid, length);
    return true;
}

bool engine_iocp_token_user(HANDLE token, engine_identity *ret_user) {
    union {
        TOKEN_USER user;
        unsigned char bytes[TOKEN_USER_BYTES];
    } info;
    DWORD size = 0;
    return GetTokenInformation(token, TokenUser, &info, sizeof(info), &size) &&
           take_sid(info.user.User.Sid, ret_user);
}

static int status_of(DWORD error) {
    switch (error) {
    case ERROR_CANNOT_IMPERSONATE: return SLUICE_EBUSY; /* nothing was read yet */
    case ERROR_CANT_OPEN_ANONYMOUS:
    case ERROR_BAD_IMPERSONATION_LEVEL: return SLUICE_EACCESS;
    case ERROR_NO_DATA:
    case ERROR_BROKEN_PIPE:
    case ERROR_PIPE_NOT_CONNECTED: return SLUICE_ECLOSED;
    default: return SLUICE_EOS;
    }
}

/* The client's token, to be closed. OpenAsSelf: it is ours to look at, not the client's. */
static int open_client_token(HANDLE pipe, HANDLE *ret_token) {
    if (!ImpersonateNamedPipeClient(pipe)) {
        return status_of(GetLastError());
    }
    BOOL is_open = OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, TRUE, ret_token);
    DWORD error = is_open ? 0 : GetLastError();
    BOOL is_back = RevertToSelf();
    SL_CHECK(is_back, "a thread that took a client's part goes back to its own");
    return is_open ? SLUICE_OK : status_of(error);
}

/* Enabled, that is: not the group of an administrator's everyday token, which is for denying only.
 * CheckTokenMembership wants an impersonation token, which the client's is; NULL is our own. */
static bool is_member(HANDLE token, const engine_identity *of) {
    BOOL is = FALSE;
    return of->kind == ENGINE_IDENTITY_SID && CheckTokenMembership(token, (PSID)of->bytes, &is) &&
           is;
}

static bool is_administrator(HANDLE token, const engine_identity *user) {
    engine_identity system;
    engine_identity administrators;
    int status = engine_identity_parse("S-1-5-18", &system);
    SL_CHECK(status == SLUICE_OK, "LocalSystem [docs: well-known SIDs]");
    status = engine_identity_parse("S-1-5-32-544", &administrators);
    SL_CHECK(status == SLUICE_OK, "Administrators [docs: well-known SIDs]");
    return engine_identity_equal(user, &system) || is_member(token, &administrators);
}

/* Of the token itself, whoever's it is. */
static bool look_at_token(HANDLE token, iocp_standing *ret_standing) {
    union {
        TOKEN_MANDATORY_LABEL label;
        unsigned char bytes[sizeof(TOKEN_MANDATORY_LABEL) + SECURITY_MAX_SID_SIZE];
    } info;
    DWORD has_restrictions = 0;
    DWORD size = 0;
    if (!GetTokenInformation(token, TokenIntegrityLevel, &info, sizeof(info), &size)) {
        return false;
    }
    PSID sid = info.label.Label.Sid;
    ret_standing->integrity = *GetSidSubAuthority(sid, *GetSidSubAuthorityCount(sid) - 1u);
    /* Wine 8 does not know the first question, which is about groups that only deny as well. */
    ret_standing->is_filtered = GetTokenInformation(token, TokenHasRestrictions, &has_restrictions,
                                                    sizeof(has_restrictions), &size)
                                    ? has_restrictions != 0
                                    : IsTokenRestricted(token);
    return true;
}

bool engine_iocp_own_standing(HANDLE token, const engine_identity *user,
                              iocp_standing *ret_standing) {
    ret_standing->is_administrator = is_administrator(NULL, user);
    return look_at_token(token, ret_standing);
}

bool engine_iocp_is_lesser(HANDLE token, const engine_identity *user, const iocp_standing *own) {
    iocp_standing peer;
    return !look_at_token(token, &peer) ||
           (own->is_administrator && !is_administrator(token, user)) ||
           (!own->is_filtered && peer.is_filtered) || peer.integrity < own->integrity;
}

static int ask_client(HANDLE pipe, engine_peer *ret_peer) {
    HANDLE token;
    ULONG process_id = 0;
    int status = open_client_token(pipe, &token);
    if (status != SLUICE_OK) {
        return status;
    }
    bool is_known = engine_iocp_token_user(token, &ret_peer->user);
    if (is_known) {
        ret_peer->is_administrator = is_administrator(token, &ret_peer->user);
    }
    (void)CloseHandle(token);
    if (GetNamedPipeClientProcessId(pipe, &process_id)) {
        ret_peer->process_id = process_id;
        ret_peer->is_self = process_id == GetCurrentProcessId();
    }
    return is_known ? SLUICE_OK : SLUICE_EOS;
}

static int ask_server(HANDLE pipe, engine_peer *ret_peer) {
    union {
        SECURITY_DESCRIPTOR descriptor;
        unsigned char bytes[sizeof(SECURITY_DESCRIPTOR) + SECURITY_MAX_SID_SIZE];
    } security;
    DWORD size = 0;
    PSID owner = NULL;
    BOOL is_default = FALSE;
    ULONG process_id = 0;
    if (!GetKernelObjectSecurity(pipe, OWNER_SECURITY_INFORMATION, &security.descriptor,
                                 sizeof(security), &size)) {
        return GetLastError() == ERROR_ACCESS_DENIED ? SLUICE_EACCESS : status_of(GetLastError());
    }
    if (!GetSecurityDescriptorOwner(&security.descriptor, &owner, &is_default) ||
        !take_sid(owner, &ret_peer->user)) {
        return SLUICE_EOS;
    }
    if (GetNamedPipeServerProcessId(pipe, &process_id)) {
        ret_peer->process_id = process_id;
        ret_peer->is_self = process_id == GetCurrentProcessId();
    }
    return SLUICE_OK;
}

int engine_iocp_peer_identity(engine_handle *handle, engine_peer *ret_peer) {
    const iocp_handle *h = engine_iocp_handle(handle);
    if (h->type != IOCP_PIPE || h->peer == IOCP_PEER_NONE) {
        return SLUICE_ENOTSUP;
    }
    return h->peer == IOCP_PEER_CLIENT ? ask_client(h->os, ret_peer) : ask_server(h->os, ret_peer);
}

int engine_iocp_peer_is_among(engine_handle *handle, const engine_identity *whom, unsigned count,
                              bool *ret_is_among) {
    const iocp_handle *h = engine_iocp_handle(handle);
    HANDLE token;
    if (h->type != IOCP_PIPE || h->peer != IOCP_PEER_CLIENT) {
        return SLUICE_ENOTSUP;
    }
    int status = open_client_token(h->os, &token);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_identity user;
    bool is_known = engine_iocp_token_user(token, &user);
    bool is_among = false;
    for (unsigned i = 0; i < count && is_known && !is_among; i++) {
        is_among = engine_identity_equal(&user, &whom[i]) || is_member(token, &whom[i]);
    }
    (void)CloseHandle(token);
    *ret_is_among = is_among;
    return is_known ? SLUICE_OK : SLUICE_EOS;
}

int engine_iocp_own_identity(engine *e, engine_identity *ret_identity) {
    *ret_identity = SL_CONTAINER_OF(e, iocp_engine, engine)->own;
    return SLUICE_OK;
}

int engine_iocp_peer_is_lesser(engine_handle *handle, bool *ret_is_lesser) {
    const iocp_handle *h = engine_iocp_handle(handle);
    engine_identity user;
    HANDLE token;
    if (h->type != IOCP_PIPE || h->peer != IOCP_PEER_CLIENT) {
        return SLUICE_ENOTSUP;
    }
    int status = open_client_token(h->os, &token);
    if (status == SLUICE_OK) {
        *ret_is_lesser =
            !engine_iocp_token_user(token, &user) ||
            engine_iocp_is_lesser(token, &user, &engine_iocp_engine(handle->worker)->standing);
        (void)CloseHandle(token);
    }
    return status;
}

/* ---- what the client may open ---- */

/* Longer ones are not pipes of anybody we know: what cannot be read permits nothing. */
#define DESCRIPTOR_BYTES 4096

typedef struct iocp_rights {
    engine_rights rights; /* first */
    HANDLE token;         /* the client's, for looking at */
} iocp_rights;

int engine_iocp_token_rights(engine *e, HANDLE token, engine_rights **ret_rights) {
    iocp_rights *rights = (iocp_rights *)engine_rights_create(e, sizeof(iocp_rights));
    if (rights == NULL) {
        (void)CloseHandle(token);
        return SLUICE_ENOMEM;
    }
    rights->token = token;
    *ret_rights = &rights->rights;
    return SLUICE_OK;
}

int engine_iocp_peer_rights(engine_handle *handle, engine_rights **ret_rights) {
    const iocp_handle *h = engine_iocp_handle(handle);
    HANDLE token;
    if (h->type != IOCP_PIPE || h->peer != IOCP_PEER_CLIENT) {
        return SLUICE_ENOTSUP;
    }
    int status = open_client_token(h->os, &token);
    return status == SLUICE_OK
               ? engine_iocp_token_rights(handle->worker->engine, token, ret_rights)
               : status;
}

void engine_iocp_rights_close(engine_rights *rights) {
    HANDLE token = ((iocp_rights *)rights)->token;
    if (token != NULL) {
        (void)CloseHandle(token);
    }
}

bool engine_iocp_rights_user(const engine_rights *rights, engine_identity *ret_user) {
    return engine_iocp_token_user(((const iocp_rights *)rights)->token, ret_user);
}

/* The system's own question, about the very pipe that was opened: nobody can put another in its
 * place. Both calls ask the kernel and nobody else. */
bool engine_iocp_rights_permit(const engine_rights *rights, HANDLE pipe, DWORD access) {
    union {
        SECURITY_DESCRIPTOR descriptor;
        unsigned char bytes[DESCRIPTOR_BYTES];
    } security;
    GENERIC_MAPPING mapping = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE,
                               FILE_ALL_ACCESS};
    PRIVILEGE_SET privileges;
    DWORD size = 0;
    DWORD privileges_size = sizeof(privileges);
    DWORD granted = 0;
    BOOL is_granted = FALSE;
    if (!GetKernelObjectSecurity(
            pipe, OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION |
                      DACL_SECURITY_INFORMATION, &security.descriptor, sizeof(security), &size)) {
        return false;
    }
    return AccessCheck(&security.descriptor, ((const iocp_rights *)rights)->token, access,
                       &mapping, &privileges, &privileges_size, &granted, &is_granted) &&
           is_granted;
}
