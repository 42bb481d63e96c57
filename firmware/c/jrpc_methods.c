/* The methods that every peer has, and finding those that yours has. */
#include "jrpc_parts.h"

#include <string.h>

/* Who answers says by it that it runs a copy of a request no second time. */
static void run_ping(jrpc_call *call) {
    const jrpc_config *config = call->rpc->config;
    if (config->is_lossy && config->lossy == NULL) {
        jrpc_fail(call, JRPC_METHOD_NOT_FOUND, "Method not found", NULL);
    } else {
        jrpc_return_bool(call, true);
    }
}

static bool write_name(jrpc_out *out, void *context, uint32_t index);

static void run_methods(jrpc_call *call) {
    jrpc_return_items(call, write_name, call->rpc);
}

static void run_cancel(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    jrpc_slice id = jrpc_param(call, "id");
    rpc->knowledge = JRPC_KNOWS;
    if (id.size == 0 || (rpc->config->later != NULL && rpc->config->later->cancel(rpc, id))) return;
    if (rpc->config->lossy != NULL) rpc->config->lossy->cancel(rpc, id);
}

static void run_more(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    rpc->knowledge = JRPC_KNOWS;
    if (rpc->config->later != NULL) rpc->config->later->more(call, jrpc_param(call, "id"));
}

static const jrpc_method builtins[] = {
    {"rpc.cancel", run_cancel, "id", JRPC_NOTIFICATION},
    {"rpc.methods", run_methods, "", JRPC_IDEMPOTENT},
    {"rpc.more", run_more, "id upto missing", JRPC_NOTIFICATION},
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

/* The names in order: each is the least of those that come behind the one before. */
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
    if (call->wants_stream && later != NULL && later->stream(call, write, context)) return;
    jrpc_return(call, write_list, &items);
}
