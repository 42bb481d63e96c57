#include "jrpc_lossy.h"
#include "jrpc_parts.h"

#include <string.h>

#define KEPT_MS 30000u
#define DOUBLED_MS 500u

enum { FREE, RUNNING, ANSWERED, CANCELLED };

typedef jrpc_remembered entry;

static entry *find(const jrpc *rpc, const uint32_t digest[2], bool is_cancellation) {
    for (size_t i = 0; i < rpc->config->remembered_count; i++) {
        entry *each = &rpc->config->remembered[i];
        if (each->state != FREE && (each->state == CANCELLED) == is_cancellation &&
            each->digest[0] == digest[0] && each->digest[1] == digest[1]) {
            return each;
        }
    }
    return NULL;
}

/* Forget what is too old, and find room. */
static entry *find_free(const jrpc *rpc) {
    entry *found = NULL;
    for (size_t i = 0; i < rpc->config->remembered_count; i++) {
        entry *each = &rpc->config->remembered[i];
        if (each->state != RUNNING && rpc->now - each->at > KEPT_MS) each->state = FREE;
        if (each->state == FREE) found = each;
    }
    return found;
}

static void poll(jrpc *rpc) {
    find_free(rpc);
}

static void write_listening(jrpc_out *out, void *milliseconds) {
    jrpc_put(out, "{\"listening\":");
    jrpc_put_decimal(out, *(const int32_t *)milliseconds, 3);
    jrpc_put(out, "}");
}

/* Say for how long this end knew what has run when the first copy came. */
static void say_unknown(jrpc_call *call, uint32_t came_at) {
    int32_t listening = (int32_t)((came_at - call->rpc->since) & INT32_MAX);
    jrpc_body body = {JRPC_OUTCOME_UNKNOWN, "not known whether it ran", write_listening, &listening};
    jrpc_respond(call, &body);
}

static void write_kept(jrpc_out *out, void *known) {
    const entry *from = known;
    jrpc_put_slice(out, (jrpc_slice){from->reply, from->size});
}

/* Answer as the first time. */
static void answer_again(jrpc_call *call, entry *known) {
    if (known->is_error && known->code == JRPC_OUTCOME_UNKNOWN) {
        say_unknown(call, known->at);
    } else if (known->is_error) {
        jrpc_fail(call, known->code, known->reply, NULL);
    } else if (known->size == UINT8_MAX) {
        jrpc_fail(call, JRPC_INTERNAL_ERROR, "reply no longer held", NULL);
    } else {
        jrpc_return(call, write_kept, known);
    }
}

/* Whether it is the same request again; then it has been dealt with. */
static bool is_copy(jrpc_call *call, entry *known) {
    bool is_running = known->state == RUNNING; /* its answer will do for both */
    bool is_doubled = call->rpc->now - known->at <= DOUBLED_MS;
    bool is_late = jrpc_is_extended(call) || known->is_extended; /* such an id is used only once */
    if (!is_running && !is_doubled && !is_late) return false;
    known->is_extended = is_late;
    call->rpc->counts.repeated++;
    if (!is_running) answer_again(call, known);
    return true;
}

/* What a cancellation is remembered by. */
static void digest_id(jrpc *rpc, jrpc_slice id, uint32_t value[2]) {
    jrpc_call nameless = {.rpc = rpc, .of[JRPC_ID] = id};
    jrpc_digest_call(&nameless, value);
}

/* Answer a request that shall not run although it is new; false: it shall. */
static bool is_declined(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    uint32_t digest[2];
    digest_id(rpc, call->of[JRPC_ID], digest);
    entry *cancelled = find(rpc, digest, true);
    bool is_too_late = jrpc_patience(call) == 0;
    if (cancelled != NULL) {
        cancelled->state = FREE;
        jrpc_fail(call, JRPC_CANCELLED, "Cancelled", NULL);
    } else if (jrpc_wants(call, JRPC_RETRY) && (is_too_late || !rpc->has_settled)) {
        say_unknown(call, rpc->now);
    } else if (is_too_late) {
        jrpc_fail(call, JRPC_DEADLINE_EXCEEDED, "Deadline exceeded", NULL);
    }
    return call->is_answered;
}

static bool admit(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    uint32_t digest[2];
    if (call->method->flags & JRPC_IDEMPOTENT) return jrpc_patience(call) > 0 || !is_declined(call);
    entry *free = find_free(rpc);
    jrpc_digest_call(call, digest);
    entry *known = find(rpc, digest, false);
    if (known != NULL && is_copy(call, known)) return false;
    if (known != NULL) free = known; /* a script, which always uses the same id */
    if (free == NULL) {
        rpc->counts.busy++;
        jrpc_fail(call, JRPC_BUSY, "Busy", "{\"retry_after\":1}");
        return false;
    }
    memcpy(free->digest, digest, sizeof digest);
    free->state = RUNNING;
    free->is_extended = jrpc_is_extended(call);
    call->entry = free;
    return !is_declined(call);
}

/* Keep a result, or of an error its code and, if there is room, its message. */
static void keep(jrpc_call *call, const jrpc_body *body) {
    entry *to = call->entry;
    jrpc_out out = {.bytes = to->reply, .room = sizeof to->reply, .total = SIZE_MAX};
    memset(to->reply, 0, sizeof to->reply); /* a message ends with a zero */
    to->is_error = body->message != NULL;
    if (to->is_error) jrpc_put(&out, body->message);
    else if (body->write != NULL) body->write(&out, body->context);
    else jrpc_put(&out, "null");
    if (to->is_error && out.count >= sizeof to->reply) to->reply[0] = '\0';
    to->code = body->code;
    to->size = out.count <= sizeof to->reply ? (uint8_t)out.count : UINT8_MAX;
    to->state = ANSWERED;
    to->at = call->rpc->now;
}

static void cancel(jrpc *rpc, jrpc_slice id) {
    entry *free = find_free(rpc);
    if (free == NULL) return;
    digest_id(rpc, id, free->digest);
    free->state = CANCELLED;
    free->at = rpc->now;
}

const struct jrpc_lossy_part jrpc_lossy = {admit, keep, cancel, jrpc_digest_call, poll};
