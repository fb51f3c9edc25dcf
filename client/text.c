/*
 * text.c - words and versions of the public header.
 */
#include "base/status.h"
#include "client/include/sluice/sluice.h"

const char *sluice_status_name(int32_t status) {
    return sl_status_name(status);
}

const char *sluice_status_sentence(int32_t status) {
    return sl_status_sentence(status);
}

const char *sluice_version(void) {
    return SLUICE_VERSION_TEXT;
}

uint32_t sluice_abi_version(void) {
    return SLUICE_ABI;
}
