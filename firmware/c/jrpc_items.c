/* Lists as results. */
#include "jrpc_parts.h"

typedef struct {
    jrpc_items write;
    void *context;
} list;

static void write_list(jrpc_out *out, void *context) {
    const list *items = context;
    jrpc_put(out, "[");
    for (uint32_t index = 0;; index++) {
        if (index > 0) out->before = ",";
        if (!items->write(out, items->context, index)) break;
    }
    out->before = NULL;
    jrpc_put(out, "]");
}

void jrpc_return_items(jrpc_call *call, jrpc_items write, void *context) {
    list items = {write, context};
    jrpc_return(call, write_list, &items);
}
