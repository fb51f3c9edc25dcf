/*
 * pin.h - keeps the library in the process: its threads and its fork handler must not be unloaded
 * from under them. pin_posix.c (the linker's nodelete does it), pin_win.c.
 */
#ifndef SLUICE_CLIENT_PIN_H
#define SLUICE_CLIENT_PIN_H

void client_pin(void);

#endif
