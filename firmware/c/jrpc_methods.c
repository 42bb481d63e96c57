/* The methods that every peer has, and finding those that yours has. */
#include "jrpc_parts.h"

#include <string.h>

static void run_ping(jrpc_call *call) {
    jrpc_return_bool(call, true);
}

static bool write_name(jrpc_out *out, void *context, uint32_t index);

static void run_methods(jrpc_call *call) {
    jrpc_return_items(call, write_name, call->rpc);
}

static const jrpc_method builtins[] = {
    {"rpc.methods", run_methods, "", JRPC_IDEMPOTENT},
    {"rpc.ping", run_ping, "", JRPC_IDEMPOTENT},
};

/* The methods: ours, yours, and those of the part that answers later. NULL: there are no more. */
static const jrpc_method *method_at(const jrpc *rpc, size_t index) {
    const jrpc_config *config = rpc->config;
    const size_t ours = sizeof builtins / sizeof *builtins;
    if (index < ours) return &builtins[index];
    index -= ours;
    if (index < config->method_count) return &config->methods[index];
    index -= config->method_count;
    return config->later != NULL && index < config->later->method_count ? &config->later->methods[index] : NULL;
}

const jrpc_method *jrpc_find_method(const jrpc *rpc, jrpc_slice name) {
    const jrpc_method *method;
    for (size_t i = 0; (method = method_at(rpc, i)) != NULL && !jrpc_is(name, method->name);) i++;
    return method;
}

/* The names in order: each is the least of those that come behind the one before. */
static bool write_name(jrpc_out *out, void *rpc, uint32_t index) {
    const jrpc_method *method;
    const char *last = "", *next;
    do {
        next = NULL;
        for (size_t i = 0; (method = method_at(rpc, i)) != NULL; i++) {
            if (method->flags & JRPC_NOTIFICATION || strcmp(method->name, last) <= 0) continue;
            if (next == NULL || strcmp(method->name, next) < 0) next = method->name;
        }
        last = next;
    } while (next != NULL && index-- > 0);
    if (next != NULL) jrpc_put_text(out, next);
    return next != NULL;
}

/* ---- Lists ---- */

typedef struct {
    jrpc_items write;
    void *context;
} list;

static void write_list(jrpc_out *out, void *context) {
    const list *items = context;
    jrpc_put(out, "[");
    for (uint32_t index = 0; items->write(out, items->context, index); index++) out->before = ",";
    out->before = NULL;
    jrpc_put(out, "]");
}

void jrpc_return_items(jrpc_call *call, jrpc_items write, void *context) {
    const struct jrpc_later_part *later = call->rpc->config->later;
    list items = {write, context};
    if (jrpc_wants(call, JRPC_STREAM_WISH) && later != NULL && later->stream(call, write, context)) return;
    jrpc_return(call, write_list, &items);
}
