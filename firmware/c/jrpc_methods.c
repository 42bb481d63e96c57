/* The methods that every peer has, and finding those that yours has. */
#include "jrpc_parts.h"

#include <string.h>

static void run_ping(jrpc_call *call) {
    jrpc_return_bool(call, true);
}

/* The names are sorted as they are written: the one with that index is the least of those above the
 * one before. */
static bool write_name(jrpc_out *out, void *context, uint32_t index);

static void run_methods(jrpc_call *call) {
    jrpc_return_items(call, write_name, call->rpc);
}

static const jrpc_method builtins[] = {
    {"rpc.methods", run_methods, "", JRPC_IDEMPOTENT},
    {"rpc.ping", run_ping, "", JRPC_IDEMPOTENT},
};

enum { BUILTINS = sizeof builtins / sizeof *builtins };

static size_t count_methods(const jrpc *rpc) {
    return rpc->config->method_count + BUILTINS;
}

static const jrpc_method *method_at(const jrpc *rpc, size_t index) {
    size_t count = rpc->config->method_count;
    return index < count ? &rpc->config->methods[index] : &builtins[index - count];
}

const jrpc_method *jrpc_find_method(const jrpc *rpc, jrpc_slice name) {
    for (size_t i = 0; i < count_methods(rpc); i++) {
        if (jrpc_is(name, method_at(rpc, i)->name)) return method_at(rpc, i);
    }
    return NULL;
}

static bool write_name(jrpc_out *out, void *context, uint32_t index) {
    const jrpc *rpc = context;
    const char *last = "", *next = NULL;
    do {
        next = NULL;
        for (size_t i = 0; i < count_methods(rpc); i++) {
            const jrpc_method *method = method_at(rpc, i);
            bool is_later = strcmp(method->name, last) > 0 && !(method->flags & JRPC_NOTIFICATION);
            if (is_later && (next == NULL || strcmp(method->name, next) < 0)) next = method->name;
        }
        last = next;
    } while (next != NULL && index-- > 0);
    if (next != NULL) jrpc_put_text(out, next);
    return next != NULL;
}
