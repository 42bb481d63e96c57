/* The params of a call, by name or by place. */
#include "jrpc_parts.h"

#include <string.h>

/* The next name of a list such as "level fade"; size 0: there is none. */
static jrpc_slice take_name(const char **names) {
    jrpc_slice name = {*names, strcspn(*names, " ")};
    *names += name.size;
    if (**names == ' ') ++*names;
    return name;
}

static bool has_name(const char *names, jrpc_slice key) {
    while (*names != '\0') {
        jrpc_slice name = take_name(&names);
        if (jrpc_is_sized(key, name.at, name.size)) return true;
    }
    return false;
}

jrpc_slice jrpc_param(const jrpc_call *call, const char *name) {
    jrpc_slice found = {NULL, 0};
    const char *names = call->method->params ? call->method->params : "";
    jrpc_each each = jrpc_begin(call->of[JRPC_PARAMS]);
    while (jrpc_next(&each)) {
        bool is_it = each.is_object ? jrpc_is(each.key, name) : jrpc_equals(take_name(&names), name);
        if (is_it) found = each.value;
    }
    return found;
}

/* What is wrong with a param. */
typedef struct {
    jrpc_slice name;
    const char *expected;
    const int32_t *bounds; /* the least and the most, NULL: none */
} problem;

static void write_problem(jrpc_out *out, void *context) {
    const problem *about = context;
    jrpc_put(out, "{\"path\":\"$.");
    jrpc_put_slice(out, about->name);
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
    jrpc_body body = {JRPC_INVALID_PARAMS, "Invalid params", write_problem, about};
    jrpc_respond(call, &body);
}

void jrpc_refuse(jrpc_call *call, const char *name, const char *expected) {
    problem about = {{name, strlen(name)}, expected, NULL};
    refuse(call, &about);
}

bool jrpc_check_params(jrpc_call *call) {
    const char *names = call->method->params;
    if (names == NULL) return true;
    jrpc_each each = jrpc_begin(call->of[JRPC_PARAMS]);
    while (jrpc_next(&each)) {
        bool is_known = each.is_object ? has_name(names, each.key) : take_name(&names).size > 0;
        if (!is_known) {
            problem about = {each.key, "nothing", NULL};
            if (each.is_object) about.name = (jrpc_slice){each.key.at + 1, each.key.size - 2};
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
    problem about = {{name, strlen(name)}, "an int", bounds};
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
