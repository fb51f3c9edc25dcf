/* service_posix.c - see service.h: on Linux the service manager has files, not an interface. */
#include "broker/service.h"

#include "broker/complaint.h"

sluiced_exit service_manage(const sluiced_options *options) {
    (void)options;
    complaint_write("service: not supported on this platform; use systemd: deploy/sluice.service");
    return SLUICED_EXIT_SERVICE;
}

sluiced_exit service_run(const sluiced_options *options) {
    return service_manage(options);
}
