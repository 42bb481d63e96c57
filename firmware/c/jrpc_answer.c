/* What leaves: responses, whole or entry by entry in a batch, and messages of our own. */
#include "jrpc_parts.h"

#include <string.h>

static void leave(jrpc_out *out, size_t rest) {
    const jrpc *rpc = out->context;
    rpc->config->send(rpc->config->send_context, out->bytes, out->used, rest);
    out->used = 0;
}

/* The size of a message, SIZE_MAX: it cannot be written. */
static size_t measure(jrpc *rpc, jrpc_writer write, void *context) {
    jrpc_out out = {.total = SIZE_MAX};
    rpc->is_writing = true;
    write(&out, context);
    rpc->is_writing = false;
    return out.is_broken ? SIZE_MAX : out.count;
}

/* Write a message that has been measured. One that got shorter ends in spaces. */
static void transmit(jrpc *rpc, jrpc_writer write, void *context, size_t size) {
    jrpc_out out = {.bytes = rpc->config->buffer, .room = rpc->config->buffer_size,
                    .total = size, .leave = leave, .context = rpc};
    rpc->is_writing = true;
    write(&out, context);
    while (out.count < size) jrpc_put(&out, " ");
    leave(&out, 0);
    rpc->is_writing = false;
}

static size_t limit_of(const jrpc *rpc) {
    const jrpc_config *config = rpc->config;
    size_t limit = config->max_message;
    bool is_whole = config->framing == JRPC_DATAGRAM || (rpc->batch && config->framing == JRPC_FRAME);
    if (is_whole && limit > config->buffer_size) limit = config->buffer_size;
    if (rpc->batch == NULL) return limit;
    return limit > rpc->batch->count + 2 ? limit - rpc->batch->count - 2 : 0; /* a comma and ] */
}

bool jrpc_emit(jrpc *rpc, jrpc_writer write, void *context) {
    if (rpc->batch != NULL || rpc->is_writing) return false;
    size_t size = measure(rpc, write, context);
    if (size > limit_of(rpc)) return false;
    transmit(rpc, write, context, size);
    return true;
}

void jrpc_begin_batch(jrpc *rpc, jrpc_out *out) {
    *out = (jrpc_out){.bytes = rpc->config->buffer, .room = rpc->config->buffer_size,
                      .total = SIZE_MAX, .context = rpc};
    if (rpc->config->framing == JRPC_STREAM) out->leave = leave;
    rpc->batch = out;
}

void jrpc_end_batch(jrpc *rpc) {
    jrpc_out *out = rpc->batch;
    rpc->batch = NULL;
    if (out->count == 0) return;
    jrpc_put(out, "]");
    leave(out, 0);
}

void jrpc_put_start(jrpc_out *out, bool is_jsonrpc2) {
    jrpc_put(out, is_jsonrpc2 ? "{\"jsonrpc\":\"2.0\"," : "{");
}

typedef struct {
    const jrpc_call *call;
    jrpc_body body;
} response;

static void put_error(jrpc_out *out, const jrpc_body *body) {
    jrpc_put(out, "\"error\":{\"code\":");
    jrpc_put_int(out, body->code);
    jrpc_put(out, ",\"message\":");
    jrpc_put_text(out, body->message);
    if (body->write != NULL) {
        jrpc_put(out, ",\"data\":");
        body->write(out, body->context);
    }
    jrpc_put(out, "}");
}

static void put_body(jrpc_out *out, const jrpc_body *body) {
    if (body->message != NULL) {
        put_error(out, body);
    } else {
        jrpc_put(out, "\"result\":");
        if (body->write != NULL) body->write(out, body->context);
        else jrpc_put(out, "null");
    }
}

static void write_response(jrpc_out *out, void *context) {
    response *reply = context;
    jrpc_put_start(out, reply->call->is_jsonrpc2);
    jrpc_put(out, "\"id\":");
    jrpc_put_slice(out, reply->call->of[JRPC_ID]);
    jrpc_put(out, ",");
    put_body(out, &reply->body);
    jrpc_put(out, "}");
}

typedef struct {
    size_t size, limit;
} excess;

static void write_excess(jrpc_out *out, void *context) {
    const excess *by = context;
    jrpc_put(out, "{\"size\":");
    jrpc_put_unsigned(out, (uint32_t)by->size);
    jrpc_put(out, ",\"limit\":");
    jrpc_put_unsigned(out, (uint32_t)by->limit);
    jrpc_put(out, "}");
}

/* The size of the response once it fits, having been made shorter; 0: it never will. */
static size_t fit(jrpc *rpc, response *reply, excess *by) {
    jrpc_body *body = &reply->body;
    size_t limit = limit_of(rpc);
    for (;;) {
        size_t size = measure(rpc, write_response, reply);
        if (size == SIZE_MAX) {
            *body = (jrpc_body){JRPC_INTERNAL_ERROR, "Internal error", NULL, NULL};
        } else if (size <= limit) {
            return size;
        } else if (body->message == NULL) {
            *by = (excess){size, limit};
            *body = (jrpc_body){JRPC_TOO_LARGE, "Too large", write_excess, by};
        } else if (body->write != NULL) {
            body->write = NULL;
        } else if (*body->message != '\0') {
            body->message = "";
        } else {
            return 0;
        }
    }
}

void jrpc_respond(jrpc_call *call, const jrpc_body *body) {
    jrpc *rpc = call->rpc;
    if (call->is_answered || call->of[JRPC_ID].size == 0) return;
    call->is_answered = true;
    excess by;
    response reply = {call, *body};
    size_t size = fit(rpc, &reply, &by);
    if (size == 0) {
        rpc->counts.dropped++;
    } else if (rpc->batch != NULL) {
        jrpc_put(rpc->batch, rpc->batch->count > 0 ? "," : "[");
        write_response(rpc->batch, &reply);
    } else {
        transmit(rpc, write_response, &reply, size);
    }
    if (call->entry != NULL) rpc->config->lossy->keep(call, &reply.body);
    if (call->pending != NULL) rpc->config->later->release(call);
}

void jrpc_return(jrpc_call *call, jrpc_writer write, void *context) {
    jrpc_respond(call, &(jrpc_body){.write = write, .context = context});
}

void jrpc_return_null(jrpc_call *call) {
    jrpc_return(call, NULL, NULL);
}

static void write_raw(jrpc_out *out, void *json) {
    jrpc_put(out, *(const char *const *)json);
}

void jrpc_return_json(jrpc_call *call, const char *json) {
    jrpc_return(call, write_raw, &json);
}

void jrpc_fail(jrpc_call *call, int32_t code, const char *message, const char *data) {
    jrpc_body body = {code, message, data ? write_raw : NULL, &data};
    jrpc_respond(call, &body);
}

/* ---- Messages of our own ---- */

void jrpc_put_method(jrpc_out *out, const jrpc *rpc, const char *method) {
    jrpc_put_start(out, rpc->has_heard ? rpc->is_jsonrpc2 : rpc->config->is_jsonrpc2);
    jrpc_put(out, "\"method\":");
    jrpc_put_text(out, method);
}

void jrpc_put_params(jrpc_out *out, jrpc_writer params, void *context) {
    if (params == NULL) return;
    jrpc_put(out, ",\"params\":");
    params(out, context);
}

typedef struct {
    const jrpc *rpc;
    const char *method;
    jrpc_writer params;
    void *context;
} notification;

static void write_notification(jrpc_out *out, void *context) {
    const notification *message = context;
    jrpc_put_method(out, message->rpc, message->method);
    jrpc_put_params(out, message->params, message->context);
    jrpc_put(out, "}");
}

bool jrpc_notify(jrpc *rpc, const char *method, jrpc_writer params, void *context) {
    notification message = {rpc, method, params, context};
    return jrpc_emit(rpc, write_notification, &message);
}
