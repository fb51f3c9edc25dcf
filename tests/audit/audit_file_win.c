/*
 * audit_file_win.c - wrappers of kernel32's file and pipe functions.
 *
 * Each notes what the caller is about to do, calls the true function, notes the outcome, and leaves
 * the last-error value as the true function left it.
 */
#include "audit_win.h"

/* A pipe with a NULL security descriptor can be read by everyone (WINDOWS-IO, "Pipes"). */
static bool has_security(const SECURITY_ATTRIBUTES *security) {
    return security != NULL && security->lpSecurityDescriptor != NULL;
}

static bool is_pipe_name(const WCHAR *name) {
    if (name == NULL || name[0] != L'\\' || name[1] != L'\\') {
        return false;
    }
    const WCHAR *rest = name + 2;
    while (*rest != 0 && *rest != L'\\') {
        rest++;
    }
    static const WCHAR pipe[] = L"\\PIPE\\";
    for (unsigned i = 0; pipe[i] != 0; i++) {
        WCHAR c = rest[i];
        if (c >= L'a' && c <= L'z') {
            c = (WCHAR)(c - (L'a' - L'A'));
        }
        if (c != pipe[i]) {
            return false;
        }
    }
    return true;
}

static bool is_pipe_name_narrow(const char *name) {
    WCHAR wide[16];
    unsigned i = 0;
    while (name != NULL && i < 15 && name[i] != 0) {
        wide[i] = (WCHAR)(unsigned char)name[i];
        i++;
    }
    wide[i] = 0;
    return is_pipe_name(wide);
}

BOOL WINAPI audit_ReadFile(HANDLE file, LPVOID buffer, DWORD size, LPDWORD ret_count,
                           LPOVERLAPPED overlapped) {
    audit_site site = AUDIT_SITE(ReadFile, file);
    audit_thread *thread = audit_enter(&site);
    if (overlapped == NULL) {
        audit_sync_begin(thread, &site);
        BOOL ok = AUDIT_TRUE(ReadFile)(file, buffer, size, ret_count, NULL);
        DWORD error = GetLastError();
        audit_sync_end(&site);
        SetLastError(error);
        return ok;
    }
    audit_issue_begin(thread, &site, overlapped, 0);
    BOOL ok = AUDIT_TRUE(ReadFile)(file, buffer, size, ret_count, overlapped);
    DWORD error = GetLastError();
    /* ERROR_MORE_DATA is a warning: a packet follows (WINDOWS-IO, "Completions"). */
    bool packet = ok || error == ERROR_IO_PENDING || error == ERROR_MORE_DATA;
    audit_issue_end(thread, overlapped, packet ? AUDIT_PACKET : AUDIT_NO_PACKET);
    SetLastError(error);
    return ok;
}

BOOL WINAPI audit_WriteFile(HANDLE file, LPCVOID buffer, DWORD size, LPDWORD ret_count,
                            LPOVERLAPPED overlapped) {
    audit_site site = AUDIT_SITE(WriteFile, file);
    audit_thread *thread = audit_enter(&site);
    if (overlapped == NULL) {
        audit_sync_begin(thread, &site);
        BOOL ok = AUDIT_TRUE(WriteFile)(file, buffer, size, ret_count, NULL);
        DWORD error = GetLastError();
        audit_sync_end(&site);
        SetLastError(error);
        return ok;
    }
    audit_issue_begin(thread, &site, overlapped, 0);
    BOOL ok = AUDIT_TRUE(WriteFile)(file, buffer, size, ret_count, overlapped);
    DWORD error = GetLastError();
    bool packet = ok || error == ERROR_IO_PENDING;
    audit_issue_end(thread, overlapped, packet ? AUDIT_PACKET : AUDIT_NO_PACKET);
    SetLastError(error);
    return ok;
}

BOOL WINAPI audit_ConnectNamedPipe(HANDLE pipe, LPOVERLAPPED overlapped) {
    audit_site site = AUDIT_SITE(ConnectNamedPipe, pipe);
    audit_thread *thread = audit_enter(&site);
    if (overlapped == NULL) {
        audit_sync_begin(thread, &site);
        BOOL ok = AUDIT_TRUE(ConnectNamedPipe)(pipe, NULL);
        DWORD error = GetLastError();
        audit_sync_end(&site);
        SetLastError(error);
        return ok;
    }
    audit_issue_begin(thread, &site, overlapped, 0);
    BOOL ok = AUDIT_TRUE(ConnectNamedPipe)(pipe, overlapped);
    DWORD error = GetLastError();
    /* ERROR_PIPE_CONNECTED is success without a packet (WINDOWS-IO, "Completions"). */
    bool packet = ok || error == ERROR_IO_PENDING;
    audit_issue_end(thread, overlapped, packet ? AUDIT_PACKET : AUDIT_NO_PACKET);
    SetLastError(error);
    return ok;
}

/* An open: synchronous by nature, and a pipe must be opened so that its server cannot act as us. */
static void note_open(audit_thread *thread, const audit_site *site, bool is_pipe, DWORD flags) {
    audit_add(&thread->open_count, 1);
    audit_sync(thread, site);
    DWORD level = flags & (SECURITY_ANONYMOUS | SECURITY_IDENTIFICATION | SECURITY_IMPERSONATION |
                           SECURITY_DELEGATION);
    if (is_pipe && ((flags & SECURITY_SQOS_PRESENT) == 0 || level > SECURITY_IDENTIFICATION)) {
        audit_violation(AUDIT_PIPE_NO_SQOS, thread, site, NULL, NULL);
    }
}

static void note_opened(HANDLE file, bool is_pipe, DWORD flags) {
    if (file != INVALID_HANDLE_VALUE) {
        audit_handle_created((uintptr_t)file, is_pipe ? AUDIT_OBJECT_PIPE : AUDIT_OBJECT_FILE,
                             (flags & FILE_FLAG_OVERLAPPED) != 0);
    }
}

HANDLE WINAPI audit_CreateFileW(LPCWSTR name, DWORD access, DWORD share,
                                LPSECURITY_ATTRIBUTES security, DWORD disposition, DWORD flags,
                                HANDLE template_file) {
    audit_site site = AUDIT_SITE(CreateFileW, 0);
    audit_thread *thread = audit_enter(&site);
    bool is_pipe = is_pipe_name(name);
    note_open(thread, &site, is_pipe, flags);
    HANDLE file =
        AUDIT_TRUE(CreateFileW)(name, access, share, security, disposition, flags, template_file);
    DWORD error = GetLastError();
    note_opened(file, is_pipe, flags);
    SetLastError(error);
    return file;
}

HANDLE WINAPI audit_CreateFileA(LPCSTR name, DWORD access, DWORD share,
                                LPSECURITY_ATTRIBUTES security, DWORD disposition, DWORD flags,
                                HANDLE template_file) {
    audit_site site = AUDIT_SITE(CreateFileA, 0);
    audit_thread *thread = audit_enter(&site);
    bool is_pipe = is_pipe_name_narrow(name);
    note_open(thread, &site, is_pipe, flags);
    HANDLE file =
        AUDIT_TRUE(CreateFileA)(name, access, share, security, disposition, flags, template_file);
    DWORD error = GetLastError();
    note_opened(file, is_pipe, flags);
    SetLastError(error);
    return file;
}

/* Making a pipe's instance takes no time: no I/O, but rules. */
static void note_pipe(audit_thread *thread, const audit_site *site, DWORD pipe_mode,
                      const SECURITY_ATTRIBUTES *security) {
    if (!has_security(security)) {
        audit_violation(AUDIT_PIPE_NO_SECURITY, thread, site, NULL, NULL);
    }
    if ((pipe_mode & PIPE_REJECT_REMOTE_CLIENTS) == 0) {
        audit_violation(AUDIT_PIPE_REMOTE, thread, site, NULL, NULL);
    }
    if ((pipe_mode & PIPE_NOWAIT) != 0) {
        audit_violation(AUDIT_PIPE_NOWAIT, thread, site, NULL, NULL);
    }
}

HANDLE WINAPI audit_CreateNamedPipeW(LPCWSTR name, DWORD open_mode, DWORD pipe_mode,
                                     DWORD instances_max, DWORD out_size, DWORD in_size,
                                     DWORD timeout_ms, LPSECURITY_ATTRIBUTES security) {
    audit_site site = AUDIT_SITE(CreateNamedPipeW, 0);
    audit_thread *thread = audit_enter(&site);
    note_pipe(thread, &site, pipe_mode, security);
    HANDLE pipe = AUDIT_TRUE(CreateNamedPipeW)(name, open_mode, pipe_mode, instances_max, out_size,
                                               in_size, timeout_ms, security);
    DWORD error = GetLastError();
    note_opened(pipe, true, open_mode);
    SetLastError(error);
    return pipe;
}

HANDLE WINAPI audit_CreateNamedPipeA(LPCSTR name, DWORD open_mode, DWORD pipe_mode,
                                     DWORD instances_max, DWORD out_size, DWORD in_size,
                                     DWORD timeout_ms, LPSECURITY_ATTRIBUTES security) {
    audit_site site = AUDIT_SITE(CreateNamedPipeA, 0);
    audit_thread *thread = audit_enter(&site);
    note_pipe(thread, &site, pipe_mode, security);
    HANDLE pipe = AUDIT_TRUE(CreateNamedPipeA)(name, open_mode, pipe_mode, instances_max, out_size,
                                               in_size, timeout_ms, security);
    DWORD error = GetLastError();
    note_opened(pipe, true, open_mode);
    SetLastError(error);
    return pipe;
}

BOOL WINAPI audit_CreatePipe(PHANDLE ret_read, PHANDLE ret_write, LPSECURITY_ATTRIBUTES security,
                             DWORD size) {
    audit_site site = AUDIT_SITE(CreatePipe, 0);
    audit_enter(&site);
    BOOL ok = AUDIT_TRUE(CreatePipe)(ret_read, ret_write, security, size);
    DWORD error = GetLastError();
    if (ok) {
        audit_handle_created((uintptr_t)*ret_read, AUDIT_OBJECT_PIPE, false);
        audit_handle_created((uintptr_t)*ret_write, AUDIT_OBJECT_PIPE, false);
    }
    SetLastError(error);
    return ok;
}

BOOL WINAPI audit_CloseHandle(HANDLE handle) {
    audit_site site = AUDIT_SITE(CloseHandle, handle);
    audit_thread *thread = audit_enter(&site);
    /* Forgotten before it is closed: another thread may get the same value at once. */
    audit_handle_closing(thread, &site, false);
    BOOL ok = AUDIT_TRUE(CloseHandle)(handle);
    DWORD error = GetLastError();
    if (!ok) {
        audit_violation(AUDIT_CLOSE_INVALID, thread, &site, NULL, NULL);
    }
    SetLastError(error);
    return ok;
}

BOOL WINAPI audit_DuplicateHandle(HANDLE source_process, HANDLE source, HANDLE target_process,
                                  LPHANDLE ret_target, DWORD access, BOOL is_inherited,
                                  DWORD options) {
    audit_site site = AUDIT_SITE(DuplicateHandle, source);
    audit_thread *thread = audit_enter(&site);
    if ((options & DUPLICATE_CLOSE_SOURCE) != 0 && source_process == GetCurrentProcess()) {
        audit_handle_closing(thread, &site, false);
    }
    BOOL ok = AUDIT_TRUE(DuplicateHandle)(source_process, source, target_process, ret_target,
                                          access, is_inherited, options);
    DWORD error = GetLastError();
    SetLastError(error);
    return ok;
}

/* A name that is looked up gets the wrapper too, so that this is no way around it. */
FARPROC WINAPI audit_GetProcAddress(HMODULE module, LPCSTR name) {
    audit_site site = AUDIT_SITE(GetProcAddress, 0);
    audit_enter(&site);
    FARPROC address = AUDIT_TRUE(GetProcAddress)(module, name);
    if (address == NULL || (uintptr_t)name <= 0xFFFF) {
        return address; /* absent, or by ordinal */
    }
    for (unsigned i = 0; i < AUDIT_FUNCTION_COUNT; i++) {
        const audit_function *function = audit_functions[i];
        if (lstrcmpA(function->name, name) == 0 && function->address == (audit_code)address) {
            return (FARPROC)function->entry;
        }
    }
    return address;
}
