/*
 * place_test_win.c - who may change what a service relies on (broker/service_place_win.h): access
 * lists as Windows has them and as an attacker would, files and folders, the place of the log.
 *
 * Access lists are judged as text: Wine's files have none. On Windows `sluice selftest` tries the
 * true ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/service_place_win.h"

#include <sddl.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/check.h"
#include "base/status.h"

#define INSTALLER "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
#define SERVICE   "S-1-5-80-1-2-3-4-5"
#define SOMEBODY  "S-1-5-21-1-2-3-1001"
#define ALL_KINDS 7u
#define KIND(k)   (1u << (k))
#define ABOVE     KIND(PLACE_ABOVE)

static const struct {
    const char *what;
    const char *descriptor;
    unsigned guarded; /* of the kinds */
    const char *why;  /* of those that are not */
} cases[] = {
    {"%ProgramFiles%",
     "O:" INSTALLER "G:" INSTALLER "D:PAI(A;;FA;;;" INSTALLER ")(A;CIIO;GA;;;" INSTALLER
     ")(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;BA)(A;OICIIO;GA;;;BA)"
     "(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)(A;OICIIO;GA;;;CO)(A;;0x1200a9;;;AC)",
     ALL_KINDS, NULL},
    {"the drive",
     "O:" INSTALLER "G:" INSTALLER "D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICI;FA;;;SY)"
     "(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)",
     ABOVE, "S-1-5-11 can change it"},
    {"%ProgramData%",
     "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)"
     "(A;CI;DCLCRPCR;;;BU)",
     ABOVE, "S-1-5-32-545 can change it"},
    {"what a user makes in %ProgramData%",
     "O:" SOMEBODY "G:BUD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;ID;FA;;;" SOMEBODY ")", 0,
     "it belongs to " SOMEBODY},
    {"the same, given away", "O:BAG:BUD:AI(A;OICIID;FA;;;SY)(A;ID;FA;;;" SOMEBODY ")", 0,
     SOMEBODY " can change it"},
    {"a user's, with a right list", "O:" SOMEBODY "G:BUD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", 0,
     "it belongs to " SOMEBODY},
    {"the logs' folder", "O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", ALL_KINDS, NULL},
    {"what the first edition made", "O:BAG:BAD:P(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;SU)", 0,
     "S-1-5-6 can change it"},
    {"readers only", "O:SYG:SYD:(A;OICI;FA;;;SY)(A;OICI;0x1200a9;;;WD)", ALL_KINDS, NULL},
    {"denials", "O:BAG:BAD:(D;;FA;;;BU)(A;;FA;;;BA)", ALL_KINDS, NULL},
    {"an empty list", "O:BAG:BAD:P", ALL_KINDS, NULL},
    {"who may delete", "O:BAG:BAD:(A;;SD;;;BU)", 0, "S-1-5-32-545 can change it"},
    {"who may delete what is in it", "O:BAG:BAD:(A;;DT;;;BU)", 0, "S-1-5-32-545 can change it"},
    {"who may change the list", "O:BAG:BAD:(A;;WD;;;BU)", 0, "S-1-5-32-545 can change it"},
    {"who may take it", "O:BAG:BAD:(A;;WO;;;BU)", 0, "S-1-5-32-545 can change it"},
    {"who may write", "O:BAG:BAD:(A;;DC;;;BU)", ABOVE, "S-1-5-32-545 can change it"},
    {"who may write in general", "O:BAG:BAD:(A;;GW;;;WD)", ABOVE, "S-1-1-0 can change it"},
    {"who may do everything", "O:BAG:BAD:(A;;GA;;;WD)", 0, "S-1-1-0 can change it"},
};

static bool is_guarded(const char *text, place_kind kind, PSID service, char why[240]) {
    PSECURITY_DESCRIPTOR descriptor = NULL;
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorA(text, SDDL_REVISION_1,
                                                                     &descriptor, NULL));
    bool is_it = place_is_guarded(descriptor, kind, service, why, 240);
    (void)LocalFree(descriptor);
    return is_it;
}

static void test_access_lists(void **state) {
    (void)state;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(cases); i++) {
        for (unsigned kind = PLACE_FILE; kind <= PLACE_ABOVE; kind++) {
            char why[240] = "";
            bool is_it = is_guarded(cases[i].descriptor, (place_kind)kind, NULL, why);
            print_message("%s, kind %u: %s\n", cases[i].what, kind, is_it ? "guarded" : why);
            assert_true(is_it == ((cases[i].guarded & KIND(kind)) != 0));
            assert_true(is_it || strcmp(why, cases[i].why) == 0);
        }
    }
}

static void test_a_service(void **state) {
    static const char own[] = "O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;" SERVICE ")";
    static const char made[] = "O:" SERVICE "G:" SERVICE "D:(A;ID;FA;;;SY)";
    char why[240];
    PSID service = NULL;
    PSID other = NULL;
    (void)state;
    assert_true(ConvertStringSidToSidA(SERVICE, &service));
    assert_true(ConvertStringSidToSidA("S-1-5-80-1-2-3-4-6", &other));
    assert_true(is_guarded(own, PLACE_FOLDER, service, why));
    assert_false(is_guarded(own, PLACE_FOLDER, other, why));
    assert_false(is_guarded(own, PLACE_FOLDER, NULL, why));
    assert_string_equal(why, SERVICE " can change it");
    assert_true(is_guarded(made, PLACE_FILE, service, why));
    assert_false(is_guarded(made, PLACE_FILE, NULL, why));
    (void)LocalFree(service);
    (void)LocalFree(other);
}

static void test_no_list(void **state) {
    SECURITY_DESCRIPTOR descriptor;
    char why[240];
    PSID owner = NULL;
    (void)state;
    assert_true(InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION));
    assert_false(place_is_guarded(&descriptor, PLACE_FILE, NULL, why, sizeof(why)));
    assert_string_equal(why, "nobody owns it");
    assert_true(ConvertStringSidToSidA("S-1-5-18", &owner));
    assert_true(SetSecurityDescriptorOwner(&descriptor, owner, FALSE));
    assert_false(place_is_guarded(&descriptor, PLACE_FILE, NULL, why, sizeof(why)));
    assert_string_equal(why, "everybody can change it: it has no access list");
    assert_true(SetSecurityDescriptorDacl(&descriptor, TRUE, NULL, FALSE));
    assert_false(place_is_guarded(&descriptor, PLACE_FILE, NULL, why, sizeof(why)));
    (void)LocalFree(owner);
}

/* ---- files and folders, their access lists apart ---- */

static WCHAR folder[PLACE_CHARS];

static WCHAR *path_of(const WCHAR *name) {
    static WCHAR path[PLACE_CHARS + 64];
    (void)swprintf(path, PLACE_CHARS + 64, L"%ls\\%ls", folder, name);
    return path;
}

static void make_file(const WCHAR *path) {
    HANDLE file = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(file));
}

static void expect_place(const WCHAR *path, place_kind kind, int status, const char *why) {
    config_error error = {""};
    int found = place_check(path, kind, NULL, true, &error);
    print_message("%ls, kind %u: %d %s\n", path, kind, found, error.text);
    assert_int_equal(found, status);
    assert_true(why == NULL || strstr(error.text, why) != NULL);
}

static void test_files(void **state) {
    WCHAR second[PLACE_CHARS + 64];
    (void)state;
    make_file(path_of(L"file"));
    expect_place(folder, PLACE_FOLDER, SLUICE_OK, NULL);
    expect_place(folder, PLACE_FILE, SLUICE_EACCESS, "is a folder");
    expect_place(path_of(L"file"), PLACE_FILE, SLUICE_OK, NULL);
    expect_place(path_of(L"file"), PLACE_FOLDER, SLUICE_EACCESS, "file: is no folder");
    expect_place(path_of(L"none"), PLACE_FILE, SLUICE_ENOTFOUND, "none: cannot be opened");
    wcscpy(second, path_of(L"second"));
    assert_true(CreateHardLinkW(second, path_of(L"file"), NULL));
    expect_place(path_of(L"file"), PLACE_FILE, SLUICE_EACCESS, "has a second name");
    assert_true(DeleteFileW(second));
    expect_place(path_of(L"file"), PLACE_FILE, SLUICE_OK, NULL);
    /* 2: a developer's machine lets everybody. Wine says that it has made one. */
    if (CreateSymbolicLinkW(second, path_of(L"file"), 2) &&
        GetFileAttributesW(second) != INVALID_FILE_ATTRIBUTES) {
        expect_place(second, PLACE_FILE, SLUICE_EACCESS, "is a link");
        assert_true(DeleteFileW(second));
    } else {
        print_message("no symbolic link can be made here\n");
    }
    assert_true(DeleteFileW(path_of(L"file")));
}

static void test_where_a_program_lies(void **state) {
    config_error error;
    (void)state;
    assert_int_equal(place_check_file(L"\\\\server\\share\\sluiced.exe", &error), SLUICE_EACCESS);
    assert_string_equal(error.text,
                        "\\\\server\\share\\sluiced.exe: is not on a drive of this machine");
    assert_int_equal(place_check_file(L"sluiced.exe", &error), SLUICE_EACCESS);
    assert_int_equal(place_check_file(path_of(L"none"), &error), SLUICE_ENOTFOUND);
    make_file(path_of(L"file")); /* ours, in our temporary folder */
    assert_int_equal(place_check_file(path_of(L"file"), &error), SLUICE_EACCESS);
    print_message("%s\n", error.text);
    assert_true(DeleteFileW(path_of(L"file")));
}

/* ---- the log ---- */

static void test_the_place_of_the_log(void **state) {
    WCHAR before[PLACE_CHARS];
    WCHAR after[PLACE_CHARS];
    config_error error;
    (void)state;
    assert_int_equal(place_log_path(L"name", before, &error), SLUICE_OK);
    assert_true(SetEnvironmentVariableW(L"ProgramData", folder));
    assert_true(SetEnvironmentVariableW(L"ALLUSERSPROFILE", folder));
    assert_int_equal(place_log_path(L"name", after, &error), SLUICE_OK);
    assert_int_equal(wcscmp(before, after), 0);
    assert_non_null(wcsstr(after, L"\\Sluice\\name\\name.log"));
}

static void test_the_log(void **state) {
    WCHAR path[PLACE_CHARS];
    WCHAR other[PLACE_CHARS];
    config_error error;
    (void)state;
    wcscpy(path, path_of(L"Sluice\\name\\name.log"));
    wcscpy(other, path_of(L"precious"));
    assert_int_equal(place_make_log(path, NULL, &error), SLUICE_OK);
    assert_int_equal(place_make_log(path, NULL, &error), SLUICE_OK); /* those are there */
    make_file(path);
    assert_int_equal(place_make_log(path, NULL, &error), SLUICE_OK);
    assert_true(CreateHardLinkW(other, path, NULL));
    assert_int_equal(place_make_log(path, NULL, &error), SLUICE_EACCESS);
    assert_non_null(strstr(error.text, "name.log: has a second name"));
    assert_true(DeleteFileW(path) && CreateDirectoryW(path, NULL));
    assert_int_equal(place_make_log(path, NULL, &error), SLUICE_EACCESS);
    assert_non_null(strstr(error.text, "name.log: is a folder"));
    assert_true(RemoveDirectoryW(path) && RemoveDirectoryW(path_of(L"Sluice\\name")));
    make_file(path_of(L"Sluice\\name"));
    assert_int_equal(place_make_log(path, NULL, &error), SLUICE_EACCESS);
    assert_non_null(strstr(error.text, "Sluice\\name: is no folder"));
    assert_true(DeleteFileW(path_of(L"Sluice\\name")) && RemoveDirectoryW(path_of(L"Sluice")));
    assert_true(DeleteFileW(other));
    wcscpy(path, path_of(L"none\\Sluice\\name\\name.log"));
    assert_int_equal(place_make_log(path, NULL, &error), SLUICE_EOS);
}

static int begin(void **state) {
    WCHAR temporary[MAX_PATH];
    (void)state;
    if (GetTempPathW(MAX_PATH, temporary) == 0) {
        return -1;
    }
    (void)swprintf(folder, PLACE_CHARS, L"%lssluice-place-%lu", temporary,
                   (unsigned long)GetCurrentProcessId());
    return CreateDirectoryW(folder, NULL) ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    return RemoveDirectoryW(folder) ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_access_lists),
        cmocka_unit_test(test_a_service),
        cmocka_unit_test(test_no_list),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_where_a_program_lies),
        cmocka_unit_test(test_the_place_of_the_log),
        cmocka_unit_test(test_the_log),
    };
    return cmocka_run_group_tests_name("place", tests, begin, end);
}
