/* The strict check of a message. It keeps one bit for each level, and no other stack. */
#include "jrpc_json.h"
#include "jrpc_parts.h"

#include <string.h>

#define MOST_DIGITS 4300 /* of an integer, as in other peers of this protocol */

typedef struct {
    const char *at, *end;
} cursor;

static int peek(const cursor *text) {
    return text->at < text->end ? (uint8_t)*text->at : -1;
}

static bool take(cursor *text, char wanted) {
    if (peek(text) != wanted) return false;
    text->at++;
    return true;
}

static void skip_space(cursor *text) {
    while (text->at < text->end && jrpc_is_space(*text->at)) text->at++;
}

size_t jrpc_utf8_size(const char *text, size_t left) {
    const uint8_t *at = (const uint8_t *)text;
    uint8_t first = at[0];
    size_t size = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (size > left || first > 0xF4) return 0;
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0;
    }
    /* Longer than need be, a surrogate, or above U+10FFFF. */
    if ((first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] > 0x9F) ||
        (first == 0xF0 && at[1] < 0x90) || (first == 0xF4 && at[1] > 0x8F)) {
        return 0;
    }
    return size;
}

/* The four digits of an escape, or -1. */
static int32_t take_hex(cursor *text) {
    if (text->end - text->at < 4) return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = jrpc_hex(*text->at++);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool check_escape(cursor *text) {
    int letter = peek(text);
    if (letter < ' ' || !strchr("\"\\/bfnrtu", letter)) return false;
    text->at++;
    if (letter != 'u') return true;
    int32_t unit = take_hex(text);
    if (unit < 0xD800 || unit > 0xDFFF) return unit >= 0;
    if (unit > 0xDBFF || !take(text, '\\') || !take(text, 'u')) return false;
    unit = take_hex(text);
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

static bool check_string(cursor *text) {
    if (!take(text, '"')) return false;
    while (text->at < text->end) {
        if (take(text, '"')) return true;
        if (take(text, '\\')) {
            if (!check_escape(text)) return false;
            continue;
        }
        size_t size = jrpc_utf8_size(text->at, (size_t)(text->end - text->at));
        if (size == 0 || (uint8_t)*text->at < ' ') return false;
        text->at += size;
    }
    return false;
}

static size_t skip_digits(cursor *text) {
    const char *start = text->at;
    while (jrpc_is_digit(peek(text))) text->at++;
    return (size_t)(text->at - start);
}

static bool check_number(cursor *text) {
    take(text, '-');
    size_t digits = 1;
    bool is_integer = true;
    if (!take(text, '0') && (digits = skip_digits(text)) == 0) return false;
    if (take(text, '.')) {
        is_integer = false;
        if (skip_digits(text) == 0) return false;
    }
    if (take(text, 'e') || take(text, 'E')) {
        is_integer = false;
        if (!take(text, '+')) take(text, '-');
        if (skip_digits(text) == 0) return false;
    }
    return !is_integer || digits <= MOST_DIGITS;
}

static bool check_word(cursor *text, const char *word) {
    while (*word) {
        if (!take(text, *word++)) return false;
    }
    return true;
}

static bool check_scalar(cursor *text) {
    switch (peek(text)) {
    case '"': return check_string(text);
    case 't': return check_word(text, "true");
    case 'f': return check_word(text, "false");
    case 'n': return check_word(text, "null");
    default: return check_number(text);
    }
}

static bool check_key(cursor *text) {
    skip_space(text);
    if (!check_string(text)) return false;
    skip_space(text);
    return take(text, ':');
}

/* What the check is in: a bit for each level, set where that is an object and no array. */
typedef struct {
    uint8_t objects[JRPC_MAX_DEPTH / 8];
    unsigned depth;
} levels;

static void enter(levels *in, bool is_object) {
    uint8_t *bits = &in->objects[in->depth / 8], bit = (uint8_t)(1u << in->depth % 8);
    *bits = (uint8_t)(is_object ? *bits | bit : *bits & ~bit);
    in->depth++;
}

static bool in_object(const levels *in) {
    unsigned level = in->depth - 1;
    return in->depth > 0 && (in->objects[level / 8] >> level % 8 & 1);
}

bool jrpc_check(jrpc_slice message) {
    cursor text = {message.at, message.at + message.size};
    levels in = {.depth = 0};
    for (;;) {
        skip_space(&text);
        bool is_object = peek(&text) == '{', is_open = false;
        if (is_object || peek(&text) == '[') {
            if (in.depth == JRPC_MAX_DEPTH) return false;
            enter(&in, is_object);
            text.at++;
            skip_space(&text);
            is_open = peek(&text) != (is_object ? '}' : ']');
        } else if (!check_scalar(&text)) {
            return false;
        }
        while (!is_open) { /* a value has ended: what it is in may end too, or goes on */
            skip_space(&text);
            if (in.depth == 0) return text.at == text.end;
            if (take(&text, ',')) {
                is_open = true;
            } else if (take(&text, in_object(&in) ? '}' : ']')) {
                in.depth--;
            } else {
                return false;
            }
        }
        if (in_object(&in) && !check_key(&text)) return false;
    }
}
