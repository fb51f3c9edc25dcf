/*
 * hold_thread_posix.c - runs a program, and holds one of its threads where it is, as a system call
 * that does not return would: no signal reaches it, and it leaves only with the process.
 *
 *     hold_thread THREAD-NAME PROGRAM ARGUMENT...
 *
 * SIGUSR1 holds the thread and says "held" on standard error, or "skipped" where nobody may trace;
 * SIGTERM is passed on. Ends with the program's exit code. It is the program's parent, which may
 * trace it where others may not.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 60 /* between two signals */

static void say(const char *line) {
    (void)write(STDERR_FILENO, line, strlen(line));
}

static int has_name(long process, const char *thread, const char *name) {
    char path[128];
    char text[32] = "";
    (void)snprintf(path, sizeof(path), "/proc/%ld/task/%.20s/comm", process, thread);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        (void)fgets(text, sizeof(text), file);
        (void)fclose(file);
    }
    text[strcspn(text, "\n")] = '\0';
    return strcmp(text, name) == 0;
}

/* The thread's id, or 0. */
static pid_t find_thread(pid_t process, const char *name) {
    char path[64];
    long found = 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/task", (long)process);
    DIR *threads = opendir(path);
    struct dirent *each;
    while (threads != NULL && found == 0 && (each = readdir(threads)) != NULL) {
        if (has_name(process, each->d_name, name)) {
            found = strtol(each->d_name, NULL, 10);
        }
    }
    if (threads != NULL) {
        (void)closedir(threads);
    }
    return (pid_t)found;
}

static void hold(pid_t process, const char *name) {
    pid_t thread = find_thread(process, name);
    int status;
    if (thread == 0) {
        say("there is no such thread\n");
    } else if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0) {
        say("skipped: nobody may trace here\n");
    } else if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) != 0 ||
               waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) {
        say("the thread was not held\n");
    } else {
        say("held\n");
    }
}

/* Has the program ended? Its held thread is told of first, and must be taken away. */
static int has_ended(pid_t process, int *ret_code) {
    pid_t each;
    int status;
    while ((each = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
        if (each == process && !WIFSTOPPED(status)) {
            *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    sigset_t signals;
    const struct timespec patience = {.tv_sec = PATIENCE_S};
    int code = 1;
    if (argc < 3) {
        say("hold_thread THREAD-NAME PROGRAM ARGUMENT...\n");
        return 1;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    pid_t process = fork();
    if (process == 0) {
        sigprocmask(SIG_UNBLOCK, &signals, NULL);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    while (!has_ended(process, &code)) {
        int number = sigtimedwait(&signals, NULL, &patience);
        if (number == SIGUSR1) {
            hold(process, argv[1]);
        } else if (number == SIGTERM) {
            (void)kill(process, SIGTERM);
        } else if (number < 0) {
            say("nothing happens any more\n");
            (void)kill(process, SIGKILL);
            return 1;
        }
    }
    return code;
}
