/*
 * look.c - the commands that look into a broker: `sluice status` and `sluice ops`.
 */
#include <sluice/sluice.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "client/cli/args.h"
#include "client/cli/commands.h"
#include "client/cli/out.h"
#include "client/cli/session.h"

#define CALL_NS   (10 * SL_NS_PER_S)
#define PAGE_ROWS 64u
#define PAGES_MAX 4096u /* a broker that never says "last page" does not keep us here */

/* ---- status -------------------------------------------------------------------------------- */

typedef struct status_row {
    const char *name; /* in JSON */
    const char *label;
    uint64_t value;
    bool is_bytes;
} status_row;

static void print_status(const sluice_broker_info *info, const sluice_session_info *own,
                         bool as_json) {
    const status_row rows[] = {
        {"process_id", "process", info->process_id, false},
        {"workers", "workers", info->workers, false},
        {"sessions", "sessions", info->sessions, false},
        {"handles", "handles open", info->handles, false},
        {"operations", "operations unfinished", info->operations, false},
        {"zombies", "zombies (handles the system does not let go)", info->zombies, false},
        {"user_zombies", "  of those, this user's", info->user_zombies, false},
        {"opens_given_up", "look-ups and paths that were given up", info->opens_given_up, false},
        {"user_opens_given_up", "  of those, this user's", info->user_opens_given_up, false},
        {"memory_bytes", "memory", info->memory_bytes, true},
        {"operations_started", "operations started, ever", info->operations_started, false},
        {"operations_finished", "operations finished, ever", info->operations_finished, false},
        {"cancels", "cancels, ever", info->cancels, false},
        {"sessions_started", "sessions, ever", info->sessions_started, false},
        {"protocol_violations", "protocol violations, ever", info->protocol_violations, false},
        {"stray_packets", "stray completion packets, ever", info->stray_packets, false},
    };
    out_text text = {0};
    char number[OUT_NUMBER_BYTES];
    if (as_json) {
        out_json json;
        out_json_init(&json, &text);
        out_json_object(&json, NULL);
        out_json_string(&json, "endpoint", own->endpoint);
        out_json_string(&json, "broker_user", own->broker_user);
        out_json_string(&json, "broker_version", info->broker_version);
        out_json_string(&json, "engine", info->engine_name);
        out_json_string(&json, "user", info->user);
        out_json_bool(&json, "sees_all", info->sees_all != 0);
        out_json_u64(&json, "uptime_ns", info->uptime_ns);
        out_json_bool(&json, "draining", info->draining != 0);
        for (size_t i = 0; i < SL_ARRAY_COUNT(rows); i++) {
            out_json_u64(&json, rows[i].name, rows[i].value);
        }
        out_json_end_object(&json);
    } else {
        out_print(&text, "sluiced %s of %s at %s, engine %s, up for %s%s\n", info->broker_version,
                  own->broker_user, own->endpoint, info->engine_name,
                  out_duration(info->uptime_ns, number), info->draining != 0 ? ", STOPPING" : "");
        out_print(&text, "You are %s to it, and see %s operations.\n\n", info->user,
                  info->sees_all != 0 ? "everybody's" : "your own");
        for (size_t i = 0; i < SL_ARRAY_COUNT(rows); i++) {
            out_print(&text, "%-46s %14s\n", rows[i].label,
                      rows[i].is_bytes ? out_bytes(rows[i].value, number)
                      : i == 0         ? (snprintf(number, sizeof(number), "%llu",
                                                   (unsigned long long)rows[i].value),
                                  number)
                                       : out_number(rows[i].value, number));
        }
    }
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

int command_status(int count, char **argv) {
    session_choice choice = {.client_name = "sluice status"};
    bool json = false;
    const args_option table[] = {
        SESSION_OPTIONS(choice.endpoint, choice.broker_user, choice.broker_path, choice.is_private),
        {"json", NULL, ARGS_FLAG, &json, 0, 0, NULL, "as JSON"},
    };
    static const args_rule rules[] = {SESSION_RULES};
    const args_command command = {
        "sluice status",
        "[OPTION...]",
        "Asks a broker how it is: what it holds now, and what it has done since its start.\n"
        "Operations that stay unfinished, and zombies, are for `sluice ops` to show. Look-ups and\n"
        "paths that were given up have ended; a thread of the broker is still with them.\n",
        table,
        SL_ARRAY_COUNT(table),
        rules,
        SL_ARRAY_COUNT(rules)};
    args_verdict verdict = args_parse(&command, count, argv);
    if (verdict != ARGS_RUN) {
        return verdict == ARGS_SHOWN ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    sluice_session *session;
    int status = session_open("status", &choice, &session);
    if (status != SLUICE_OK) {
        return session_exit_code(status);
    }
    sluice_broker_info info = {.size = sizeof(info)};
    sluice_session_info own = {.size = sizeof(own)};
    status = sluice_broker_status(session, CALL_NS, &info);
    (void)sluice_session_get_info(session, &own);
    if (status != SLUICE_OK) {
        session_complain("status", session, status);
    }
    (void)sluice_session_close(session);
    if (status != SLUICE_OK) {
        return CLI_EXIT_NOBROKER;
    }
    print_status(&info, &own, json);
    return CLI_EXIT_OK;
}

/* ---- ops ----------------------------------------------------------------------------------- */

static const char *state_word(const sluice_ops_row *row) {
    static const char *const words[] = {"?", "queued", "started", "cancelling", "zombie"};
    return row->state < SL_ARRAY_COUNT(words) ? words[row->state] : words[0];
}

static void add_row(out_table *table, const sluice_ops_row *row) {
    char age[OUT_NUMBER_BYTES], left[OUT_NUMBER_BYTES];
    out_table_cell(table, "%llu", (unsigned long long)row->operation_id);
    out_table_cell(table, "%llu", (unsigned long long)row->session_id);
    out_table_cell(table, "%s", row->user);
    out_table_cell(table, "%.32s (%llu)", row->client_name, (unsigned long long)row->process_id);
    out_table_cell(table, row->handle != 0 ? "%llu" : "-", (unsigned long long)row->handle);
    out_table_cell(table, "%s", row->kind_name);
    out_table_cell(table, "%s%s", state_word(row), row->stuck != 0 ? ", STUCK" : "");
    out_table_cell(table, "%s", out_duration(row->age_ns, age));
    out_table_cell(table, "%s",
                   row->remaining_ns != 0 ? out_duration(row->remaining_ns, left) : "-");
    out_table_cell(table, "%llu/%llu", (unsigned long long)row->done_bytes,
                   (unsigned long long)row->length_bytes);
    out_table_cell(table, "%u", (unsigned)row->worker);
}

static void json_row(out_json *json, const sluice_ops_row *row) {
    out_json_object(json, NULL);
    out_json_u64(json, "operation_id", row->operation_id);
    out_json_u64(json, "session_id", row->session_id);
    out_json_string(json, "user", row->user);
    out_json_string(json, "client_name", row->client_name);
    out_json_u64(json, "process_id", row->process_id);
    out_json_u64(json, "handle", row->handle);
    out_json_string(json, "kind", row->kind_name);
    out_json_string(json, "state", state_word(row));
    out_json_bool(json, "stuck", row->stuck != 0);
    out_json_u64(json, "age_ns", row->age_ns);
    out_json_u64(json, "remaining_ns", row->remaining_ns);
    out_json_u64(json, "done_bytes", row->done_bytes);
    out_json_u64(json, "length_bytes", row->length_bytes);
    out_json_u64(json, "worker", row->worker);
    out_json_end_object(json);
}

typedef struct ops_pages {
    sluice_ops_query query;
    sluice_ops_row rows[PAGE_ROWS];
    out_table table;
    out_json json;
    bool as_json;
    uint64_t shown;
} ops_pages;

/* Takes page after page until the last. */
static int take_pages(sluice_session *session, ops_pages *pages) {
    for (unsigned page = 0; page < PAGES_MAX; page++) {
        uint32_t count = 0;
        uint64_t next = 0;
        int status =
            sluice_ops(session, &pages->query, CALL_NS, pages->rows, PAGE_ROWS, &count, &next);
        if (status != SLUICE_OK) {
            return status;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (pages->as_json) {
                json_row(&pages->json, &pages->rows[i]);
            } else {
                add_row(&pages->table, &pages->rows[i]);
            }
        }
        pages->shown += count;
        if (next == 0) {
            break;
        }
        pages->query.cursor = next;
    }
    return SLUICE_OK;
}

static int show_ops(sluice_session *session, ops_pages *pages) {
    static const char *const headings[] = {">operation", ">session", "user",   "client (process)",
                                           ">handle",    "kind",     "state",  ">age",
                                           ">left",      ">bytes",   ">worker"};
    out_text text = {0};
    out_json_init(&pages->json, &text);
    if (pages->as_json) {
        out_json_object(&pages->json, NULL);
        out_json_array(&pages->json, "operations");
    }
    out_table_init(&pages->table, headings, SL_ARRAY_COUNT(headings));
    int status = take_pages(session, pages);
    sluice_broker_info info = {.size = sizeof(info)};
    if (status == SLUICE_OK) {
        status = sluice_broker_status(session, CALL_NS, &info);
    }
    if (status != SLUICE_OK) {
        out_deinit(&text);
        out_table_end(&pages->table, &text);
        out_deinit(&text);
        session_complain("ops", session, status);
        return CLI_EXIT_NOBROKER;
    }
    if (pages->as_json) {
        out_json_end_array(&pages->json);
        out_json_u64(&pages->json, "opens_given_up", info.opens_given_up);
        out_json_end_object(&pages->json);
    } else if (pages->shown > 0) {
        out_table_end(&pages->table, &text);
    } else {
        out_print(&text, "No such operations.\n");
    }
    if (!pages->as_json && info.opens_given_up > 0) {
        out_print(&text,
                  "%llu look-ups or paths were given up: they have ended, a thread of the "
                  "broker is still with them.\n",
                  (unsigned long long)info.opens_given_up);
    }
    return out_flush(&text, SL_SINK_OUTPUT) ? CLI_EXIT_OK : CLI_EXIT_FOUND;
}

int command_ops(int count, char **argv) {
    static ops_pages pages;
    session_choice choice = {.client_name = "sluice ops"};
    uint64_t older_ns = 0;
    bool stuck = false;
    const args_option table[] = {
        {"older", "TIME", ARGS_DURATION, &older_ns, 0, 1000 * 3600 * SL_NS_PER_S, NULL,
         "only operations that have been under way for longer, as 5s"},
        {"stuck", NULL, ARGS_FLAG, &stuck, 0, 0, NULL,
         "only those that the operating system does not let go"},
        SESSION_OPTIONS(choice.endpoint, choice.broker_user, choice.broker_path, choice.is_private),
        {"json", NULL, ARGS_FLAG, &pages.as_json, 0, 0, NULL, "as JSON"},
    };
    static const args_rule rules[] = {SESSION_RULES};
    const args_command command = {
        "sluice ops",
        "[OPTION...]",
        "Lists the operations that are under way in a broker: who asked for what, on which\n"
        "handle, how long ago, how much of it is done. You see the sessions of your own user;\n"
        "as the broker's user, root or an administrator, everybody's.\n"
        "\n"
        "  queued      waits for its turn on the handle\n"
        "  started     with the operating system\n"
        "  cancelling  asked to end, and not ended yet\n"
        "  zombie      ended for its client, but the system has not let go: a driver that\n"
        "              ignores cancellation. The broker keeps it; nobody waits for it.\n"
        "              Operation 0 is what is left of a session that has ended.\n",
        table,
        SL_ARRAY_COUNT(table),
        rules,
        SL_ARRAY_COUNT(rules)};
    args_verdict verdict = args_parse(&command, count, argv);
    if (verdict != ARGS_RUN) {
        return verdict == ARGS_SHOWN ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    pages.query = (sluice_ops_query){.size = sizeof(pages.query),
                                     .filter = stuck ? SLUICE_OPS_STUCK : SLUICE_OPS_ALL,
                                     .min_age_ns = older_ns,
                                     .row_size = sizeof(sluice_ops_row)};
    sluice_session *session;
    int status = session_open("ops", &choice, &session);
    if (status != SLUICE_OK) {
        return session_exit_code(status);
    }
    int code = show_ops(session, &pages);
    (void)sluice_session_close(session);
    return code;
}
