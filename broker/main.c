/* main.c - sluiced: reads its command line and does what it says. See run.h, service.h. */
#include <stdio.h>
#include <string.h>

#include "base/sink.h"
#include "broker/complaint.h"
#include "broker/run.h"
#include "broker/service.h"
#include "broker/startup.h"

static char help[16384];

static int print(const char *text) {
    if (!sl_sink_write(SL_SINK_OUTPUT, text, strlen(text))) {
        complaint_write("not all of the output could be written");
        return SLUICED_EXIT_FAILED;
    }
    return SLUICED_EXIT_OK;
}

int main(int argc, char **argv) {
    static sluiced_options options;
    config_error error;
    if (startup_process(argc, argv, &argc, &argv, &error) != SLUICE_OK) {
        complaint_write(error.text);
        return SLUICED_EXIT_FAILED;
    }
    if (options_parse(argc, argv, &options, &error) != SLUICE_OK) {
        complaint_write(error.text);
        return SLUICED_EXIT_USAGE;
    }
    switch (options.command) {
    case OPTIONS_RUN: return (int)run_broker(&options, NULL);
    case OPTIONS_HELP: options_help(help, sizeof(help)); return print(help);
    case OPTIONS_VERSION: return print("sluiced " SLUICE_VERSION_TEXT "\n");
    case OPTIONS_SERVICE_RUN: return (int)service_run(&options);
    default: return (int)service_manage(&options);
    }
}
