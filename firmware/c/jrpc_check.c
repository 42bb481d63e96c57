/* The strict scan of JSON. It keeps one bit for each level that a value is in, and no other stack.
 *
 * A scan begins at `at` and returns where what it looks for ends, NULL: it is not there. */
#include "jrpc_json.h"
#include "jrpc_parts.h"

#include <string.h>

#define MOST_DIGITS 4300 /* of an integer, as in other peers of this protocol */

/* The letter there; 0, which no JSON has outside of strings, at the end. */
static char peek(const char *at, const char *end) {
    return at < end ? *at : '\0';
}

const char *jrpc_skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

/* ---- Letters ---- */

int jrpc_hex(int letter) {
    unsigned digit = (unsigned)letter - '0', beyond = ((unsigned)letter | 0x20) - 'a';
    return digit < 10 ? (int)digit : beyond < 6 ? (int)beyond + 10 : -1;
}

/* The number that the four digits of an escape say; above 0xFFFF: they are none. */
static uint32_t take_hex(const char **at, const char *end) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = *at < end ? jrpc_hex(*(*at)++) : -1;
        value = value << 4 | (uint32_t)digit;
    }
    return value;
}

static size_t put_utf8(char *to, uint32_t point) {
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; point >>= 6) to[i] = (char)(0x80 | (point & 0x3F));
    to[0] = (char)(marks[size] | point);
    return size;
}

static bool is_surrogate(uint32_t point) {
    return point >> 11 == 0xD800 >> 11;
}

/* What is right in UTF-8 is what comes out when it is read leniently and written again. */
size_t jrpc_utf8_size(const char *text, size_t left) {
    char again[4];
    uint32_t point = (uint8_t)*text;
    if (point < 0x80) return 1;
    size_t size = point < 0xE0 ? 2 : point < 0xF0 ? 3 : 4;
    if (size > left) return 0;
    point &= 0x7Fu >> size;
    for (size_t i = 1; i < size; i++) point = point << 6 | ((uint8_t)text[i] & 0x3F);
    bool is_letter = point <= 0x10FFFF && !is_surrogate(point);
    return is_letter && put_utf8(again, point) == size && memcmp(again, text, size) == 0 ? size : 0;
}

size_t jrpc_take_letter(const char **from, const char *end, char to[4]) {
    static const char letters[] = "\"\\/bfnrtu", values[] = "\"\\/\b\f\n\r\t";
    const char *at = *from;
    size_t size = jrpc_utf8_size(at, (size_t)(end - at));
    *from += size;
    if (*at != '\\') {
        memcpy(to, at, size);
        return (uint8_t)*at < ' ' ? 0 : size;
    }
    char letter = peek(++at, end);
    const char *found = letter != '\0' ? strchr(letters, letter) : NULL;
    if (found == NULL) return 0;
    *from = ++at;
    if (*found != 'u') {
        to[0] = values[found - letters];
        return 1;
    }
    uint32_t point = take_hex(from, end);
    if (point >> 10 == 0xD800 >> 10 && peek(*from, end) == '\\' && peek(*from + 1, end) == 'u') {
        *from += 2;
        uint32_t low = take_hex(from, end);
        if (low >> 10 == 0xDC00 >> 10) point = 0x10000 + ((point & 0x3FF) << 10 | (low & 0x3FF));
    }
    return point > 0x10FFFF || is_surrogate(point) ? 0 : put_utf8(to, point);
}

/* ---- Values ---- */

static const char *scan_string(const char *at, const char *end) {
    char letter[4];
    if (peek(at, end) != '"') return NULL;
    at++;
    while (at < end) {
        if (*at == '"') return at + 1;
        if (jrpc_take_letter(&at, end, letter) == 0) return NULL;
    }
    return NULL;
}

static const char *scan_digits(const char *at, const char *end) {
    const char *start = at;
    while (jrpc_is_digit(peek(at, end))) at++;
    return at > start ? at : NULL;
}

static const char *scan_number(const char *at, const char *end) {
    if (peek(at, end) == '-') at++;
    const char *first = at, *behind = at = scan_digits(at, end);
    if (at == NULL || (*first == '0' && at - first > 1)) return NULL;
    if (peek(at, end) == '.' && (at = scan_digits(at + 1, end)) == NULL) return NULL;
    if ((peek(at, end) | 0x20) == 'e') {
        at++;
        if (peek(at, end) == '-' || peek(at, end) == '+') at++;
        return scan_digits(at, end);
    }
    return at == behind && at - first > MOST_DIGITS ? NULL : at;
}

static const char *scan_scalar(const char *at, const char *end) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i]);
        if ((size_t)(end - at) >= size && memcmp(at, words[i], size) == 0) return at + size;
    }
    return peek(at, end) == '"' ? scan_string(at, end) : scan_number(at, end);
}

static const char *scan_key(const char *at, const char *end) {
    at = scan_string(jrpc_skip_space(at, end), end);
    if (at == NULL) return NULL;
    at = jrpc_skip_space(at, end);
    return peek(at, end) == ':' ? at + 1 : NULL;
}

const char *jrpc_scan(const char *at, const char *end) {
    uint64_t objects = 0; /* a bit for each level, the innermost is the lowest: no array */
    unsigned depth = 0;
    for (;;) {
        at = jrpc_skip_space(at, end);
        char first = peek(at, end);
        bool is_open = false;
        if (first == '{' || first == '[') {
            if (depth++ == JRPC_MAX_DEPTH) return NULL;
            objects = objects << 1 | (first == '{');
            at = jrpc_skip_space(at + 1, end);
            is_open = peek(at, end) != (first == '{' ? '}' : ']');
        } else if ((at = scan_scalar(at, end)) == NULL) {
            return NULL;
        }
        while (!is_open) { /* a value has ended: what it is in may end too, or goes on */
            if (depth == 0) return at;
            at = jrpc_skip_space(at, end);
            if (at == end) return NULL;
            char next = *at++;
            if (next == ',') {
                is_open = true;
            } else if (next == (objects & 1 ? '}' : ']')) {
                depth--;
                objects >>= 1;
            } else {
                return NULL;
            }
        }
        if (objects & 1 && (at = scan_key(at, end)) == NULL) return NULL;
    }
}
