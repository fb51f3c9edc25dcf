/*
 * error_posix.c - the calling thread's record is a variable of its own.
 */
#include "client/error.h"

sluice_error *client_error_record(bool is_to_write) {
    static _Thread_local sluice_error record = {.size = sizeof(record)};
    (void)is_to_write;
    return &record;
}
