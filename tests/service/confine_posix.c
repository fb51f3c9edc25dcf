/*
 * confine_posix.c - runs a program behind the walls that deploy/sluice.service has systemd build,
 * where there is no systemd: the filter of system calls and address families, no new rights.
 *
 *     confine FILE PROGRAM ARGUMENT...      FILE: names of system calls, one a line
 *
 * A call that is not in the file kills the process, where systemd's filter only refuses it: a test
 * must not pass because the broker can do without. Names that this processor does not have are
 * passed over, as systemd does.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0 /* not known here: said, and skipped */
#endif

#define SKIPPED   77
#define STEPS_MAX 2000u

static const struct {
    const char *name;
    unsigned number;
} calls[] = {
#include "system_calls.h" /* {"accept", SYS_accept}, ... made from <sys/syscall.h> */
};

static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct sock_filter steps[STEPS_MAX];
static unsigned step_count;

static void add(unsigned code, unsigned value, unsigned if_true, unsigned if_false) {
    steps[step_count++] = (struct sock_filter){.code = (unsigned short)code,
                                               .jt = (unsigned char)if_true,
                                               .jf = (unsigned char)if_false,
                                               .k = value};
}

static void load(size_t offset) {
    add(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

/* If it is that value: the verdict. */
static void judge(unsigned value, unsigned verdict) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    add(BPF_RET | BPF_K, verdict, 0, 0);
}

static void begin(void) {
    load(offsetof(struct seccomp_data, arch));
    add(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    load(offsetof(struct seccomp_data, nr));
}

/* socket: its first argument; the rest of it, in the upper half, is not looked at by the kernel. */
static void add_families(void) {
    unsigned length = 2 * COUNT(families) + 2;
    add(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, length);
    load(offsetof(struct seccomp_data, args[0]));
    for (unsigned i = 0; i < COUNT(families); i++) {
        judge(families[i], SECCOMP_RET_ALLOW);
    }
    add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT, 0, 0);
}

static int add_calls(const char *path) {
    char line[128];
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return -1;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < COUNT(calls); i++) {
            if (strcmp(calls[i].name, line) == 0 && step_count + 3 < STEPS_MAX) {
                judge(calls[i].number, SECCOMP_RET_ALLOW);
            }
        }
    }
    (void)fclose(file);
    add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        (void)fprintf(stderr, "usage: confine FILE PROGRAM ARGUMENT...\n");
        return 2;
    }
    if (ARCHITECTURE == 0) {
        (void)fprintf(stderr, "skipped: not written for this processor\n");
        return SKIPPED;
    }
    begin();
    add_families();
    if (add_calls(argv[1]) != 0) {
        perror(argv[1]);
        return 2;
    }
    struct sock_fprog program = {.len = (unsigned short)step_count, .filter = steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
        perror("skipped: no filter can be set here");
        return SKIPPED;
    }
    (void)execv(argv[2], argv + 2);
    perror(argv[2]);
    return 2;
}
