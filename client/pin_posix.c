/*
 * pin_posix.c - libsluice.so is linked with -z nodelete: dlclose leaves it where it is.
 */
#include "client/pin.h"

void client_pin(void) {
}
