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

static jrpc_slice find(const jrpc_call *call, const char *name) {
    jrpc_slice params = call->params;
    if (params.size == 0 || *params.at == '{') return jrpc_member(params, name);
    return element(params, call->method->params ? call->method->params : "", name);
}

typedef struct {
    const char *name, *expected; /* `expected` NULL: not this param at all */
    jrpc_slice key;              /* instead of `name`, as it came */
    bool is_int;
    int32_t least, most;
} problem;

static void write_problem(jrpc_out *out, void *context) {
    const problem *about = context;
    jrpc_put(out, "{\"path\":\"$.");
    if (about->key.size > 2) {
        jrpc_put_slice(out, (jrpc_slice){about->key.at + 1, about->key.size - 2});
    } else if (about->name != NULL) {
        jrpc_put(out, about->name);
    }
    jrpc_put(out, "\",\"message\":\"Expected ");
    jrpc_put(out, about->expected);
    if (about->is_int) {
        jrpc_put(out, " from ");
        jrpc_put_int(out, about->least);
        jrpc_put(out, " to ");
        jrpc_put_int(out, about->most);
    }
    jrpc_put(out, "\"}");
}

static bool refuse(jrpc_call *call, problem about) {
    jrpc_respond(call, &(jrpc_body){true, JRPC_INVALID_PARAMS, "Invalid params", write_problem, &about});
    return false;
}

void jrpc_refuse(jrpc_call *call, const char *name, const char *expected) {
    refuse(call, (problem){.name = name, .expected = expected});
}

bool jrpc_check_params(jrpc_call *call) {
    const char *names = call->method->params;
    if (names == NULL) return true;
    word name;
    jrpc_each each = jrpc_begin(call->params);
    while (jrpc_next(&each)) {
        bool is_known = each.is_object ? is_named(names, each.key) : next_name(&names, &name);
        if (!is_known) return refuse(call, (problem){.key = each.key, .expected = "nothing"});
    }
    return true;
}

bool jrpc_has(const jrpc_call *call, const char *name) {
    jrpc_slice value = find(call, name);
    return value.size > 0 && !jrpc_equals(value, "null");
}

bool jrpc_any(jrpc_call *call, const char *name, jrpc_slice *value) {
    *value = find(call, name);
    return value->size > 0 || refuse(call, (problem){.name = name, .expected = "a value"});
}

bool jrpc_fixed(jrpc_call *call, const char *name, int decimals, int32_t *value) {
    if (jrpc_decimal(find(call, name), decimals, value) == JRPC_EXACT) return true;
    return refuse(call, (problem){.name = name, .expected = decimals ? "a number" : "an int"});
}

bool jrpc_int(jrpc_call *call, const char *name, int32_t *value) {
    return jrpc_fixed(call, name, 0, value);
}

bool jrpc_int_within(jrpc_call *call, const char *name, int32_t least, int32_t most, int32_t *value) {
    int32_t found;
    bool is_int = jrpc_decimal(find(call, name), 0, &found) == JRPC_EXACT;
    if (!is_int || found < least || found > most) {
        return refuse(call, (problem){name, "an int", {NULL, 0}, true, least, most});
    }
    *value = found;
    return true;
}

bool jrpc_bool(jrpc_call *call, const char *name, bool *value) {
    jrpc_slice found = find(call, name);
    *value = jrpc_equals(found, "true");
    return *value || jrpc_equals(found, "false") ||
           refuse(call, (problem){.name = name, .expected = "a bool"});
}

bool jrpc_text(jrpc_call *call, const char *name, char *text, size_t room) {
    if (jrpc_decode(find(call, name), text, room) != SIZE_MAX) return true;
    return refuse(call, (problem){.name = name, .expected = "a str, and not so long a one"});
}
