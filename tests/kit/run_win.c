/*
 * run_win.c - one program: in a job of its own, so that all it has started ends with it; with a
 * console of its own that nobody sees, so that a Ctrl-Break of a test's reaches no one else; its
 * output in a file, in a temporary folder that is emptied behind each program. See kit.h.
 *
 * The main thread, and the one that Windows makes to tell of Ctrl-C, which sets an event.
 */
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/clock.h"
#include "tests/kit/kit_win.h"

#define LINE_CHARS   (KIT_PATH_BYTES * 4)
#define TO_ITS_END_S 300u /* of a check that is left alone, once somebody has pressed Ctrl-C */
#define GO_AWAY_MS   30000u
#define CLOSING_WAIT_MS \
    4000u /* Windows ends a program 5 s after its window was closed [docs:
                               * HandlerRoutine] */
#define OUTPUT_NAME L"\\output.txt"

static struct {
    WCHAR folder[KIT_PATH_BYTES]; /* for all that programs leave */
    WCHAR output[KIT_PATH_BYTES];
    WCHAR public[KIT_PATH_BYTES];  /* what services can read; empty: none was made */
    WCHAR service[KIT_PATH_BYTES]; /* a sluiced in it */
    HANDLE os_interrupt;
    HANDLE os_done; /* the report is written */
} run;

/* ---- Ctrl-C, and the window that is closed ---- */

static BOOL WINAPI on_control(DWORD kind) {
    (void)SetEvent(run.os_interrupt);
    if (kind != CTRL_C_EVENT && kind != CTRL_BREAK_EVENT) {
        (void)WaitForSingleObject(run.os_done, CLOSING_WAIT_MS);
    }
    return TRUE;
}

bool kit_is_interrupted(void) {
    return WaitForSingleObject(run.os_interrupt, 0) == WAIT_OBJECT_0;
}

/* ---- the temporary folder ---- */

static bool is_dots(const WCHAR *name) {
    return wcscmp(name, L".") == 0 || wcscmp(name, L"..") == 0;
}

/* Removes what is in a folder; how many files there were besides our own. A link is removed and
 * not followed. */
static unsigned empty_folder(const WCHAR *folder) {
    WIN32_FIND_DATAW found;
    WCHAR path[KIT_PATH_BYTES];
    unsigned count = 0;
    (void)swprintf(path, KIT_PATH_BYTES, L"%ls\\*", folder);
    HANDLE search = FindFirstFileW(path, &found);
    if (search == INVALID_HANDLE_VALUE) {
        return 0;
    }
    do {
        if (is_dots(found.cFileName) ||
            swprintf(path, KIT_PATH_BYTES, L"%ls\\%ls", folder, found.cFileName) <= 0) {
            continue;
        }
        count += wcscmp(path, run.output) == 0 ? 0 : 1;
        (void)SetFileAttributesW(path, FILE_ATTRIBUTE_NORMAL);
        if ((found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) == 0) {
            (void)DeleteFileW(path);
            continue;
        }
        if ((found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) == 0) {
            count += empty_folder(path);
        }
        (void)RemoveDirectoryW(path);
    } while (FindNextFileW(search, &found));
    (void)FindClose(search);
    return count;
}

/* ---- a program for services ---- */

/* A service's account cannot read a user's own folders, where a kit may well have been unpacked:
 * it gets a copy of sluiced where programs are installed. Without the rights to that there are no
 * services to be tried. */
static void make_public(const char *folder) {
    WCHAR kit[KIT_PATH_BYTES];
    WCHAR own[KIT_PATH_BYTES + 32];
    (void)kit_wide(folder, kit);
    (void)swprintf(own, KIT_PATH_BYTES + 32, L"%ls\\bin\\sluiced.exe", kit);
    DWORD length = ExpandEnvironmentStringsW(L"%ProgramFiles%", run.public, MAX_PATH);
    if (length > 0 && length <= MAX_PATH) {
        (void)swprintf(run.public + wcslen(run.public), 40, L"\\sluice-kit-%lu",
                       GetCurrentProcessId());
        (void)swprintf(run.service, KIT_PATH_BYTES, L"%ls\\sluiced.exe", run.public);
        if (CreateDirectoryW(run.public, NULL)) {
            if (CopyFileW(own, run.service, TRUE)) {
                return;
            }
            (void)RemoveDirectoryW(run.public);
        }
    }
    run.public[0] = L'\0';
    wcscpy(run.service, own);
}

static bool remove_public(void) {
    return run.public[0] == L'\0' || (DeleteFileW(run.service) && RemoveDirectoryW(run.public));
}

bool kit_run_init(const char *folder, uint32_t *ret_os_error) {
    WCHAR base[MAX_PATH + 1];
    run.os_interrupt = CreateEventW(NULL, TRUE, FALSE, NULL);
    run.os_done = CreateEventW(NULL, TRUE, FALSE, NULL);
    DWORD length = GetTempPathW(MAX_PATH + 1, base);
    if (run.os_interrupt == NULL || run.os_done == NULL || length == 0 || length > MAX_PATH) {
        *ret_os_error = GetLastError();
        return false;
    }
    (void)swprintf(run.folder, KIT_PATH_BYTES, L"%lssluice-kit-%lu", base, GetCurrentProcessId());
    if (!CreateDirectoryW(run.folder, NULL)) {
        *ret_os_error = GetLastError();
        return false;
    }
    if (!kit_plain_path(run.folder)) {
        *ret_os_error = ERROR_INVALID_NAME;
        (void)RemoveDirectoryW(run.folder);
        return false;
    }
    (void)swprintf(run.output, KIT_PATH_BYTES, L"%ls" OUTPUT_NAME, run.folder);
    make_public(folder);
    /* What programs find: no box that waits for a click when one crashes, the folder as theirs. */
    (void)SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    (void)SetEnvironmentVariableW(L"TEMP", run.folder);
    (void)SetEnvironmentVariableW(L"TMP", run.folder);
    (void)SetThreadExecutionState(ES_CONTINUOUS | ES_SYSTEM_REQUIRED); /* nobody types */
    return SetConsoleCtrlHandler(on_control, TRUE) != 0;
}

bool kit_run_deinit(void) {
    (void)empty_folder(run.folder);
    bool is_gone = RemoveDirectoryW(run.folder);
    is_gone = remove_public() && is_gone;
    (void)SetEvent(run.os_done);
    return is_gone;
}

/* ---- a program ---- */

/* Appends a word in quotes, `{}` in it as the kit's folder; {service} is the sluiced for services.
 * None has a quote itself or ends with a backslash (list.c's come from pack.cmake). */
static bool add_word(WCHAR line[LINE_CHARS], const char *word, const char *folder) {
    char text[KIT_PATH_BYTES * 2];
    WCHAR wide[KIT_PATH_BYTES];
    const char *mark = strstr(word, "{}");
    int length = mark == NULL ? snprintf(text, sizeof(text), "%s", word)
                              : snprintf(text, sizeof(text), "%.*s%s%s", (int)(mark - word), word,
                                         folder, mark + 2);
    if (length < 0 || (size_t)length >= KIT_PATH_BYTES || !kit_wide(text, wide)) {
        return false;
    }
    if (strcmp(word, "{service}") == 0) {
        wcscpy(wide, run.service);
    }
    if (wcslen(line) + wcslen(wide) + 4 > LINE_CHARS) {
        return false;
    }
    if (line[0] != L'\0') {
        wcscat(line, L" ");
    }
    wcscat(line, L"\"");
    wcscat(line, wide);
    wcscat(line, L"\"");
    return true;
}

static bool command_line(const kit_check *check, const char *folder, WCHAR ret_line[LINE_CHARS]) {
    char program[KIT_PATH_BYTES];
    int length = snprintf(program, sizeof(program), "{}\\%s", check->words[0]);
    ret_line[0] = L'\0';
    if (length < 0 || (size_t)length >= sizeof(program)) {
        return false;
    }
    for (char *at = program; *at != '\0'; at++) {
        *at = *at == '/' ? '\\' : *at;
    }
    bool is_whole = add_word(ret_line, program, folder);
    for (unsigned i = 1; check->words[i] != NULL && is_whole; i++) {
        is_whole = add_word(ret_line, check->words[i], folder);
    }
    return is_whole;
}

typedef struct job {
    HANDLE os_job;
    HANDLE os_port; /* says when its last process has ended */
} job;

static bool job_init(job *j) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    j->os_job = CreateJobObjectW(NULL, NULL);
    j->os_port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT port = {.CompletionKey = j, .CompletionPort = j->os_port};
    return j->os_job != NULL && j->os_port != NULL &&
           SetInformationJobObject(j->os_job, JobObjectExtendedLimitInformation, &limits,
                                   sizeof(limits)) &&
           SetInformationJobObject(j->os_job, JobObjectAssociateCompletionPortInformation, &port,
                                   sizeof(port));
}

/* Ends what is left of it, and waits for that: it has files open. */
static void job_deinit(job *j, bool has_process) {
    DWORD message = 0;
    ULONG_PTR key;
    OVERLAPPED *number;
    if (j->os_job != NULL) {
        (void)TerminateJobObject(j->os_job, 1);
    }
    while (has_process && message != JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO &&
           GetQueuedCompletionStatus(j->os_port, &message, &key, &number, GO_AWAY_MS)) {
    }
    if (j->os_job != NULL) {
        (void)CloseHandle(j->os_job);
    }
    if (j->os_port != NULL) {
        (void)CloseHandle(j->os_port);
    }
}

static DWORD start(job *j, WCHAR *line, HANDLE output, HANDLE *ret_process) {
    PROCESS_INFORMATION made;
    STARTUPINFOW startup = {.cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES};
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof(inherit), .bInheritHandle = TRUE};
    HANDLE nothing = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherit,
                                 OPEN_EXISTING, 0, NULL);
    startup.hStdInput = nothing;
    startup.hStdOutput = output;
    startup.hStdError = output;
    BOOL is_made = CreateProcessW(NULL, line, NULL, NULL, TRUE,
                                  CREATE_SUSPENDED | CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP,
                                  NULL, run.folder, &startup, &made);
    DWORD os_error = is_made ? 0 : GetLastError();
    (void)CloseHandle(nothing);
    if (!is_made) {
        return os_error;
    }
    if (!AssignProcessToJobObject(j->os_job, made.hProcess) ||
        ResumeThread(made.hThread) == (DWORD)-1) {
        os_error = GetLastError();
        (void)TerminateProcess(made.hProcess, 1);
        (void)CloseHandle(made.hProcess);
    }
    (void)CloseHandle(made.hThread);
    *ret_process = made.hProcess;
    return os_error;
}

static void wait_for(const kit_check *check, HANDLE process, kit_outcome *ret_outcome) {
    HANDLE both[2] = {process, run.os_interrupt};
    DWORD code = 0;
    DWORD which = WaitForMultipleObjects(2, both, FALSE, check->limit_s * 1000);
    ret_outcome->end = KIT_END_LATE;
    if (which == WAIT_OBJECT_0 + 1) {
        ret_outcome->end = KIT_END_INTERRUPTED;
        if (check->is_left_alone) {
            which = WaitForSingleObject(process, TO_ITS_END_S * 1000);
        }
    }
    if (which == WAIT_OBJECT_0 && GetExitCodeProcess(process, &code)) {
        ret_outcome->end = KIT_END_EXIT;
        ret_outcome->exit_code = code;
    }
}

static void read_output(HANDLE file, char ret_text[KIT_OUTPUT_BYTES + 1]) {
    LARGE_INTEGER size = {.QuadPart = 0};
    DWORD count = 0;
    (void)GetFileSizeEx(file, &size);
    LARGE_INTEGER from = {.QuadPart = size.QuadPart > (LONGLONG)KIT_OUTPUT_BYTES
                                          ? size.QuadPart - (LONGLONG)KIT_OUTPUT_BYTES
                                          : 0};
    if (!SetFilePointerEx(file, from, NULL, FILE_BEGIN) ||
        !ReadFile(file, ret_text, KIT_OUTPUT_BYTES, &count, NULL)) {
        count = 0;
    }
    ret_text[count] = '\0';
    for (DWORD i = 0; i < count; i++) { /* a string */
        ret_text[i] = ret_text[i] == '\0' ? '?' : ret_text[i];
    }
}

void kit_run(const kit_check *check, const char *folder, kit_outcome *ret_outcome) {
    static WCHAR line[LINE_CHARS];
    job j = {0};
    HANDLE process = NULL;
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof(inherit), .bInheritHandle = TRUE};
    uint64_t begin_ns = sl_clock_now_ns(sl_clock_system());
    memset(ret_outcome, 0, sizeof(*ret_outcome));
    ret_outcome->end = KIT_END_NOT_STARTED;
    HANDLE output = CreateFileW(run.output, GENERIC_READ | FILE_APPEND_DATA,
                                FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, &inherit,
                                CREATE_ALWAYS, 0, NULL);
    if (output == INVALID_HANDLE_VALUE || !job_init(&j)) {
        ret_outcome->exit_code = GetLastError();
    } else if (!command_line(check, folder, line)) {
        ret_outcome->exit_code = ERROR_FILENAME_EXCED_RANGE;
    } else {
        ret_outcome->exit_code = start(&j, line, output, &process);
    }
    bool is_started = process != NULL && ret_outcome->exit_code == 0;
    if (is_started) {
        wait_for(check, process, ret_outcome);
        (void)CloseHandle(process);
    }
    job_deinit(&j, is_started);
    ret_outcome->took_ns = sl_clock_now_ns(sl_clock_system()) - begin_ns;
    if (output != INVALID_HANDLE_VALUE) {
        read_output(output, ret_outcome->output);
        (void)CloseHandle(output);
    }
    ret_outcome->left_files = empty_folder(run.folder);
}
