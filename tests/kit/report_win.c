/*
 * report_win.c - the report's file: each piece is on the disk before the next check begins, since a
 * check may take the machine down. See kit.h.
 */
#include <stdlib.h>

#include "tests/kit/kit_win.h"

struct kit_report {
    HANDLE file;
    bool has_failed;
};

kit_report *kit_report_open(const char *path, uint32_t *ret_os_error) {
    static kit_report report;
    static WCHAR wide[KIT_PATH_BYTES];
    HANDLE file = INVALID_HANDLE_VALUE;
    *ret_os_error = ERROR_INVALID_NAME;
    if (kit_wide(path, wide)) {
        file = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_NEW,
                           FILE_ATTRIBUTE_NORMAL, NULL);
        *ret_os_error = file == INVALID_HANDLE_VALUE ? GetLastError() : 0;
    }
    report = (kit_report){.file = file};
    return file == INVALID_HANDLE_VALUE ? NULL : &report;
}

void kit_report_write(kit_report *report, out_text *text) {
    DWORD count = 0;
    if (text->failed || !WriteFile(report->file, text->bytes, (DWORD)text->length, &count, NULL) ||
        count != text->length || !FlushFileBuffers(report->file)) {
        report->has_failed = true;
    }
    out_deinit(text);
    *text = (out_text){0};
}

bool kit_report_close(kit_report *report) {
    return CloseHandle(report->file) && !report->has_failed;
}
