/* The params of a call, by name or by place. */
#include "jrpc_parts.h"

#include <string.h>

typedef struct {
    const char *at;
    size_t size;
} word;

/* The next name of a list such as "level fade". */
static bool next_name(const char **names, word *name) {
    while (**names == ' ') ++*names;
    *name = (word){*names, strcspn(*names, " ")};
    *names += name->size;
    return name->size > 0;
}

static bool is_named(const char *names, jrpc_slice key) {
    word name;
    while (next_name(&names, &name)) {
        if (jrpc_is_sized(key, name.at, name.size)) return true;
    }
    return false;
}

static jrpc_slice element(jrpc_slice array, const char *names, const char *wanted) {
    word name;
    jrpc_each each = jrpc_begin(array);
    while (next_name(&names, &name) && jrpc_next(&each)) {
        if (strlen(wanted) == name.size && memcmp(wanted, name.at, name.size) == 0) return each.value;
    }
    return (jrpc_slice){NULL, 0};
}

jrpc_slice jrpc_param(const jrpc_call *call, const char *name) {
    jrpc_slice params = call->params;
    if (params.size == 0 || *params.at == '{') return jrpc_member(params, name);
    return element(params, call->method->params ? call->method->params : "", name);
}

/* What is wrong with a param. */
typedef struct {
    const char *name;  /* NULL: it has a key that the method does not know, or a place too far behind */
    jrpc_slice key;
    const char *expected;
    const int32_t *bounds; /* the least and the most, NULL: none */
} problem;

static void write_problem(jrpc_out *out, void *context) {
    const problem *about = context;
    jrpc_put(out, "{\"path\":\"$.");
    if (about->name != NULL) {
        jrpc_put(out, about->name);
    } else if (about->key.size > 0) { /* without its quotes */
        jrpc_put_slice(out, (jrpc_slice){about->key.at + 1, about->key.size - 2});
    }
    jrpc_put(out, "\",\"message\":\"Expected ");
    jrpc_put(out, about->expected);
    if (about->bounds != NULL) {
        jrpc_put(out, " from ");
        jrpc_put_int(out, about->bounds[0]);
        jrpc_put(out, " to ");
        jrpc_put_int(out, about->bounds[1]);
    }
    jrpc_put(out, "\"}");
}

static void refuse(jrpc_call *call, problem *about) {
    jrpc_body body = {true, JRPC_INVALID_PARAMS, "Invalid params", write_problem, about};
    jrpc_respond(call, &body);
}

void jrpc_refuse(jrpc_call *call, const char *name, const char *expected) {
    problem about = {name, {NULL, 0}, expected, NULL};
    refuse(call, &about);
}

bool jrpc_check_params(jrpc_call *call) {
    const char *names = call->method->params;
    if (names == NULL) return true;
    word name;
    jrpc_each each = jrpc_begin(call->params);
    while (jrpc_next(&each)) {
        bool is_known = each.is_object ? is_named(names, each.key) : next_name(&names, &name);
        if (!is_known) {
            problem about = {NULL, each.key, "nothing", NULL};
            refuse(call, &about);
            return false;
        }
    }
    return true;
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
    problem about = {name, {NULL, 0}, "an int", bounds};
    refuse(call, &about);
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
