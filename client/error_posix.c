/*
 * error_posix.c - the calling thread's record is a variable of its own.
 */
#include "client/error.h"

client_thread_record *client_error_record(bool is_to_write) {
    static _Thread_local client_thread_record record = {.error.size = sizeof(record.error)};
    (void)is_to_write;
    return &record;
}
