/*
 * subject_win.c - a program for the kit's own test, that ends as it is told.
 *
 *     kit_subject pass | fail | skip | uncertain | crash | hang | litter | orphan
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

static void wait_for_ever(void) {
    HANDLE never = CreateEventW(NULL, TRUE, FALSE, NULL);
    (void)WaitForSingleObject(never, INFINITE);
}

/* Leaves a file and a folder with one where programs put such things. */
static int litter(void) {
    WCHAR folder[MAX_PATH + 40];
    if (GetTempPathW(MAX_PATH, folder) == 0) {
        return 1;
    }
    wcscat(folder, L"litter");
    if (!CreateDirectoryW(folder, NULL)) {
        return 1;
    }
    wcscat(folder, L"\\file");
    HANDLE file = CreateFileW(folder, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
    return file != INVALID_HANDLE_VALUE && CloseHandle(file) ? 0 : 1;
}

/* Ends, while its child, which has the output open, would go on for ever. */
static int orphan(void) {
    WCHAR line[MAX_PATH + 20] = L"\"";
    STARTUPINFOW startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION made;
    DWORD length = GetModuleFileNameW(NULL, line + 1, MAX_PATH);
    if (length == 0 || length >= MAX_PATH) {
        return 1;
    }
    wcscat(line, L"\" hang");
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &made)) {
        return 1;
    }
    printf("child %lu\n", made.dwProcessId);
    return 0;
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < 100 && strcmp(what, "fail") == 0; i++) {
        printf("line %d\n", i);
    }
    printf("%s\t%s\n", what, count > 2 ? words[2] : "");
    if (strcmp(what, "pass") == 0) {
        printf("one of them was skipped: because\n");
        return 0;
    }
    if (strcmp(what, "skip") == 0) {
        printf("not here\nsluice-audit: 1 thread\nsluice-audit: violations 0\n");
        return 77;
    }
    if (strcmp(what, "uncertain") == 0) {
        printf("it   not certified   by nobody\n");
        return 77;
    }
    if (strcmp(what, "crash") == 0) {
        RaiseException(EXCEPTION_ACCESS_VIOLATION, EXCEPTION_NONCONTINUABLE, 0, NULL);
    }
    if (strcmp(what, "hang") == 0) {
        wait_for_ever();
    }
    if (strcmp(what, "litter") == 0) {
        return litter();
    }
    if (strcmp(what, "orphan") == 0) {
        return orphan();
    }
    return 5;
}
