#include "jrpc_later.h"
#include "jrpc_parts.h"

#include <string.h>

#define FIRST_CREDIT 8
#define MOST_MISSING 16 /* that one message may ask for: else a small one could bring many large ones */
#define PATIENCE_MS 30000u /* for a reader that says nothing; and for items that it may ask for again */

typedef jrpc_pending pending;

static jrpc_slice id_of(const pending *each) {
    return (jrpc_slice){each->id, each->id_size};
}

/* The call of a pending request, as if it had just come. */
static jrpc_call call_of(jrpc *rpc, pending *each) {
    return (jrpc_call){.rpc = rpc, .of[JRPC_ID] = id_of(each), .entry = each->entry, .pending = each,
                       .is_jsonrpc2 = each->is_jsonrpc2};
}

static void fail(jrpc *rpc, pending *each, int32_t code, const char *message) {
    jrpc_call call = call_of(rpc, each);
    each->code = code;
    jrpc_fail(&call, code, message, NULL);
}

/* An entry that is free, or else that of the stream which ended first. */
static pending *find_free(const jrpc *rpc) {
    pending *found = NULL;
    for (size_t i = 0; i < rpc->config->pending_count; i++) {
        pending *each = &rpc->config->pending[i];
        if (each->token == 0) return each;
        bool is_older = found == NULL || rpc->now - each->heard_at > rpc->now - found->heard_at;
        if (each->is_over && is_older) found = each;
    }
    return found;
}

/* The request that it is a copy of: one that waits, whose answer will do for both, or a stream that has
 * ended. The copies of others than idempotent ones do not come this far. */
static pending *original_of(jrpc_call *call) {
    const jrpc_config *config = call->rpc->config;
    uint32_t digest[2];
    if (config->lossy == NULL) return NULL;
    config->lossy->digest(call, digest);
    for (size_t i = 0; i < config->pending_count; i++) {
        pending *each = &config->pending[i];
        if (each->token == 0 || memcmp(each->digest, digest, sizeof digest) != 0) continue;
        call->rpc->counts.repeated++;
        call->pending = each;
        return each;
    }
    return NULL;
}

/* Begin to answer later; NULL: there is no room for it. */
static pending *begin(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    pending *each = find_free(rpc);
    if (each == NULL || call->of[JRPC_ID].size > sizeof each->id || rpc->batch != NULL) return NULL;
    memset(each, 0, sizeof *each);
    rpc->next_token += rpc->next_token == UINT32_MAX ? 2 : 1; /* never 0 */
    each->token = rpc->next_token;
    each->entry = call->entry;
    if (rpc->config->lossy != NULL) rpc->config->lossy->digest(call, each->digest);
    each->since = each->heard_at = rpc->now;
    each->timeout_ms = jrpc_patience(call);
    each->is_jsonrpc2 = call->is_jsonrpc2;
    each->id_size = (uint8_t)call->of[JRPC_ID].size;
    memcpy(each->id, call->of[JRPC_ID].at, call->of[JRPC_ID].size);
    call->pending = each;
    return each;
}

uint32_t jrpc_answer_later(jrpc_call *call) {
    if (call->of[JRPC_ID].size == 0 || call->is_answered || original_of(call)) return 0;
    pending *each = begin(call);
    if (each != NULL) return each->token;
    call->rpc->counts.busy++;
    bool is_long = call->of[JRPC_ID].size > JRPC_ID_BYTES;
    jrpc_fail(call, is_long ? JRPC_INVALID_REQUEST : JRPC_BUSY, is_long ? "id too long" : "Busy", NULL);
    return 0;
}

bool jrpc_resume(jrpc *rpc, uint32_t token, jrpc_call *call) {
    for (size_t i = 0; i < rpc->config->pending_count; i++) {
        pending *each = &rpc->config->pending[i];
        if (token != 0 && each->token == token && each->items == NULL) {
            *call = call_of(rpc, each);
            return true;
        }
    }
    return false;
}

/* It has been answered: what remains of a stream is for who lacks some of its items. */
static void release(jrpc_call *call) {
    pending *each = call->pending;
    if (each->items != NULL && call->rpc->config->is_lossy) {
        each->is_over = true;
        each->heard_at = call->rpc->now;
    } else {
        each->token = 0;
    }
}

/* ---- Streams ---- */

typedef struct {
    const pending *stream;
    uint32_t index;
    bool has_ended;
} item;

static void write_item(jrpc_out *out, void *context) {
    item *each = context;
    const pending *stream = each->stream;
    jrpc_put_start(out, stream->is_jsonrpc2);
    jrpc_put(out, "\"method\":\"rpc.item\",\"params\":{\"id\":");
    jrpc_put_slice(out, id_of(stream));
    jrpc_put(out, ",\"seq\":");
    jrpc_put_unsigned(out, each->index);
    jrpc_put(out, ",\"item\":");
    each->has_ended = !stream->items(out, stream->context, each->index);
    if (each->has_ended) out->is_broken = true;
    jrpc_put(out, "}}");
}

static void write_count(jrpc_out *out, void *stream) {
    jrpc_put(out, "{\"count\":");
    jrpc_put_unsigned(out, ((const pending *)stream)->next);
    jrpc_put(out, "}");
}

/* Whether there is another item: who has all of them need not say that there is room for more. */
static bool has_next(const pending *stream) {
    jrpc_out nowhere = {.total = SIZE_MAX};
    return stream->items(&nowhere, stream->context, stream->next);
}

/* Send items as far as there is credit, and when there are no more, the result. */
static void go_on(jrpc *rpc, pending *stream) {
    while (!stream->is_over && stream->token != 0 && rpc->batch == NULL) {
        item next = {stream, stream->next, false};
        if (stream->next >= stream->upto && has_next(stream)) return;
        if (jrpc_emit(rpc, write_item, &next)) {
            stream->next++;
        } else if (next.has_ended) {
            jrpc_call call = call_of(rpc, stream);
            jrpc_return(&call, write_count, stream);
        } else {
            fail(rpc, stream, JRPC_TOO_LARGE, "Too large");
        }
    }
}

static pending *find(const jrpc *rpc, jrpc_slice id, bool is_over) {
    for (size_t i = 0; i < rpc->config->pending_count; i++) {
        pending *each = &rpc->config->pending[i];
        if (each->token != 0 && each->is_over == is_over && each->id_size == id.size &&
            memcmp(each->id, id.at, id.size) == 0) {
            return each;
        }
    }
    return NULL;
}

/* Answer a copy of a request whose stream has ended: begun anew, it would be in the way of the items
 * that may be asked for still. */
static void end_again(jrpc_call *call, pending *stream) {
    if (stream->code == 0) jrpc_return(call, write_count, stream);
    else jrpc_fail(call, stream->code, "The stream has ended", NULL);
}

static bool begin_stream(jrpc_call *call, jrpc_items write, void *context) {
    if (call->of[JRPC_ID].size == 0) return false;
    pending *stream = original_of(call);
    if (stream != NULL) {
        if (stream->is_over) end_again(call, stream);
        return true;
    }
    stream = begin(call);
    if (stream == NULL) return false;
    stream->items = write;
    stream->context = context;
    stream->upto = FIRST_CREDIT;
    go_on(call->rpc, stream);
    return true;
}

static void send_again(jrpc *rpc, const pending *stream, jrpc_slice missing) {
    jrpc_each each = jrpc_begin(missing);
    int32_t index;
    for (unsigned left = MOST_MISSING; left > 0 && jrpc_next(&each); left--) {
        bool is_index = jrpc_decimal(each.value, 0, &index) == JRPC_EXACT && index >= 0;
        if (!is_index || (uint32_t)index >= stream->next) continue;
        item lost = {stream, (uint32_t)index, false};
        jrpc_emit(rpc, write_item, &lost);
    }
}

/* rpc.more(id, upto, missing) */
static void run_more(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    jrpc_slice id = jrpc_param(call, "id");
    pending *stream = find(rpc, id, false);
    rpc->knowledge = JRPC_KNOWS;
    if (stream == NULL) stream = find(rpc, id, true);
    if (stream == NULL || stream->items == NULL) return;
    int32_t upto = 0;
    jrpc_decimal(jrpc_param(call, "upto"), 0, &upto);
    if (upto > 0 && (uint32_t)upto > stream->upto) stream->upto = (uint32_t)upto;
    stream->heard_at = rpc->now;
    if (rpc->config->is_lossy) send_again(rpc, stream, jrpc_param(call, "missing"));
    go_on(rpc, stream);
}

/* rpc.cancel(id), of a request that waits, or that has not come yet. */
static void run_cancel(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    jrpc_slice id = jrpc_param(call, "id");
    pending *each = find(rpc, id, false);
    rpc->knowledge = JRPC_KNOWS;
    if (each != NULL) fail(rpc, each, JRPC_CANCELLED, "Cancelled");
    else if (id.size > 0 && rpc->config->lossy != NULL) rpc->config->lossy->cancel(rpc, id);
}

static const jrpc_method methods[] = {
    {"rpc.cancel", run_cancel, NULL, JRPC_NOTIFICATION},
    {"rpc.more", run_more, NULL, JRPC_NOTIFICATION},
};

static void poll(jrpc *rpc) {
    for (size_t i = 0; i < rpc->config->pending_count; i++) {
        pending *each = &rpc->config->pending[i];
        bool is_silent = each->items != NULL && rpc->now - each->heard_at >= PATIENCE_MS;
        if (each->token == 0) continue;
        if (each->is_over) {
            if (is_silent) each->token = 0;
        } else if (rpc->now - each->since >= each->timeout_ms) {
            fail(rpc, each, JRPC_DEADLINE_EXCEEDED, "Deadline exceeded");
        } else if (is_silent) {
            fail(rpc, each, JRPC_CANCELLED, "The reader is gone");
        } else if (each->items != NULL && each->next < each->upto) {
            go_on(rpc, each);
        }
    }
}

const struct jrpc_later_part jrpc_later = {
    begin_stream, release, poll, methods, sizeof methods / sizeof *methods,
};
