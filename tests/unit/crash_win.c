/*
 * crash_win.c - ends as no program should. The test unit.crash passes only if that is seen: under
 * Wine a debugger used to turn a crash into exit code 0, and whatever crashed had passed.
 */
#include <stddef.h>

int main(void) {
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
    return 0;
}
