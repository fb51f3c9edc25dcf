/*
 * identity.c - users and groups as values: compared, shown, read back; and who is at the other end.
 *
 * Nothing here asks the system but through the backend, and nothing looks up a name: that may go to
 * a directory server and take as long as it likes.
 */
#include <string.h>

#include "engine/core.h"

#define SID_FIXED_BYTES   8  /* revision, number of parts, authority */
#define SID_PARTS_MAX     15 /* [docs: SID_MAX_SUB_AUTHORITIES] */
#define SID_DECIMAL_MAX   UINT32_MAX /* a larger authority is written as 0x... [docs: MS-DTYP] */
#define DECIMAL_BYTES_MAX 20

bool engine_identity_equal(const engine_identity *a, const engine_identity *b) {
    return a->kind != ENGINE_IDENTITY_NONE && a->kind == b->kind && a->length == b->length &&
           memcmp(a->bytes, b->bytes, a->length) == 0;
}

static void set_number(engine_identity *identity, engine_identity_kind kind, uint32_t number) {
    memset(identity, 0, sizeof(*identity));
    identity->kind = (uint8_t)kind;
    identity->length = sizeof(number);
    memcpy(identity->bytes, &number, sizeof(number));
}

void engine_identity_uid(engine_identity *ret_identity, uint32_t uid) {
    set_number(ret_identity, ENGINE_IDENTITY_UID, uid);
}

void engine_identity_gid(engine_identity *ret_identity, uint32_t gid) {
    set_number(ret_identity, ENGINE_IDENTITY_GID, gid);
}

/* ---- as text ---- */

static char *put_text(char *to, const char *text) {
    size_t length = strlen(text);
    memcpy(to, text, length + 1);
    return to + length;
}

static char *put_decimal(char *to, uint64_t number) {
    char digits[DECIMAL_BYTES_MAX + 1];
    char *at = digits + DECIMAL_BYTES_MAX;
    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return put_text(to, at);
}

static char *put_hex_authority(char *to, uint64_t authority) {
    to = put_text(to, "0x");
    for (int shift = 44; shift >= 0; shift -= 4) {
        *to++ = "0123456789abcdef"[(authority >> shift) & 15];
    }
    *to = '\0';
    return to;
}

static uint32_t sid_part(const engine_identity *sid, unsigned index) {
    uint32_t part;
    memcpy(&part, sid->bytes + SID_FIXED_BYTES + index * sizeof(part), sizeof(part));
    return part;
}

static void put_sid(char *to, const engine_identity *sid) {
    uint64_t authority = 0;
    for (unsigned i = 2; i < SID_FIXED_BYTES; i++) {
        authority = authority << 8 | sid->bytes[i];
    }
    to = put_decimal(put_text(to, "S-"), sid->bytes[0]);
    to = put_text(to, "-");
    to = authority <= SID_DECIMAL_MAX ? put_decimal(to, authority)
                                      : put_hex_authority(to, authority);
    for (unsigned i = 0; i < sid->bytes[1] && i < SID_PARTS_MAX; i++) {
        to = put_decimal(put_text(to, "-"), sid_part(sid, i));
    }
}

void engine_identity_text(const engine_identity *identity,
                          char ret_text[ENGINE_IDENTITY_TEXT_BYTES]) {
    switch ((engine_identity_kind)identity->kind) {
    case ENGINE_IDENTITY_NONE: put_text(ret_text, "nobody known"); break;
    case ENGINE_IDENTITY_UID:
    case ENGINE_IDENTITY_GID: {
        uint32_t number;
        memcpy(&number, identity->bytes, sizeof(number));
        put_decimal(put_text(ret_text, identity->kind == ENGINE_IDENTITY_UID ? "uid " : "gid "),
                    number);
        break;
    }
    case ENGINE_IDENTITY_SID: put_sid(ret_text, identity); break;
    }
}

/* ---- from text ---- */

/* Decimal digits up to `max`; NULL if there are none, or too many. */
static const char *take_decimal(const char *text, uint64_t max, uint64_t *ret_number) {
    uint64_t number = 0;
    if (*text < '0' || *text > '9') {
        return NULL;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (number > (max - digit) / 10) {
            return NULL;
        }
        number = number * 10 + digit;
    }
    *ret_number = number;
    return text;
}

/* "S-1-5-21-..." with a decimal authority: others do not occur. */
static int parse_sid(const char *text, engine_identity *sid) {
    uint64_t revision = 0;
    uint64_t number = 0;
    text = take_decimal(text, UINT8_MAX, &revision);
    if (text == NULL || *text++ != '-' ||
        (text = take_decimal(text, SID_DECIMAL_MAX, &number)) == NULL) {
        return SLUICE_EINVAL;
    }
    memset(sid, 0, sizeof(*sid));
    sid->kind = ENGINE_IDENTITY_SID;
    sid->length = SID_FIXED_BYTES;
    sid->bytes[0] = (uint8_t)revision;
    for (unsigned i = 0; i < sizeof(uint32_t); i++) {
        sid->bytes[SID_FIXED_BYTES - 1 - i] = (uint8_t)(number >> (8 * i));
    }
    while (*text == '-' && sid->bytes[1] < SID_PARTS_MAX) {
        text = take_decimal(text + 1, UINT32_MAX, &number);
        if (text == NULL) {
            return SLUICE_EINVAL;
        }
        uint32_t part = (uint32_t)number;
        memcpy(sid->bytes + sid->length, &part, sizeof(part));
        sid->length = (uint8_t)(sid->length + sizeof(part));
        sid->bytes[1]++;
    }
    return *text == '\0' && sid->bytes[1] > 0 ? SLUICE_OK : SLUICE_EINVAL;
}

int engine_identity_parse(const char *text, engine_identity *ret_identity) {
    engine_identity parsed;
    uint64_t number = 0;
    int status = SLUICE_EINVAL;
    if (strncmp(text, "S-", 2) == 0) {
        status = parse_sid(text + 2, &parsed);
    } else if (strncmp(text, "uid ", 4) == 0 || strncmp(text, "gid ", 4) == 0) {
        const char *end = take_decimal(text + 4, UINT32_MAX, &number);
        if (end != NULL && *end == '\0') {
            set_number(&parsed, text[0] == 'u' ? ENGINE_IDENTITY_UID : ENGINE_IDENTITY_GID,
                       (uint32_t)number);
            status = SLUICE_OK;
        }
    }
    if (status == SLUICE_OK) {
        *ret_identity = parsed;
    }
    return status;
}

/* ---- whose ---- */

int engine_own_identity(engine *e, engine_identity *ret_identity) {
    return e->ops->own_identity(e, ret_identity);
}

int engine_peer_identity(engine_handle *handle, engine_peer *ret_peer) {
    engine_check_owner(handle->worker);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    engine_peer peer = {.is_administrator = false};
    int status = handle->worker->ops->peer_identity(handle, &peer);
    if (status == SLUICE_OK) {
        *ret_peer = peer;
    }
    return status;
}

int engine_peer_is_lesser(engine_handle *handle, bool *ret_is_lesser) {
    engine_check_owner(handle->worker);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    *ret_is_lesser = false;
    const engine_ops *ops = handle->worker->ops;
    return ops->peer_is_lesser != NULL ? ops->peer_is_lesser(handle, ret_is_lesser) : SLUICE_OK;
}

/* ---- what it may open ---- */

engine_rights *engine_rights_create(engine *e, size_t size) {
    engine_rights *rights = sl_account_alloc(&e->account, size);
    if (rights != NULL) {
        memset(rights, 0, size);
        atomic_init(&rights->references, 1);
        rights->engine = e;
        rights->size = size;
    }
    return rights;
}

int engine_peer_rights(engine_handle *handle, engine_rights **ret_rights) {
    engine_check_owner(handle->worker);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    *ret_rights = NULL;
    const engine_ops *ops = handle->worker->ops;
    return ops->peer_rights != NULL ? ops->peer_rights(handle, ret_rights) : SLUICE_OK;
}

engine_rights *engine_rights_keep(engine_rights *rights) {
    if (rights != NULL) {
        (void)atomic_fetch_add(&rights->references, 1);
    }
    return rights;
}

void engine_rights_release(engine_rights *rights) {
    if (rights != NULL && atomic_fetch_sub(&rights->references, 1) == 1) {
        engine *e = rights->engine;
        if (e->ops->rights_close != NULL) {
            e->ops->rights_close(rights);
        }
        sl_account_free(&e->account, rights, rights->size);
    }
}

int engine_peer_is_among(engine_handle *handle, const engine_identity *whom, unsigned count,
                         bool *ret_is_among) {
    engine_check_owner(handle->worker);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    return handle->worker->ops->peer_is_among(handle, whom, count, ret_is_among);
}

int engine_watch_peer(engine_handle *handle) {
    engine_check_owner(handle->worker);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    int (*watch)(engine_handle *) = handle->worker->ops->watch_peer;
    return watch != NULL ? watch(handle) : SLUICE_OK;
}
