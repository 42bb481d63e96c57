/* Reading JSON that was checked, and writing it. */
#include "jrpc_json.h"
#include "jrpc_parts.h"

#include <string.h>

jrpc_each jrpc_begin(jrpc_slice value) {
    jrpc_each each = {.is_object = value.size > 0 && *value.at == '{'};
    if (each.is_object || (value.size > 0 && *value.at == '[')) {
        each.at = value.at + 1;
        each.end = value.at + value.size - 1; /* the closing bracket */
    }
    return each;
}

/* The next value, behind the space and the comma or colon before it. */
static jrpc_slice take_value(jrpc_each *each) {
    const char *at = each->at;
    while (at < each->end && (*at == ',' || *at == ':' || *at <= ' ')) at++;
    each->at = at < each->end ? jrpc_scan(at, each->end) : at;
    return (jrpc_slice){at, (size_t)(each->at - at)};
}

bool jrpc_next(jrpc_each *each) {
    if (each->is_object) each->key = take_value(each);
    each->value = take_value(each);
    return each->value.size > 0;
}

bool jrpc_is_sized(jrpc_slice string, const char *text, size_t left) {
    char letter[4];
    if (!jrpc_is_string(string)) return false;
    for (const char *at = string.at + 1, *end = string.at + string.size - 1; at < end;) {
        size_t size = jrpc_take_letter(&at, end, letter);
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

static bool is_number(jrpc_slice value) {
    return value.size > 0 && (*value.at == '-' || jrpc_is_digit(*value.at));
}

/* What stands behind the e; up to 99,999 or a bit more. */
static int32_t read_exponent(const char *at, const char *end) {
    int32_t exponent = 0;
    bool is_negative = *at == '-';
    for (; at < end; at++) {
        if (jrpc_is_digit(*at) && exponent < 10000) exponent = exponent * 10 + (*at - '0');
    }
    return is_negative ? -exponent : exponent;
}

jrpc_precision jrpc_decimal(jrpc_slice number, int decimals, int32_t *value) {
    if (!is_number(number)) return JRPC_NO_NUMBER;
    const char *at = number.at, *end = at + number.size;
    bool is_negative = *at == '-', is_cut = false, has_point = false;
    uint32_t sum = 0, limit = INT32_MAX + (uint32_t)is_negative;
    for (at += is_negative; at < end && (*at | 0x20) != 'e'; at++) {
        uint32_t digit = (uint32_t)*at - '0';
        if (*at == '.') {
            has_point = true;
        } else if (sum <= (UINT32_MAX - 9) / 10) {
            sum = sum * 10 + digit;
            decimals -= has_point;
        } else { /* no room for it, but it may be far behind the point that the exponent sets */
            is_cut |= digit != 0;
            decimals += !has_point;
        }
    }
    if (at < end) decimals += read_exponent(at + 1, end);
    for (; decimals < 0 && sum > 0; decimals++, sum /= 10) is_cut |= sum % 10 != 0;
    for (; decimals > 0 && sum > 0 && sum <= limit; decimals--) {
        sum = sum <= limit / 10 ? sum * 10 : UINT32_MAX;
    }
    bool is_big = sum > limit;
    if (is_big) sum = limit;
    *value = (int32_t)(is_negative ? 0u - sum : sum);
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
