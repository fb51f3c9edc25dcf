/*
 * startup_win.c - see startup.h.
 *
 * The configuration file is read synchronously on the main thread, which never does overlapped I/O
 * of ours. Arguments come from the command line as UTF-16: argv is in some code page.
 */
#include "broker/startup.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <sddl.h>
#include <shellapi.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/sink.h"
#include "base/status.h"
#include "proto/address.h"

#define ARGUMENTS_MAX   256
#define ARGUMENTS_BYTES 65536
#define PATH_CHARS      1024

static char *arguments[ARGUMENTS_MAX + 1];
static char argument_text[ARGUMENTS_BYTES];

int startup_process(int argc, char **argv, int *ret_argc, char ***ret_argv,
                    config_error *ret_error) {
    uint32_t os_error;
    (void)ret_error;
    (void)sl_sink_prepare(&os_error); /* what cannot be had is left out */
    *ret_argc = argc;
    *ret_argv = argv;
    int count = 0;
    LPWSTR *wide = CommandLineToArgvW(GetCommandLineW(), &count);
    if (wide == NULL) {
        return SLUICE_OK;
    }
    int used = 0;
    int taken = 0;
    while (taken < count && taken < ARGUMENTS_MAX) {
        int length = WideCharToMultiByte(CP_UTF8, 0, wide[taken], -1, argument_text + used,
                                         ARGUMENTS_BYTES - used, NULL, NULL);
        if (length <= 0) {
            break;
        }
        arguments[taken++] = argument_text + used;
        used += length;
    }
    if (taken == count) {
        *ret_argc = count;
        *ret_argv = arguments;
    }
    (void)LocalFree(wide);
    return SLUICE_OK;
}

static int file_error(config_error *error, const char *what_failed, const char *path,
                      DWORD os_error) {
    const char *what = "the system refused";
    int status = SLUICE_EOS;
    if (os_error == ERROR_FILE_NOT_FOUND || os_error == ERROR_PATH_NOT_FOUND) {
        what = "there is no such file or directory";
        status = SLUICE_ENOTFOUND;
    } else if (os_error == ERROR_ACCESS_DENIED) {
        what = "no permission, or a directory";
        status = SLUICE_EACCESS;
    } else if (os_error == ERROR_FILE_TOO_LARGE) {
        what = "too large";
    }
    (void)snprintf(error->text, sizeof(error->text), "cannot %s %.300s: %s (Windows error %lu)",
                   what_failed, path, what, (unsigned long)os_error);
    return status;
}

int startup_open_log(const char *path, config_error *ret_error) {
    uint32_t os_error;
    const char *why;
    if (sl_sink_open_file(path, &os_error, &why)) {
        return SLUICE_OK;
    }
    if (why != NULL) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "cannot open the log file %.300s: %.100s", path, why);
        return SLUICE_EOS;
    }
    (void)file_error(ret_error, "open the log file", path, os_error);
    return SLUICE_EOS;
}

int startup_read_file(const char *path, char *text, size_t size, size_t *ret_length,
                      config_error *ret_error) {
    WCHAR wide[PATH_CHARS];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, PATH_CHARS) <= 0) {
        return file_error(ret_error, "read", path, ERROR_PATH_NOT_FOUND);
    }
    /* Were it a pipe, its server must not become us. */
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                              OPEN_EXISTING, SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return file_error(ret_error, "read", path, GetLastError());
    }
    DWORD os_error = 0;
    LARGE_INTEGER length = {.QuadPart = 0};
    DWORD count = 0;
    if (!GetFileSizeEx(file, &length)) { /* fails for what is no file */
        os_error = GetLastError();
    } else if (length.QuadPart > (LONGLONG)size) {
        os_error = ERROR_FILE_TOO_LARGE;
    } else if (!ReadFile(file, text, (DWORD)length.QuadPart, &count, NULL)) {
        os_error = GetLastError();
    }
    (void)CloseHandle(file);
    *ret_length = count;
    return os_error == 0 ? SLUICE_OK : file_error(ret_error, "read", path, os_error);
}

int startup_endpoint(const sluiced_config *config, char ret_name[ENGINE_PIPE_NAME_BYTES],
                     config_error *ret_error) {
    static const char prefix[] = "\\\\.\\pipe\\";
    const char *name = config->endpoint[0] == '\0' ? "sluice" : config->endpoint;
    const char *own;
    sl_reason reason;
    if (strchr(name, '/') != NULL) { /* Windows would take it for a backslash */
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "endpoint: %.200s looks like a path; on Windows it is the name of a pipe, "
                       "in which no / can be",
                       name);
        return SLUICE_ENOTSUP;
    }
    if (sl_address_windows_pipe(name, "endpoint", &own, &reason) != SLUICE_OK) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "%s: %.200s", reason.text, name);
        return SLUICE_ENOTSUP;
    }
    int length = snprintf(ret_name, ENGINE_PIPE_NAME_BYTES, "%s%s", prefix, own);
    const int most =
        ENGINE_PIPE_CHARS_MAX - (int)(sizeof(ENGINE_ENDPOINT_PREFIX_WIN) - sizeof(prefix));
    int units = MultiByteToWideChar(CP_UTF8, 0, own, -1, NULL, 0) - 1; /* Windows counts these */
    if (length < 0 || length >= ENGINE_PIPE_NAME_BYTES || units > most) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "endpoint: longer than Windows allows, %d characters instead of at most %d: "
                       "%.200s",
                       units, most, name);
        return SLUICE_ENAMETOOLONG;
    }
    return SLUICE_OK;
}

void startup_remove_folder(const char *endpoint) {
    (void)endpoint; /* a pipe's name has none */
}

/* ---- who may connect ---- */

/* LookupAccountNameW: these say that nobody has the name, or that it is none; all else, that the
 * system could not tell (memory, a domain controller that is away). */
static bool is_unknown(DWORD os_error) {
    return os_error == ERROR_NONE_MAPPED || os_error == ERROR_INVALID_SID ||
           os_error == ERROR_INVALID_NAME || os_error == ERROR_INVALID_PARAMETER ||
           os_error == ERROR_NO_SUCH_DOMAIN || os_error == ERROR_INVALID_ACCOUNT_NAME;
}

static int find_sid(const char *name, char *ret_text, size_t size, config_error *ret_error) {
    WCHAR wide[CONFIG_NAME_BYTES];
    WCHAR domain[256];
    union {
        SID sid;
        BYTE bytes[SECURITY_MAX_SID_SIZE];
    } found;
    DWORD sid_bytes = sizeof(found);
    DWORD domain_chars = (DWORD)SL_ARRAY_COUNT(domain);
    SID_NAME_USE use;
    PSID given = NULL;
    LPWSTR text = NULL;
    bool is_found = false;
    DWORD os_error = ERROR_NONE_MAPPED;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, wide, CONFIG_NAME_BYTES) > 0) {
        if (ConvertStringSidToSidW(wide, &given)) {
            is_found = ConvertSidToStringSidW(given, &text);
            (void)LocalFree(given);
        } else if (GetLastError() != ERROR_NOT_ENOUGH_MEMORY && /* it is no SID */
                   LookupAccountNameW(NULL, wide, &found.sid, &sid_bytes, domain, &domain_chars,
                                      &use)) {
            is_found = ConvertSidToStringSidW(&found.sid, &text);
        }
        os_error = is_found ? ERROR_SUCCESS : GetLastError();
    }
    if (is_found) {
        is_found = WideCharToMultiByte(CP_UTF8, 0, text, -1, ret_text, (int)size, NULL, NULL) > 0;
        os_error = is_found ? ERROR_SUCCESS : GetLastError();
        (void)LocalFree(text);
    }
    if (!is_found && !is_unknown(os_error)) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "allow: cannot look up \"%.100s\": Windows error %lu", name,
                       (unsigned long)os_error);
        return SLUICE_EOS;
    }
    if (!is_found) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "allow: there is no user or group \"%.100s\" (NAME, DOMAIN\\NAME or a SID)",
                       name);
        return SLUICE_EINVAL;
    }
    return SLUICE_OK;
}

/* D:P(A;;0x12019b;;;SID)...: read and write without creating instances; nobody else. The engine
 * adds this process's own user (engine/iocp_pipe.c). The system asks it before anybody connects, so
 * the broker need not ask again. */
int startup_access(const sluiced_config *config, startup_allowed *ret_allowed,
                   config_error *ret_error) {
    char *text = ret_allowed->text;
    ret_allowed->access = NULL;
    ret_allowed->allow_count = 0;
    if (config->allow_count == 0) {
        return SLUICE_OK;
    }
    int used = snprintf(text, STARTUP_ACCESS_BYTES, "D:P");
    for (unsigned i = 0; i < config->allow_count; i++) {
        char sid[192];
        ret_allowed->at = i;
        int status = find_sid(config->allow[i], sid, sizeof(sid), ret_error);
        if (status != SLUICE_OK) {
            return status;
        }
        used +=
            snprintf(text + used, (size_t)(STARTUP_ACCESS_BYTES - used), "(A;;0x12019b;;;%s)", sid);
        if (used >= STARTUP_ACCESS_BYTES) {
            (void)snprintf(ret_error->text, sizeof(ret_error->text), "allow: too many names");
            return SLUICE_EINVAL;
        }
    }
    ret_allowed->access = text;
    return SLUICE_OK;
}

/* LocalSystem. A service under any other account, and an administrator, has a name that servers can
 * tell from the system's. */
static bool is_system(DWORD *ret_error) {
    union {
        TOKEN_USER user;
        BYTE bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } info;
    DWORD size = 0;
    HANDLE token;
    bool is_it = false;
    *ret_error = 0;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        *ret_error = GetLastError();
        return false;
    }
    if (GetTokenInformation(token, TokenUser, &info, sizeof(info), &size)) {
        is_it = IsWellKnownSid(info.user.User.Sid, WinLocalSystemSid);
    } else {
        *ret_error = GetLastError();
    }
    (void)CloseHandle(token);
    return is_it;
}

int startup_check_account(const sluiced_config *config, config_error *ret_error) {
    DWORD os_error = 0;
    if (config->allow_count == 0 || config->allow_as_root) {
        return SLUICE_OK;
    }
    if (is_system(&os_error)) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "%s",
                       "not as LocalSystem: what a broker connects to for a client sees the "
                       "broker's account, and would take each client for the system. Run it under "
                       "an account of its own (sluiced service install does), or insist with "
                       "--allow-as-root");
        return SLUICE_EINVAL;
    }
    if (os_error != 0) {
        (void)snprintf(ret_error->text, sizeof(ret_error->text),
                       "cannot tell the account of this process: Windows error %lu",
                       (unsigned long)os_error);
    }
    return os_error == 0 ? SLUICE_OK : SLUICE_EOS;
}

uint64_t startup_descriptors(uint64_t *ret_inherited) {
    *ret_inherited = 0;
    return 0; /* 16 million handles: the sessions' own limits come first */
}

uint64_t startup_pipe_pages(void) {
    return 0;
}

uint64_t startup_process_id(void) {
    return GetCurrentProcessId();
}

void startup_exit(int code) {
    for (;;) {
        (void)TerminateProcess(GetCurrentProcess(), (UINT)code);
    }
}
