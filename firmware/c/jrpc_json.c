/* Reading JSON that was checked, and writing it. */
#include "jrpc_json.h"
#include "jrpc_parts.h"

#include <string.h>

bool jrpc_is_space(int letter) {
    return letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r';
}

bool jrpc_is_digit(int letter) {
    return letter >= '0' && letter <= '9';
}

int jrpc_hex(int letter) {
    if (jrpc_is_digit(letter)) return letter - '0';
    letter |= 0x20; /* lower case */
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The value that a text begins with. Brackets are counted, as their kinds are known to match. */
static jrpc_slice first_value(const char *at, const char *end) {
    const char *start = at;
    bool in_string = false;
    unsigned depth = 0;
    for (; at < end; at++) {
        if (in_string) {
            if (*at == '\\') at++;
            else if (*at == '"') in_string = false;
        } else if (*at == '"') {
            in_string = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (depth == 0 && (*at == ',' || *at == ':' || jrpc_is_space(*at))) {
            break; /* behind a number or a word */
        } else if (*at == '}' || *at == ']') {
            if (depth == 0) break;
            depth--;
        } else {
            continue;
        }
        if (depth == 0 && !in_string) { /* behind a string, an object or an array */
            at++;
            break;
        }
    }
    return (jrpc_slice){start, (size_t)(at - start)};
}

/* Behind the space, commas and colons that are there. */
static const char *next_start(const char *at, const char *end) {
    while (at < end && (jrpc_is_space(*at) || *at == ',' || *at == ':')) at++;
    return at;
}

jrpc_each jrpc_begin(jrpc_slice value) {
    jrpc_each each = {.is_object = value.size > 0 && *value.at == '{'};
    if (each.is_object || (value.size > 0 && *value.at == '[')) {
        each.at = value.at + 1;
        each.end = value.at + value.size - 1; /* the closing bracket */
    }
    return each;
}

bool jrpc_next(jrpc_each *each) {
    each->at = next_start(each->at, each->end);
    if (each->at == each->end) return false;
    if (each->is_object) {
        each->key = first_value(each->at, each->end);
        each->at = next_start(each->key.at + each->key.size, each->end);
    }
    each->value = first_value(each->at, each->end);
    each->at = each->value.at + each->value.size;
    return true;
}

jrpc_slice jrpc_member(jrpc_slice object, const char *name) {
    jrpc_slice found = {NULL, 0};
    jrpc_each each = jrpc_begin(object);
    while (jrpc_next(&each)) {
        if (jrpc_is(each.key, name)) found = each.value;
    }
    return found;
}

static uint32_t hex4(const char *at) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) value = value << 4 | (uint32_t)jrpc_hex(at[i]);
    return value;
}

static size_t put_utf8(char *to, uint32_t point) {
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; point >>= 6) to[i] = (char)(0x80 | (point & 0x3F));
    to[0] = (char)(marks[size] | point);
    return size;
}

/* Decode the next letter of a string, or the next byte of one, into `to`; returns its size. */
static size_t decode_next(const char **at, char to[4]) {
    static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
    char letter = *(*at)++;
    to[0] = letter;
    if (letter != '\\') return 1;
    letter = *(*at)++;
    if (letter != 'u') {
        const char *named = strchr(letters, letter);
        to[0] = named ? values[named - letters] : letter;
        return 1;
    }
    uint32_t point = hex4(*at);
    *at += 4;
    if (point >= 0xD800 && point < 0xDC00) { /* its other half follows */
        point = 0x10000 + ((point - 0xD800) << 10) + (hex4(*at + 2) - 0xDC00);
        *at += 6;
    }
    return put_utf8(to, point);
}

static bool is_string(jrpc_slice value) {
    return value.size > 0 && *value.at == '"';
}

bool jrpc_is_sized(jrpc_slice string, const char *text, size_t left) {
    char letter[4];
    if (!is_string(string)) return false;
    for (const char *at = string.at + 1, *end = string.at + string.size - 1; at < end;) {
        size_t size = decode_next(&at, letter);
        if (size > left || memcmp(text, letter, size) != 0) return false;
        text += size;
        left -= size;
    }
    return left == 0;
}

bool jrpc_is(jrpc_slice string, const char *text) {
    return jrpc_is_sized(string, text, strlen(text));
}

bool jrpc_equals(jrpc_slice value, const char *word) {
    return value.size == strlen(word) && memcmp(value.at, word, value.size) == 0;
}

size_t jrpc_decode(jrpc_slice string, char *text, size_t room) {
    char letter[4];
    size_t count = 0;
    if (!is_string(string)) return SIZE_MAX;
    for (const char *at = string.at + 1, *end = string.at + string.size - 1; at < end;) {
        size_t size = decode_next(&at, letter);
        if (count + size >= room) return SIZE_MAX;
        memcpy(text + count, letter, size);
        count += size;
    }
    if (count >= room) return SIZE_MAX;
    text[count] = '\0';
    return count;
}

/* The places of a number's digits: how many stand before its point, its exponent counted in. */
static int32_t point_of(jrpc_slice number) {
    const char *at = number.at, *end = at + number.size;
    int32_t before = 0, exponent = 0;
    if (*at == '-') at++;
    for (; at < end && jrpc_is_digit(*at); at++) before++;
    while (at < end && (*at | 0x20) != 'e') at++;
    if (at++ >= end) return before;
    bool is_negative = *at == '-';
    if (is_negative || *at == '+') at++;
    for (; at < end; at++) {
        if (exponent < 100000) exponent = exponent * 10 + (*at - '0');
    }
    return before + (is_negative ? -exponent : exponent);
}

static bool is_number(jrpc_slice value) {
    return value.size > 0 && (*value.at == '-' || jrpc_is_digit(*value.at));
}

jrpc_precision jrpc_decimal(jrpc_slice number, int decimals, int32_t *value) {
    if (!is_number(number)) return JRPC_NO_NUMBER;
    bool is_negative = *number.at == '-', is_cut = false, is_big = false;
    uint32_t limit = is_negative ? 0x80000000u : 0x7FFFFFFFu, sum = 0;
    int32_t place = point_of(number) + decimals; /* of the next digit, counted from 1 */
    for (const char *at = number.at, *end = at + number.size; at < end || place > 0; at++) {
        uint32_t digit = 0; /* behind the last one come as many zeros as are wanted */
        if (at < end && (*at | 0x20) != 'e') {
            if (!jrpc_is_digit(*at)) continue;
            digit = (uint32_t)(*at - '0');
        } else {
            end = at;
            if (sum == 0 || is_big || place <= 0) break;
        }
        if (place-- <= 0) {
            is_cut = is_cut || digit != 0;
        } else if (sum > (limit - digit) / 10) {
            is_big = true;
        } else {
            sum = sum * 10 + digit;
        }
    }
    if (is_big) sum = limit;
    *value = is_negative ? (int32_t)(0u - sum) : (int32_t)sum;
    return is_big ? JRPC_TOO_BIG : is_cut ? JRPC_CUT : JRPC_EXACT;
}

bool jrpc_is_beyond_doubles(jrpc_slice number) {
    int32_t leading; /* digits; the largest double is 17.97…e307 */
    if (jrpc_decimal(number, -307, &leading) == JRPC_NO_NUMBER) return false;
    if (leading < 18 && leading > -18) return false;
    for (; number.size > 0; number.at++, number.size--) {
        if (*number.at == '.' || (*number.at | 0x20) == 'e') return true;
    }
    return false;
}
