/* Params and results of the usual types, and what else programs use to read and write JSON. None of it
 * is needed by the core: a program links what it calls. */
#include "jrpc_parts.h"

#include <string.h>

/* ---- JSON ---- */

bool jrpc_check(jrpc_slice text) {
    const char *end = text.at + text.size;
    const char *at = jrpc_scan(text.at, end);
    return at != NULL && jrpc_skip_space(at, end) == end;
}

jrpc_slice jrpc_member(jrpc_slice object, const char *name) {
    jrpc_slice found = {NULL, 0};
    jrpc_each each = jrpc_begin(object);
    while (jrpc_next(&each)) {
        if (jrpc_is(each.key, name)) found = each.value;
    }
    return found;
}

size_t jrpc_decode(jrpc_slice string, char *text, size_t room) {
    char letter[4];
    size_t count = 0;
    if (!jrpc_is_string(string)) return SIZE_MAX;
    for (const char *at = string.at + 1, *end = string.at + string.size - 1; at < end;) {
        size_t size = jrpc_take_letter(&at, end, letter);
        if (count + size >= room) return SIZE_MAX;
        memcpy(text + count, letter, size);
        count += size;
    }
    if (count >= room) return SIZE_MAX;
    text[count] = '\0';
    return count;
}

void jrpc_write_json(jrpc_out *out, void *json) {
    jrpc_put(out, json);
}

void jrpc_put_bool(jrpc_out *out, bool value) {
    jrpc_put(out, value ? "true" : "false");
}

/* ---- Params ---- */

void jrpc_refuse(jrpc_call *call, const char *name, const char *expected) {
    jrpc_refuse_param(call, (jrpc_slice){name, strlen(name)}, expected, NULL);
}

bool jrpc_has(const jrpc_call *call, const char *name) {
    jrpc_slice value = jrpc_param(call, name);
    return value.size > 0 && !jrpc_equals(value, "null");
}

/* Say what was expected, unless it is there. */
static bool expect(bool is_there, jrpc_call *call, const char *name, const char *expected) {
    if (!is_there) jrpc_refuse(call, name, expected);
    return is_there;
}

bool jrpc_any(jrpc_call *call, const char *name, jrpc_slice *value) {
    *value = jrpc_param(call, name);
    return expect(value->size > 0, call, name, "a value");
}

bool jrpc_fixed(jrpc_call *call, const char *name, int decimals, int32_t *value) {
    bool is_there = jrpc_decimal(jrpc_param(call, name), decimals, value) == JRPC_EXACT;
    return expect(is_there, call, name, decimals ? "a number" : "an int");
}

bool jrpc_int(jrpc_call *call, const char *name, int32_t *value) {
    return jrpc_fixed(call, name, 0, value);
}

bool jrpc_int_within(jrpc_call *call, const char *name, int32_t least, int32_t most, int32_t *value) {
    const int32_t bounds[] = {least, most};
    bool is_int = jrpc_decimal(jrpc_param(call, name), 0, value) == JRPC_EXACT;
    if (is_int && *value >= least && *value <= most) return true;
    jrpc_refuse_param(call, (jrpc_slice){name, strlen(name)}, "an int", bounds);
    return false;
}

bool jrpc_bool(jrpc_call *call, const char *name, bool *value) {
    jrpc_slice found = jrpc_param(call, name);
    *value = jrpc_equals(found, "true");
    return expect(*value || jrpc_equals(found, "false"), call, name, "a bool");
}

bool jrpc_text(jrpc_call *call, const char *name, char *text, size_t room) {
    bool fits = jrpc_decode(jrpc_param(call, name), text, room) != SIZE_MAX;
    return expect(fits, call, name, "a str, and not so long a one");
}

/* ---- Results ---- */

void jrpc_return_bool(jrpc_call *call, bool value) {
    jrpc_return_json(call, value ? "true" : "false");
}

static void write_int(jrpc_out *out, void *value) {
    jrpc_put_int(out, *(const int32_t *)value);
}

void jrpc_return_int(jrpc_call *call, int32_t value) {
    jrpc_return(call, write_int, &value);
}

static void write_text(jrpc_out *out, void *text) {
    jrpc_put_text(out, *(const char *const *)text);
}

void jrpc_return_text(jrpc_call *call, const char *text) {
    jrpc_return(call, write_text, &text);
}
