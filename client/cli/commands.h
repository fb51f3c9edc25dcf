/*
 * commands.h - the tool's commands: each takes what follows its name and returns the exit code.
 */
#ifndef SLUICE_CLI_COMMANDS_H
#define SLUICE_CLI_COMMANDS_H

int command_hangtest(int count, char **argv); /* hangtest.c */
int command_status(int count, char **argv);   /* look.c */
int command_ops(int count, char **argv);      /* look.c */
int command_bench(int count, char **argv);    /* bench.c */
int command_selftest(int count, char **argv); /* selftest.c */

#endif
