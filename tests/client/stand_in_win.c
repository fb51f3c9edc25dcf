/*
 * stand_in_win.c - see stand_in.h.
 */
#include "tests/client/stand_in.h"

#include <stdio.h>
#include <windows.h>

#include "base/check.h"
#include "base/status.h"

#define PATH_CHARS 512

const char *const stand_in_root = "system32>";
const char *const stand_in_exit_words = ", with exit code 1";
const stand_in_refusal stand_in_refusals[2] = {
    {SLUICE_EINVAL, ERROR_PATH_NOT_FOUND, "there is no such folder (Windows error 3)"},
    {SLUICE_EACCESS, ERROR_ACCESS_DENIED, "no permission, or a folder (Windows error 5)"},
};
const stand_in_refusal stand_in_no_start = {
    SLUICE_EACCESS, ERROR_BAD_EXE_FORMAT, "no program for this machine (Windows error 193)"};

void stand_in_set_role(const char *role) {
    SL_CHECK(SetEnvironmentVariableA(STAND_IN_ROLE, role), "the environment has room");
}

void stand_in_folder(char *ret_path, size_t size) {
    DWORD length = GetCurrentDirectoryA((DWORD)size, ret_path);
    SL_CHECK(length > 0 && length < size, "there is a folder");
}

void stand_in_log_path(char *ret_path, size_t size) {
    char folder[PATH_CHARS];
    DWORD length = GetTempPathA(sizeof(folder), folder);
    SL_CHECK(length > 0 && length < sizeof(folder), "there is a folder for files of the moment");
    (void)snprintf(ret_path, size, "%ssluice-launch-%lu.log", folder,
                   (unsigned long)GetCurrentProcessId());
}

uint64_t stand_in_open_log(const char *path) {
    HANDLE file = CreateFileA(path, FILE_APPEND_DATA | SYNCHRONIZE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_ALWAYS, 0, NULL);
    SL_CHECK(file != INVALID_HANDLE_VALUE, "the log can be opened");
    return (uint64_t)(uintptr_t)file;
}

uint64_t stand_in_open_to_read(const char *path) {
    HANDLE file = CreateFileA(path, GENERIC_READ,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, 0, NULL);
    SL_CHECK(file != INVALID_HANDLE_VALUE, "the log can be opened");
    return (uint64_t)(uintptr_t)file;
}

bool stand_in_tells_rights(uint64_t log) {
    HANDLE copy;
    bool is_granted = DuplicateHandle(GetCurrentProcess(), (HANDLE)(uintptr_t)log,
                                      GetCurrentProcess(), &copy, FILE_APPEND_DATA, FALSE, 0);
    if (is_granted) {
        (void)CloseHandle(copy);
    }
    return !is_granted;
}

void stand_in_close_log(uint64_t log) {
    (void)CloseHandle((HANDLE)(uintptr_t)log);
}
