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

void jrpc_refuse_param(jrpc_call *call, jrpc_slice name, const char *expected, const int32_t *bounds) {
    problem about = {name, expected, bounds};
    jrpc_body body = {JRPC_INVALID_PARAMS, "Invalid params", write_problem, &about};
    jrpc_respond(call, &body);
}

bool jrpc_check_params(jrpc_call *call) {
    const char *names = call->method->params;
    if (names == NULL) return true;
    jrpc_each each = jrpc_begin(call->of[JRPC_PARAMS]);
    while (jrpc_next(&each)) {
        bool is_known = each.is_object ? has_name(names, each.key) : take_name(&names).size > 0;
        if (is_known) continue;
        jrpc_slice name = each.key;
        if (each.is_object) name = (jrpc_slice){name.at + 1, name.size - 2}; /* without its quotes */
        jrpc_refuse_param(call, name, "nothing", NULL);
        return false;
    }
    return true;
}
