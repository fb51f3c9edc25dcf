/* process_posix.c - see process.h. */
#include "base/process.h"

#include <stdlib.h>

void sl_process_abort(void) {
    abort();
}
