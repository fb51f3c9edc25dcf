/*
 * suite_names_win.c - a pipe's name means to us what it means to other programs: raw servers and
 * raw clients by \\.\pipe\NAME on the other side. A program of its own, because the audit forbids
 * such calls.
 */
#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <string.h>

#include "engine/iocp.h"
#include "tests/engine/rig.h"

#define NAME_CHARS 300

static unsigned names;

/* \\.\pipe\sluice-names-PROCESS-NUMBER and the rest. */
static void make_name(char *ret_name, size_t size, const char *rest) {
    (void)snprintf(ret_name, size, "\\\\.\\pipe\\sluice-names-%u-%u%s", os_process_id(), ++names,
                   rest);
}

static HANDLE raw_server(const char *name) {
    WCHAR path[NAME_CHARS];
    EXPECT(MultiByteToWideChar(CP_UTF8, 0, name, -1, path, NAME_CHARS) > 0);
    return CreateNamedPipeW(path, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, 0, 4, 4096, 4096, 0,
                            NULL);
}

static HANDLE raw_client(const char *name) {
    WCHAR path[NAME_CHARS];
    EXPECT(MultiByteToWideChar(CP_UTF8, 0, name, -1, path, NAME_CHARS) > 0);
    return CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                       FILE_FLAG_OVERLAPPED, NULL);
}

static void connect_to_raw(rig *r, const char *name) {
    engine_address address;
    engine_request_id id = 0;
    HANDLE server = raw_server(name);
    EXPECT(server != INVALID_HANDLE_VALUE);
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    EXPECT_STATUS(engine_connect(r->worker, &address, rig_after_ns(r, T_AWAIT_NS), NULL, NULL, &id),
                  SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    rig_close_handle(r, completion.opened[0]);
    EXPECT(CloseHandle(server));
}

static void listen_for_raw(rig *r, const char *name) {
    engine_address address;
    engine_handle *listener = NULL;
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &listener), SLUICE_OK);
    HANDLE client = raw_client(name);
    EXPECT(client != INVALID_HANDLE_VALUE);
    rig_close_handle(r, rig_accept(r, listener));
    EXPECT(CloseHandle(client));
    rig_close_handle(r, listener);
}

/* The same text on both sides is the same pipe, whatever becomes of it. */
static void same_as_others(void) {
    static const char *const rests[] = {
        "",     "/slash", "\\back", "-dot.", "-dots...", "-sp ",   "-. .",           "~(1)",
        "/./x", "//x",    "/",      "\\",    ".\\x",     " \\x",   "-\xc3\xa4",      "-a:b*c?",
        "/.x",  "/x.",    "/x ",    "/...",  "-<>|\"",   "-CASE.", "\\.\\.\\x//y. ",
    };
    rig *r = rig_open();
    for (unsigned i = 0; i < SL_ARRAY_COUNT(rests); i++) {
        char name[NAME_CHARS];
        t_phase(rests[i]);
        make_name(name, sizeof(name), rests[i]);
        connect_to_raw(r, name);
        listen_for_raw(r, name);
    }
    rig_close(r);
}

/* Two spellings of one name, in another case. */
static void same_as_each_other(void) {
    rig *r = rig_open();
    char name[NAME_CHARS];
    engine_address address;
    engine_handle *listener = NULL;
    make_name(name, sizeof(name), "/Folder/Name. ");
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &listener), SLUICE_OK);
    memcpy(strchr(name, '/'), "\\fOLDER\\.\\nAME", sizeof("\\fOLDER\\.\\nAME"));
    HANDLE client = raw_client(name);
    EXPECT(client != INVALID_HANDLE_VALUE);
    rig_close_handle(r, rig_accept(r, listener));
    EXPECT(CloseHandle(client));
    rig_close_handle(r, listener);
    rig_close(r);
}

static void not_a_name(void) {
    static const char *const bad[] = {
        "\\\\.\\pipe\\..\\C:\\x",
        "\\\\.\\pipe\\a\\..\\b",
        "\\\\.\\pipe\\..",
        "\\\\.\\pipe\\a/../..",
        "\\\\.\\pipe\\",
        "\\\\.\\pipe\\.",
        "\\\\.\\pipe\\ ",
        "\\\\.\\pipe\\...",
        "\\\\server\\pipe\\x",
        "\\\\.\\mailslot\\x",
        "x",
        "\\\\.\\pipe\\a\xff",
        "\\\\?\\pipe\\x",
    };
    rig *r = rig_open();
    engine_handle *handle = NULL;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(bad); i++) {
        engine_address address;
        engine_request_id id = 0;
        t_phase(bad[i]);
        EXPECT_STATUS(engine_address_pipe(&address, bad[i]), SLUICE_OK);
        EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &handle), SLUICE_EINVAL);
        uint64_t until_ns = rig_after_ns(r, T_AWAIT_NS);
        EXPECT_STATUS(engine_connect(r->worker, &address, until_ns, NULL, NULL, &id), SLUICE_OK);
        rig_await_status(r, id, SLUICE_EINVAL);
    }
    rig_close(r);
}

/* A name as brokers' endpoints have it: why it is refused is said for both. */
static void reserved_name(void) {
    rig *r = rig_open();
    engine_address address;
    engine_request_id id = 0;
    EXPECT_STATUS(engine_address_pipe(&address, "\\\\.\\pipe\\Sluice.Broker\\mine"), SLUICE_OK);
    EXPECT_STATUS(engine_listen(r->worker, &address, 1, NULL, NULL, NULL, &id), SLUICE_OK);
    for (unsigned i = 0; i < 2; i++) {
        engine_completion completion = rig_await(r, id);
        EXPECT_STATUS(completion.status, SLUICE_EACCESS);
        EXPECT(completion.detail != NULL && strcmp(completion.detail, ENGINE_DETAIL_ENDPOINT) == 0);
        if (i == 0) {
            EXPECT_STATUS(
                engine_connect(r->worker, &address, rig_after_ns(r, T_AWAIT_NS), NULL, NULL, &id),
                SLUICE_OK);
        }
    }
    rig_close(r);
}

/* The limit counts characters: of three bytes each, too. */
static void longest_name(void) {
    rig *r = rig_open();
    for (unsigned bytes = 1; bytes <= 3; bytes += 2) {
        char name[ENGINE_PIPE_NAME_BYTES];
        engine_address address;
        engine_handle *handle = NULL;
        make_name(name, sizeof(name), "-");
        size_t used = strlen(name);
        unsigned units = (unsigned)used - (unsigned)strlen("\\\\.\\pipe\\");
        for (; units < ENGINE_PIPE_CHARS_MAX; units++, used += bytes) {
            memcpy(name + used, bytes == 1 ? "n" : "\xe4\xb8\xad", bytes);
        }
        name[used] = '\0';
        connect_to_raw(r, name);
        listen_for_raw(r, name);
        (void)strcat(name, "n");
        EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
        EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &handle), SLUICE_ENAMETOOLONG);
    }
    rig_close(r);
}

/* ---- whose a listener is ---- */

/* How many entries of the pipe's DACL permit exactly that to our user. */
static unsigned count_entries(const char *name, const engine_identity *user, DWORD access) {
    HANDLE client = raw_client(name);
    PSECURITY_DESCRIPTOR descriptor = NULL;
    ACL *dacl = NULL;
    unsigned count = 0;
    EXPECT(client != INVALID_HANDLE_VALUE);
    EXPECT(GetSecurityInfo(client, SE_KERNEL_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, &dacl,
                           NULL, &descriptor) == ERROR_SUCCESS);
    EXPECT(dacl != NULL);
    for (DWORD i = 0; i < dacl->AceCount; i++) {
        ACCESS_ALLOWED_ACE *entry = NULL;
        EXPECT(GetAce(dacl, i, (void **)&entry));
        EXPECT(entry->Header.AceType == ACCESS_ALLOWED_ACE_TYPE);
        count += entry->Mask == access && EqualSid(&entry->SidStart, (PSID)(uintptr_t)user->bytes);
    }
    (void)LocalFree(descriptor);
    EXPECT(CloseHandle(client));
    return count;
}

/* A listener on behalf of a client lets that client's user connect, and make no instance. The
 * client is of our own user here, who has an entry of its own. */
static void its_users(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_rights *rights = NULL;
    engine_identity own;
    uint8_t byte;
    EXPECT_STATUS(engine_own_identity(r->engine, &own), SLUICE_OK);
    rig_stream(r, STREAM_PIPE, ends);
    rig_send(r, ends[1], "x", 1); /* then the client can be told: engine_peer_identity */
    rig_receive(r, ends[0], &byte, 1);
    EXPECT_STATUS(engine_peer_rights(ends[0], &rights), SLUICE_OK);
    for (unsigned is_for = 0; is_for <= 1; is_for++) {
        const engine_behalf behalf = {.rights = is_for ? rights : NULL};
        char name[NAME_CHARS];
        engine_address address;
        engine_request_id id = 0;
        make_name(name, sizeof(name), "-whose");
        EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
        EXPECT_STATUS(engine_listen(r->worker, &address, 1, NULL, &behalf, NULL, &id), SLUICE_OK);
        engine_completion completion = rig_await(r, id);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        EXPECT_INT(count_entries(name, &own, 0x12019F), 1);
        EXPECT_INT(count_entries(name, &own, IOCP_PIPE_CLIENT_ACCESS), is_for);
        rig_close_handle(r, completion.opened[0]);
    }
    engine_rights_release(rights);
    rig_close_stream(r, ends);
    rig_close(r);
}

/* Our own token; or one in which the administrators count for denying only. NULL: refused. */
static HANDLE look_token(bool is_filtered) {
    BYTE administrators[SECURITY_MAX_SID_SIZE];
    DWORD size = sizeof(administrators);
    HANDLE own = NULL;
    HANDLE filtered = NULL;
    HANDLE look = NULL;
    EXPECT(CreateWellKnownSid(WinBuiltinAdministratorsSid, NULL, administrators, &size));
    SID_AND_ATTRIBUTES disabled = {.Sid = administrators};
    EXPECT(OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY | TOKEN_DUPLICATE, &own));
    if (is_filtered) {
        EXPECT(CreateRestrictedToken(own, 0, 1, &disabled, 0, NULL, 0, NULL, &filtered));
    }
    EXPECT(DuplicateToken(is_filtered ? filtered : own, SecurityIdentification, &look));
    EXPECT(CloseHandle(own) && (!is_filtered || CloseHandle(filtered)));
    return look;
}

static int connect_with(rig *r, const char *name, HANDLE token) {
    engine_rights *rights = NULL;
    engine_address address;
    engine_request_id id = 0;
    EXPECT_STATUS(engine_iocp_token_rights(r->engine, token, &rights), SLUICE_OK);
    const engine_behalf behalf = {.rights = rights};
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    EXPECT_STATUS(
        engine_connect(r->worker, &address, rig_after_ns(r, T_AWAIT_NS), &behalf, NULL, &id),
        SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    if (completion.status == SLUICE_OK) {
        rig_close_handle(r, completion.opened[0]);
    }
    engine_rights_release(rights);
    return completion.status;
}

/* A program of our own user that is no administrator, where we are one: it is told from us, and has
 * us open no pipe that is the administrators' alone. */
static void of_a_weaker_program(void) {
    rig *r = rig_open();
    const iocp_engine *e = SL_CONTAINER_OF(r->engine, iocp_engine, engine);
    char name[NAME_CHARS];
    WCHAR path[NAME_CHARS];
    SECURITY_ATTRIBUTES access = {.nLength = sizeof(access)};
    if (!e->standing.is_administrator) {
        rig_close(r);
        T_SKIP("only an administrator may do more than others");
    }
    HANDLE own = look_token(false);
    HANDLE filtered = look_token(true);
    EXPECT(!engine_iocp_is_lesser(own, &e->own, &e->standing));
    EXPECT(engine_iocp_is_lesser(filtered, &e->own, &e->standing));
    make_name(name, sizeof(name), "-guarded");
    EXPECT(MultiByteToWideChar(CP_UTF8, 0, name, -1, path, NAME_CHARS) > 0);
    EXPECT(ConvertStringSecurityDescriptorToSecurityDescriptorA(
        "D:P(A;;FA;;;BA)", SDDL_REVISION_1, &access.lpSecurityDescriptor, NULL));
    HANDLE servers[2];
    for (unsigned i = 0; i < 2; i++) {
        servers[i] = CreateNamedPipeW(path, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, 0, 2, 4096,
                                      4096, 0, &access);
        EXPECT(servers[i] != INVALID_HANDLE_VALUE);
    }
    (void)LocalFree(access.lpSecurityDescriptor);
    EXPECT_STATUS(connect_with(r, name, filtered), SLUICE_EACCESS);
    EXPECT_STATUS(connect_with(r, name, own), SLUICE_OK);
    EXPECT(CloseHandle(servers[0]) && CloseHandle(servers[1]));
    rig_close(r);
}

static const t_case cases[] = {
    {"same_as_others", 0, same_as_others}, {"same_as_each_other", 0, same_as_each_other},
    {"not_a_name", 0, not_a_name},         {"longest_name", 0, longest_name},
    {"its_users", 0, its_users},           {"of_a_weaker_program", 0, of_a_weaker_program},
    {"reserved_name", 0, reserved_name},
};

const t_suite suite_names = {"names", cases, SL_ARRAY_COUNT(cases)};
