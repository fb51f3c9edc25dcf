/*
 * limit_win.c - see limit.h. A process has no limit of handles or threads that it could be told:
 * memory is what ends first.
 */
#include "client/limit.h"

bool client_limit_explain(uint32_t os_error, char *ret_detail, size_t size) {
    (void)os_error;
    (void)ret_detail;
    (void)size;
    return false;
}
