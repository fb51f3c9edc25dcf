/*
 * system_win.c - what this machine is, and the files of the kit. See kit.h.
 */
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <shellapi.h>

#include "tests/kit/kit.h"
#include "tests/kit/kit_win.h"

#define TEXT_CHARS 256u

typedef LONG(WINAPI *version_call)(OSVERSIONINFOW *version);
typedef BOOL(WINAPI *machine_call)(HANDLE process, USHORT *process_machine, USHORT *machine);
typedef const char *(CDECL *wine_call)(void);

bool kit_narrow(const WCHAR *wide, char *ret_text, size_t size) {
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, ret_text, (int)size, NULL, NULL) > 0;
}

bool kit_wide(const char *text, WCHAR ret_wide[KIT_PATH_BYTES]) {
    return MultiByteToWideChar(CP_UTF8, 0, text, -1, ret_wide, KIT_PATH_BYTES) > 0;
}

static bool is_ascii(const WCHAR *text) {
    for (; *text != L'\0'; text++) {
        if (*text > 126) {
            return false;
        }
    }
    return true;
}

/* Programs take their words in the machine's code page: only what is in each of them is safe. The
 * short name of a folder is, where the volume has such names. */
bool kit_plain_path(WCHAR path[KIT_PATH_BYTES]) {
    static WCHAR plain[KIT_PATH_BYTES];
    if (is_ascii(path)) {
        return true;
    }
    DWORD length = GetShortPathNameW(path, plain, KIT_PATH_BYTES);
    if (length == 0 || length >= KIT_PATH_BYTES || !is_ascii(plain)) {
        return false;
    }
    wcscpy(path, plain);
    return true;
}

bool kit_own_folder(char ret_folder[KIT_PATH_BYTES]) {
    static WCHAR path[KIT_PATH_BYTES];
    DWORD length = GetModuleFileNameW(NULL, path, KIT_PATH_BYTES);
    WCHAR *slash = length > 0 && length < KIT_PATH_BYTES ? wcsrchr(path, L'\\') : NULL;
    if (slash == NULL) {
        return false;
    }
    *slash = L'\0';
    return kit_plain_path(path) && kit_narrow(path, ret_folder, KIT_PATH_BYTES);
}

char **kit_words(int *ret_count) {
    static char text[KIT_PATH_BYTES * 8];
    static char *words[64];
    int count = 0;
    size_t used = 0;
    LPWSTR *wide = CommandLineToArgvW(GetCommandLineW(), &count);
    *ret_count = 0;
    for (int i = 0; wide != NULL && i < count && i < 63; i++) {
        words[i] = text + used;
        if (!kit_narrow(wide[i], words[i], sizeof(text) - used)) {
            break;
        }
        used += strlen(words[i]) + 1;
        *ret_count = i + 1;
    }
    words[*ret_count] = NULL;
    (void)LocalFree(wide);
    return words;
}

bool kit_read_file(const char *path, char *ret_text, size_t size) {
    static WCHAR wide[KIT_PATH_BYTES];
    DWORD count = 0;
    if (!kit_wide(path, wide)) {
        return false;
    }
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return false;
    }
    bool is_read = ReadFile(file, ret_text, (DWORD)size, &count, NULL) && count < size;
    (void)CloseHandle(file);
    ret_text[is_read ? count : 0] = '\0';
    return is_read;
}

/* ---- the system ---- */

static FARPROC procedure(const WCHAR *library, const char *name) {
    HMODULE module = GetModuleHandleW(library);
    return module != NULL ? GetProcAddress(module, name) : NULL;
}

static void read_version_text(const WCHAR *name, char ret_text[TEXT_CHARS]) {
    WCHAR wide[TEXT_CHARS] = L"";
    DWORD size = sizeof(wide);
    ret_text[0] = '\0';
    if (RegGetValueW(HKEY_LOCAL_MACHINE, L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion", name,
                     RRF_RT_REG_SZ, NULL, wide, &size) == ERROR_SUCCESS) {
        (void)kit_narrow(wide, ret_text, TEXT_CHARS);
    }
}

static void ask_version(kit_system *ret_system) {
    union {
        FARPROC any;
        version_call call;
    } version_of = {procedure(L"ntdll.dll", "RtlGetVersion")}; /* it does not lie, as others do */
    OSVERSIONINFOW version = {.dwOSVersionInfoSize = sizeof(version)};
    char product[TEXT_CHARS];
    char release[TEXT_CHARS];
    DWORD revision = 0;
    DWORD size = sizeof(revision);
    if (version_of.any != NULL) {
        (void)version_of.call(&version);
    }
    read_version_text(L"ProductName", product);
    read_version_text(L"DisplayVersion", release);
    (void)RegGetValueW(HKEY_LOCAL_MACHINE, L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion",
                       L"UBR", RRF_RT_REG_DWORD, NULL, &revision, &size);
    bool is_wine = ret_system->wine != NULL;
    (void)snprintf(ret_system->os, sizeof(ret_system->os), "%s%s%s%.60s%s%.20s, %lu.%lu.%lu.%lu",
                   is_wine ? "Wine " : "", is_wine ? ret_system->wine : "", is_wine ? " as " : "",
                   product, release[0] != '\0' ? " " : "", release, version.dwMajorVersion,
                   version.dwMinorVersion, version.dwBuildNumber, revision);
}

static const char *machine_name(unsigned machine) {
    switch (machine) {
    case 0xAA64: return "ARM64"; /* IMAGE_FILE_MACHINE_ARM64 */
    case 0x8664: return "x86-64";
    case 0x014C: return "x86";
    default: return "unknown";
    }
}

static unsigned own_machine(void) {
#if defined(__aarch64__) || defined(_M_ARM64)
    return 0xAA64;
#else
    return 0x8664;
#endif
}

static void ask_machine(kit_system *ret_system) {
    union {
        FARPROC any;
        machine_call call;
    } machines_of = {procedure(L"kernel32.dll", "IsWow64Process2")}; /* Windows 10 1709 */
    USHORT process_machine = 0;
    USHORT machine = 0;
    MEMORYSTATUSEX memory = {.dwLength = sizeof(memory)};
    char name[TEXT_CHARS] = "";
    if (machines_of.any == NULL ||
        !machines_of.call(GetCurrentProcess(), &process_machine, &machine)) {
        machine = (USHORT)own_machine();
    }
    DWORD size = sizeof(name);
    (void)RegGetValueA(HKEY_LOCAL_MACHINE, "HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0",
                       "ProcessorNameString", RRF_RT_REG_SZ, NULL, name, &size);
    (void)snprintf(ret_system->machine, sizeof(ret_system->machine),
                   "%s (%.50s), programs for %s%s", machine_name(machine), name,
                   machine_name(own_machine()), machine == own_machine() ? "" : ", emulated");
    ret_system->processors = (unsigned)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    if (GlobalMemoryStatusEx(&memory)) {
        ret_system->memory_bytes = memory.ullTotalPhys;
    }
}

static void ask_user(kit_system *ret_system) {
    WCHAR user[TEXT_CHARS] = L"?";
    WCHAR computer[TEXT_CHARS] = L"?";
    char narrow[2][TEXT_CHARS] = {"?", "?"};
    DWORD size = TEXT_CHARS;
    HANDLE token;
    TOKEN_ELEVATION elevation = {0};
    DWORD length;
    (void)GetUserNameW(user, &size);
    size = TEXT_CHARS;
    (void)GetComputerNameW(computer, &size);
    (void)kit_narrow(user, narrow[0], TEXT_CHARS);
    (void)kit_narrow(computer, narrow[1], TEXT_CHARS);
    (void)snprintf(ret_system->user, sizeof(ret_system->user), "%.140s\\%.140s", narrow[1],
                   narrow[0]);
    if (OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        ret_system->is_elevated =
            GetTokenInformation(token, TokenElevation, &elevation, sizeof(elevation), &length) &&
            elevation.TokenIsElevated != 0;
        (void)CloseHandle(token);
    }
}

void kit_system_ask(kit_system *ret_system) {
    union {
        FARPROC any;
        wine_call call;
    } wine = {procedure(L"ntdll.dll", "wine_get_version")};
    *ret_system = (kit_system){.wine = wine.any != NULL ? wine.call() : NULL};
    ask_version(ret_system);
    ask_machine(ret_system);
    ask_user(ret_system);
}
