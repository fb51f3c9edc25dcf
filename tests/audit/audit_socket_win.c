/*
 * audit_socket_win.c - wrappers of Winsock, and of what WSAIoctl hands out (AcceptEx, ConnectEx).
 *
 * A Winsock call with a NULL OVERLAPPED is synchronous, also on a non-blocking socket. Errors are
 * in the last-error value (WSAGetLastError is GetLastError).
 */
#include "audit_win.h"

#include <mswsock.h>
#include <ws2tcpip.h>

static void note_socket(SOCKET socket_value, bool is_overlapped) {
    if (socket_value != INVALID_SOCKET) {
        audit_handle_created((uintptr_t)socket_value, AUDIT_OBJECT_SOCKET, is_overlapped);
    }
}

SOCKET WSAAPI audit_WSASocketW(int family, int type, int protocol, LPWSAPROTOCOL_INFOW info,
                               GROUP group, DWORD flags) {
    audit_site site = AUDIT_SITE(WSASocketW, 0);
    audit_enter(&site);
    SOCKET result = AUDIT_TRUE(WSASocketW)(family, type, protocol, info, group, flags);
    DWORD error = GetLastError();
    note_socket(result, (flags & WSA_FLAG_OVERLAPPED) != 0);
    SetLastError(error);
    return result;
}

SOCKET WSAAPI audit_WSASocketA(int family, int type, int protocol, LPWSAPROTOCOL_INFOA info,
                               GROUP group, DWORD flags) {
    audit_site site = AUDIT_SITE(WSASocketA, 0);
    audit_enter(&site);
    SOCKET result = AUDIT_TRUE(WSASocketA)(family, type, protocol, info, group, flags);
    DWORD error = GetLastError();
    note_socket(result, (flags & WSA_FLAG_OVERLAPPED) != 0);
    SetLastError(error);
    return result;
}

SOCKET WSAAPI audit_socket(int family, int type, int protocol) {
    audit_site site = AUDIT_SITE(socket, 0);
    audit_enter(&site);
    SOCKET result = AUDIT_TRUE(socket)(family, type, protocol);
    DWORD error = GetLastError();
    note_socket(result, true);
    SetLastError(error);
    return result;
}

int WSAAPI audit_closesocket(SOCKET socket_value) {
    audit_site site = AUDIT_SITE(closesocket, socket_value);
    audit_thread *thread = audit_enter(&site);
    audit_handle_closing(thread, &site, true);
    int result = AUDIT_TRUE(closesocket)(socket_value);
    DWORD error = GetLastError();
    if (result != 0) {
        audit_violation(AUDIT_CLOSE_INVALID, thread, &site, NULL, NULL);
    }
    SetLastError(error);
    return result;
}

/* The outcome of an overlapped Winsock call. WSAEMSGSIZE is a warning (a datagram was cut), after
 * which a packet may or may not come. */
static void end_issue(audit_thread *thread, const OVERLAPPED *overlapped, int result, DWORD error) {
    audit_outcome outcome = AUDIT_NO_PACKET;
    if (result == 0 || error == WSA_IO_PENDING) {
        outcome = AUDIT_PACKET;
    } else if (error == WSAEMSGSIZE) {
        outcome = AUDIT_MAYBE_PACKET;
    }
    audit_issue_end(thread, overlapped, outcome);
}

/* Begins any transfer: overlapped or synchronous. */
static void begin(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped,
                  bool has_routine) {
    if (has_routine) {
        /* A completion routine is an APC to this thread: not how we complete. */
        audit_violation(AUDIT_FORBIDDEN, thread, site, NULL, NULL);
    }
    if (overlapped != NULL) {
        audit_issue_begin(thread, site, overlapped, 0);
    } else {
        audit_sync_begin(thread, site);
    }
}

static void end(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped,
                int result) {
    DWORD error = GetLastError();
    if (overlapped != NULL) {
        end_issue(thread, overlapped, result, error);
    } else {
        audit_sync_end(site);
    }
    SetLastError(error);
}

int WSAAPI audit_WSARecv(SOCKET socket_value, LPWSABUF buffers, DWORD buffer_count,
                         LPDWORD ret_bytes, LPDWORD flags, LPWSAOVERLAPPED overlapped,
                         LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    audit_site site = AUDIT_SITE(WSARecv, socket_value);
    audit_thread *thread = audit_enter(&site);
    begin(thread, &site, overlapped, routine != NULL);
    int result = AUDIT_TRUE(WSARecv)(socket_value, buffers, buffer_count, ret_bytes, flags,
                                     overlapped, routine);
    end(thread, &site, overlapped, result);
    return result;
}

int WSAAPI audit_WSASend(SOCKET socket_value, LPWSABUF buffers, DWORD buffer_count,
                         LPDWORD ret_bytes, DWORD flags, LPWSAOVERLAPPED overlapped,
                         LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    audit_site site = AUDIT_SITE(WSASend, socket_value);
    audit_thread *thread = audit_enter(&site);
    begin(thread, &site, overlapped, routine != NULL);
    int result = AUDIT_TRUE(WSASend)(socket_value, buffers, buffer_count, ret_bytes, flags,
                                     overlapped, routine);
    end(thread, &site, overlapped, result);
    return result;
}

int WSAAPI audit_WSARecvFrom(SOCKET socket_value, LPWSABUF buffers, DWORD buffer_count,
                             LPDWORD ret_bytes, LPDWORD flags, struct sockaddr *from,
                             LPINT from_size, LPWSAOVERLAPPED overlapped,
                             LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    audit_site site = AUDIT_SITE(WSARecvFrom, socket_value);
    audit_thread *thread = audit_enter(&site);
    begin(thread, &site, overlapped, routine != NULL);
    int result = AUDIT_TRUE(WSARecvFrom)(socket_value, buffers, buffer_count, ret_bytes, flags,
                                         from, from_size, overlapped, routine);
    end(thread, &site, overlapped, result);
    return result;
}

int WSAAPI audit_WSASendTo(SOCKET socket_value, LPWSABUF buffers, DWORD buffer_count,
                           LPDWORD ret_bytes, DWORD flags, const struct sockaddr *to, int to_size,
                           LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    audit_site site = AUDIT_SITE(WSASendTo, socket_value);
    audit_thread *thread = audit_enter(&site);
    begin(thread, &site, overlapped, routine != NULL);
    int result = AUDIT_TRUE(WSASendTo)(socket_value, buffers, buffer_count, ret_bytes, flags, to,
                                       to_size, overlapped, routine);
    end(thread, &site, overlapped, result);
    return result;
}

int WSAAPI audit_recv(SOCKET socket_value, char *buffer, int size, int flags) {
    audit_site site = AUDIT_SITE(recv, socket_value);
    audit_thread *thread = audit_enter(&site);
    begin(thread, &site, NULL, false);
    int result = AUDIT_TRUE(recv)(socket_value, buffer, size, flags);
    end(thread, &site, NULL, result);
    return result;
}

int WSAAPI audit_send(SOCKET socket_value, const char *buffer, int size, int flags) {
    audit_site site = AUDIT_SITE(send, socket_value);
    audit_thread *thread = audit_enter(&site);
    begin(thread, &site, NULL, false);
    int result = AUDIT_TRUE(send)(socket_value, buffer, size, flags);
    end(thread, &site, NULL, result);
    return result;
}

SOCKET WSAAPI audit_accept(SOCKET listener, struct sockaddr *address, int *address_size) {
    audit_site site = AUDIT_SITE(accept, listener);
    audit_thread *thread = audit_enter(&site);
    audit_sync_begin(thread, &site);
    SOCKET result = AUDIT_TRUE(accept)(listener, address, address_size);
    DWORD error = GetLastError();
    audit_sync_end(&site);
    note_socket(result, true);
    SetLastError(error);
    return result;
}

/* ---- extension functions --------------------------------------------------------------------- */

BOOL PASCAL FAR audit_AcceptEx(SOCKET listener, SOCKET accepted, PVOID buffer, DWORD data_size,
                               DWORD local_size, DWORD remote_size, LPDWORD ret_bytes,
                               LPOVERLAPPED overlapped) {
    audit_site site = AUDIT_SITE(AcceptEx, listener);
    audit_thread *thread = audit_enter(&site);
    audit_issue_begin(thread, &site, overlapped, (uintptr_t)accepted);
    BOOL ok = AUDIT_TRUE(AcceptEx)(listener, accepted, buffer, data_size, local_size, remote_size,
                                   ret_bytes, overlapped);
    end(thread, &site, overlapped, ok ? 0 : SOCKET_ERROR);
    return ok;
}

BOOL PASCAL FAR audit_ConnectEx(SOCKET socket_value, const struct sockaddr *address,
                                int address_size, PVOID buffer, DWORD size, LPDWORD ret_bytes,
                                LPOVERLAPPED overlapped) {
    audit_site site = AUDIT_SITE(ConnectEx, socket_value);
    audit_thread *thread = audit_enter(&site);
    audit_issue_begin(thread, &site, overlapped, 0);
    BOOL ok = AUDIT_TRUE(ConnectEx)(socket_value, address, address_size, buffer, size, ret_bytes,
                                    overlapped);
    end(thread, &site, overlapped, ok ? 0 : SOCKET_ERROR);
    return ok;
}

/* Replaces a pointer that WSAIoctl handed out. */
static void replace_extension(audit_thread *thread, const audit_site *site, const GUID *guid,
                              audit_code *pointer) {
    static const GUID accept_guid = WSAID_ACCEPTEX;
    static const GUID connect_guid = WSAID_CONNECTEX;
    static const GUID addresses_guid = WSAID_GETACCEPTEXSOCKADDRS;
    audit_function *function = NULL;
    if (IsEqualGUID(guid, &accept_guid)) {
        function = &audit_slot_AcceptEx;
    } else if (IsEqualGUID(guid, &connect_guid)) {
        function = &audit_slot_ConnectEx;
    } else if (!IsEqualGUID(guid, &addresses_guid)) {
        /* DisconnectEx, TransmitFile, ... would go past the audit. */
        audit_violation(AUDIT_FORBIDDEN, thread, site, NULL, NULL);
    }
    if (function != NULL && *pointer != function->entry) {
        function->address = *pointer; /* the same for every socket of the system's provider */
        *pointer = function->entry;
    }
}

int WSAAPI audit_WSAIoctl(SOCKET socket_value, DWORD code, LPVOID in, DWORD in_size, LPVOID out,
                          DWORD out_size, LPDWORD ret_bytes, LPWSAOVERLAPPED overlapped,
                          LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    audit_site site = AUDIT_SITE(WSAIoctl, socket_value);
    audit_thread *thread = audit_enter(&site);
    if (overlapped != NULL || routine != NULL) {
        audit_violation(AUDIT_FORBIDDEN, thread, &site, NULL, NULL);
    }
    int result = AUDIT_TRUE(WSAIoctl)(socket_value, code, in, in_size, out, out_size, ret_bytes,
                                      overlapped, routine);
    DWORD error = GetLastError();
    if (result == 0 && code == SIO_GET_EXTENSION_FUNCTION_POINTER && in_size >= sizeof(GUID) &&
        out_size >= sizeof(audit_code)) {
        replace_extension(thread, &site, in, out);
    }
    SetLastError(error);
    return result;
}
