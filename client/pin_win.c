/*
 * pin_win.c - FreeLibrary does nothing to a pinned module.
 */
#include "client/pin.h"

#include <windows.h>

void client_pin(void) {
    HMODULE module;
    (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                             (LPCWSTR)(const void *)(UINT_PTR)client_pin, &module);
}
