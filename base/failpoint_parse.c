/* failpoint_parse.c - see failpoint_parse.h. Test builds only. */
#include "base/failpoint_parse.h"

#include <string.h>

#include "base/check.h"
#include "base/text.h"

typedef struct parser {
    const char *text;
    const char *at;
    char *error; /* SL_FAILPOINT_ERROR_BYTES */
} parser;

static const bool takes_return[SL_FAILPOINT_COUNT] = {
#define X(module, name, returns, sentence) (returns) != 0,
    SL_FAILPOINT_TABLE(X)
#undef X
};

static bool fail(const parser *p, const char *at, const char *what) {
    sl_text text;
    sl_text_init(&text, p->error, SL_FAILPOINT_ERROR_BYTES - 1);
    sl_text_append(&text, "column ");
    sl_text_append_u64(&text, (uint64_t)(at - p->text) + 1);
    sl_text_append(&text, ": ");
    sl_text_append(&text, what);
    p->error[text.length] = '\0';
    return false;
}

static void skip_blanks(parser *p) {
    p->at += strspn(p->at, " \t\r\n");
}

static bool skip(parser *p, const char *literal) {
    size_t length = strlen(literal);
    bool is_there = strncmp(p->at, literal, length) == 0;
    p->at += is_there ? length : 0;
    return is_there;
}

static bool is_word(const char *at, size_t length, const char *word) {
    return strlen(word) == length && strncmp(at, word, length) == 0;
}

static bool parse_number(parser *p, uint32_t least, uint32_t most, const char *wrong,
                         uint32_t *ret_number) {
    const char *first = p->at;
    uint64_t number = 0;
    for (; *p->at >= '0' && *p->at <= '9' && number <= most; p->at++) {
        number = number * 10 + (uint64_t)(*p->at - '0');
    }
    if (p->at == first || number < least || number > most) {
        return fail(p, first, wrong);
    }
    *ret_number = (uint32_t)number;
    return true;
}

/* ---- actions ---- */

static bool parse_status(parser *p, failpoint_term *term) {
    size_t length = strcspn(p->at, ")");
    for (int i = 1; i < SLUICE_STATUS_COUNT; i++) {
        if (is_word(p->at, length, sl_status_name(-i))) {
            p->at += length;
            term->status = -i;
            return true;
        }
    }
    return fail(p, p->at, "no such status; return(ENAME), as in base/status.h, but not OK");
}

static bool parse_action(parser *p, failpoint_term *term) {
    const char *first = p->at;
    if (skip(p, "return(")) {
        term->kind = FAILPOINT_RETURN;
        return parse_status(p, term) && (skip(p, ")") || fail(p, p->at, "want: )"));
    }
    if (skip(p, "delay(")) {
        term->kind = FAILPOINT_DELAY;
        return parse_number(p, 1, FAILPOINT_DELAY_MAX_MS, "a delay is 1 to 600000 milliseconds",
                            &term->delay_ms) &&
               (skip(p, ")") || fail(p, p->at, "want: )"));
    }
    size_t length = strspn(p->at, "abcdefghijklmnopqrstuvwxyz");
    p->at += length;
    if (is_word(first, length, "off")) {
        term->kind = FAILPOINT_OFF;
    } else if (is_word(first, length, "pause")) {
        term->kind = FAILPOINT_PAUSE;
    } else if (is_word(first, length, "kill")) {
        term->kind = FAILPOINT_KILL;
    } else {
        return fail(p, first, "want: off, return(STATUS), delay(MILLISECONDS), pause or kill");
    }
    return true;
}

static bool parse_term(parser *p, failpoint_term *term) {
    *term = (failpoint_term){.percent = 100, .count = FAILPOINT_ALWAYS};
    size_t digits = strspn(p->at, "0123456789");
    if (p->at[digits] == '%') {
        if (!parse_number(p, 0, 100, "a percentage is 0 to 100", &term->percent)) {
            return false;
        }
        p->at++;
        digits = strspn(p->at, "0123456789");
    }
    if (p->at[digits] == '*') {
        if (!parse_number(p, 1, FAILPOINT_COUNT_MAX, "a count is 1 to 1000000000",
                          &term->count)) {
            return false;
        }
        p->at++;
    }
    return parse_action(p, term);
}

/* ---- entries ---- */

static bool parse_plan(parser *p, failpoint_plan *plan) {
    *plan = (failpoint_plan){.is_named = true};
    do {
        skip_blanks(p);
        if (plan->term_count == FAILPOINT_TERMS_MAX) {
            return fail(p, p->at, "no more than 4 actions of a point");
        }
        if (!parse_term(p, &plan->terms[plan->term_count++])) {
            return false;
        }
        skip_blanks(p);
    } while (skip(p, "->"));
    return true;
}

static bool has_return(const failpoint_plan *plan) {
    for (unsigned i = 0; i < plan->term_count; i++) {
        if (plan->terms[i].kind == FAILPOINT_RETURN) {
            return true;
        }
    }
    return false;
}

/* Gives the plan to the point, or points, of that name. */
static bool assign(const parser *p, const char *name, size_t length, const failpoint_plan *plan,
                   failpoint_plan plans[SL_FAILPOINT_COUNT]) {
    bool is_all = is_word(name, length, "all");
    bool is_known = false;
    for (int i = 0; i < SL_FAILPOINT_COUNT; i++) {
        if (!is_all && !is_word(name, length, sl_failpoint_name((sl_failpoint)i))) {
            continue;
        }
        if (has_return(plan) && !takes_return[i]) {
            return fail(p, name, is_all ? "not all points take a return"
                                        : "this point takes no return: nothing is refused there");
        }
        plans[i] = *plan;
        is_known = true;
    }
    return is_known || fail(p, name, "no such point");
}

bool failpoint_parse(const char *text, failpoint_plan ret_plans[SL_FAILPOINT_COUNT],
                     char ret_error[SL_FAILPOINT_ERROR_BYTES]) {
    parser p = {text, text, ret_error};
    memset(ret_plans, 0, SL_FAILPOINT_COUNT * sizeof(*ret_plans));
    ret_error[0] = '\0';
    for (;;) {
        failpoint_plan plan;
        skip_blanks(&p);
        if (skip(&p, ";")) {
            continue;
        }
        if (*p.at == '\0') {
            return true;
        }
        const char *name = p.at;
        size_t length = strcspn(name, "=; \t\r\n");
        p.at += length;
        skip_blanks(&p);
        if (!skip(&p, "=")) {
            return fail(&p, p.at, "want: NAME=ACTION");
        }
        if (!parse_plan(&p, &plan) || !assign(&p, name, length, &plan, ret_plans)) {
            return false;
        }
        if (*p.at != ';' && *p.at != '\0') {
            return fail(&p, p.at, "want: -> and a further action, or ; and a further point");
        }
    }
}
