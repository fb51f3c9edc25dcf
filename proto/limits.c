/* limits.c - looks limits up, checks and prints them, and agrees on those of a session. */
#include "proto/limits.h"

#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "base/text.h"

static const sl_limit_info rows[] = {
#define X(name, standard, min, max, unit, sentence) \
    {#name, sentence, (standard), (min), (max), SL_UNIT_##unit, offsetof(sl_limits, name)},
    SL_LIMITS_TABLE(X)
#undef X
};

enum {
#define X(name, standard, min, max, unit, sentence) ROW_##name,
    SL_LIMITS_TABLE(X)
#undef X
};

#define X(name, standard, min, max, unit, sentence) \
    _Static_assert((uint64_t)(standard) <= (max) && (uint64_t)(standard) + 1 > (min), \
                   #name ": the default is within the range");
SL_LIMITS_TABLE(X)
#undef X

void sl_limits_default(sl_limits *ret_limits) {
#define X(name, standard, min, max, unit, sentence) ret_limits->name = (standard);
    SL_LIMITS_TABLE(X)
#undef X
}

const sl_limit_info *sl_limit_at(size_t index) {
    return index < SL_ARRAY_COUNT(rows) ? &rows[index] : NULL;
}

static bool is_name_of(const sl_limit_info *info, const char *name) {
    if (strcmp(info->name, name) == 0) {
        return true;
    }
    static const char *const endings[] = {[SL_UNIT_NS] = "_ns", [SL_UNIT_BYTES] = "_bytes"};
    if (info->unit == SL_UNIT_COUNT) {
        return false;
    }
    size_t length = strlen(name);
    return strncmp(info->name, name, length) == 0 &&
           strcmp(info->name + length, endings[info->unit]) == 0;
}

const sl_limit_info *sl_limit_find(const char *name) {
    for (size_t i = 0; i < SL_ARRAY_COUNT(rows); i++) {
        if (is_name_of(&rows[i], name)) {
            return &rows[i];
        }
    }
    return NULL;
}

uint64_t sl_limit_get(const sl_limits *limits, const sl_limit_info *info) {
    uint64_t value;
    memcpy(&value, (const char *)limits + info->offset, sizeof(value));
    return value;
}

static int check_range(const sl_limit_info *info, uint64_t value, int status,
                       sl_reason *ret_reason) {
    if (value >= info->min && value <= info->max) {
        return SLUICE_OK;
    }
    return sl_reason_range(ret_reason, status, info->name, value, info->min, info->max);
}

int sl_limits_set(sl_limits *limits, const char *name, uint64_t value, sl_reason *ret_reason) {
    const sl_limit_info *info = sl_limit_find(name);
    if (info == NULL) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "limits", "there is no limit of that name");
    }
    int status = check_range(info, value, SLUICE_EINVAL, ret_reason);
    if (status == SLUICE_OK) {
        memcpy((char *)limits + info->offset, &value, sizeof(value));
    }
    return status;
}

int sl_limits_check(const sl_limits *limits, sl_reason *ret_reason) {
    for (size_t i = 0; i < SL_ARRAY_COUNT(rows); i++) {
        uint64_t value = sl_limit_get(limits, &rows[i]);
        int status = check_range(&rows[i], value, SLUICE_EINVAL, ret_reason);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    if (limits->unresponsive_ns < 2 * limits->ping_interval_ns) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "unresponsive_ns",
                             "must be at least twice ping_interval_ns");
    }
    if (limits->idle_buffer_bytes > limits->receive_buffer_bytes) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "idle_buffer_bytes",
                             "must not be more than receive_buffer_bytes");
    }
    return SLUICE_OK;
}

/* ---- text ---- */

static void append_grouped(sl_text *text, uint64_t value) {
    if (value >= 1000) {
        append_grouped(text, value / 1000);
        sl_text_append(text, ",");
        sl_text_append_padded(text, value % 1000, 3);
    } else {
        sl_text_append_u64(text, value);
    }
}

typedef struct unit_step {
    uint64_t size;
    const char *name;
} unit_step;

const char *sl_limit_text(uint64_t value, sl_unit unit, char text[SL_LIMIT_TEXT_BYTES]) {
    static const unit_step times[] = {{3600 * SL_SEC, " h"}, {60 * SL_SEC, " min"}, {SL_SEC, " s"},
                                      {SL_MSEC, " ms"},      {1000, " us"},         {1, " ns"}};
    static const unit_step sizes[] = {
        {SL_GIB, " GiB"}, {SL_MIB, " MiB"}, {SL_KIB, " KiB"}, {1, " bytes"}};
    sl_text builder;
    sl_text_init(&builder, text, SL_LIMIT_TEXT_BYTES - 1);
    const unit_step *step = unit == SL_UNIT_NS ? times : sizes;
    if (value == 0 || unit == SL_UNIT_COUNT) {
        append_grouped(&builder, value);
    } else {
        while (value % step->size != 0) {
            step++;
        }
        append_grouped(&builder, value / step->size);
        sl_text_append(&builder, step->name);
    }
    text[builder.length] = '\0';
    return text;
}

/* ---- the reason of an EQUOTA ---- */

int sl_limit_reached(sl_reason *reason, sl_limit_owner owner, const char *name, uint64_t value) {
    static const char *const owners[] = {[SL_LIMIT_SESSION] = "the session's",
                                         [SL_LIMIT_USER] = "this user's",
                                         [SL_LIMIT_BROKER] = "the broker's"};
    if (reason != NULL) {
        const sl_limit_info *info = sl_limit_find(name);
        char amount[SL_LIMIT_TEXT_BYTES];
        sl_text text;
        sl_text_init(&text, reason->text, sizeof(reason->text) - 1);
        sl_text_append(&text, owners[owner]);
        sl_text_append(&text, " limit ");
        sl_text_append(&text, name);
        sl_text_append(&text, " of ");
        sl_text_append(&text,
                       sl_limit_text(value, info != NULL ? info->unit : SL_UNIT_COUNT, amount));
        sl_text_append(&text, " is reached");
        reason->text[text.length] = '\0';
    }
    return SLUICE_EQUOTA;
}

/* ---- what a session agrees on ---- */

static uint64_t grant(const sl_limit_info *info, uint64_t limit, uint64_t wanted) {
    SL_CHECK(limit <= info->max, "a session limit is in its range");
    if (wanted == 0 || wanted > limit) {
        return limit;
    }
    return wanted < info->min ? info->min : wanted;
}

void sl_limits_grant(const sl_limits *broker, const sl_session_limits *wanted,
                     sl_session_limits *ret_granted) {
#define GRANT(name) grant(&rows[ROW_##name], broker->name, wanted->name)
    ret_granted->control_bytes = (uint32_t)GRANT(control_bytes);
    ret_granted->fragment_bytes = (uint32_t)GRANT(fragment_bytes);
    ret_granted->payload_bytes = (uint32_t)GRANT(payload_bytes);
    ret_granted->credit_operations = (uint32_t)GRANT(credit_operations);
    ret_granted->credit_bytes = GRANT(credit_bytes);
    ret_granted->handles = (uint32_t)GRANT(handles);
#undef GRANT
}

int sl_session_limits_check(const sl_session_limits *granted, sl_reason *ret_reason) {
    const struct {
        unsigned row;
        uint64_t value;
    } values[] = {
        {ROW_control_bytes, granted->control_bytes},
        {ROW_fragment_bytes, granted->fragment_bytes},
        {ROW_payload_bytes, granted->payload_bytes},
        {ROW_credit_operations, granted->credit_operations},
        {ROW_credit_bytes, granted->credit_bytes},
        {ROW_handles, granted->handles},
    };
    for (size_t i = 0; i < SL_ARRAY_COUNT(values); i++) {
        int status =
            check_range(&rows[values[i].row], values[i].value, SLUICE_EPROTOCOL, ret_reason);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    return SLUICE_OK;
}
