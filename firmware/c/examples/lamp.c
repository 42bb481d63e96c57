#include "lamp.h"

#include "jrpc_calls.h"
#include "jrpc_later.h"

#define REMEMBERED 100 /* levels */
#define BLINK_MS 50u

static int32_t level;
static int32_t history[REMEMBERED];
static uint32_t history_count;

static void set_level(int32_t to) {
    level = to;
    history[history_count++ % REMEMBERED] = to;
}

/* lamp.set(level): sets it, and returns the one before. Since a second run would return something
 * else, it is not marked as idempotent. */
static void run_set(jrpc_call *call) {
    int32_t wanted, previous = level;
    if (!jrpc_int_within(call, "level", 0, 100, &wanted)) return;
    set_level(wanted);
    jrpc_return_int(call, previous);
}

static void write_change(jrpc_out *out, void *to) {
    jrpc_put(out, "{\"on\":");
    jrpc_put_bool(out, *(const int32_t *)to > 0);
    jrpc_put(out, "}");
}

/* lamp.toggle(): whether it is on then, of which `lamp.changed` tells, too. */
static void run_toggle(jrpc_call *call) {
    set_level(level > 0 ? 0 : 100);
    jrpc_notify(call->rpc, "lamp.changed", write_change, &level);
    jrpc_return_bool(call, level > 0);
}

/* lamp.get(): the level. */
static void run_get(jrpc_call *call) {
    jrpc_return_int(call, level);
}

static bool write_level(jrpc_out *out, void *context, uint32_t index) {
    const uint32_t *count = context;
    bool is_there = index < *count && index < REMEMBERED;
    uint32_t oldest = *count > REMEMBERED ? *count - REMEMBERED : 0;
    if (is_there) jrpc_put_int(out, history[(oldest + index) % REMEMBERED]);
    return is_there;
}

/* lamp.history(): the last hundred levels, oldest first. */
static void run_history(jrpc_call *call) {
    jrpc_return_items(call, write_level, &history_count);
}

static void write_slice(jrpc_out *out, void *slice) {
    jrpc_put_slice(out, *(const jrpc_slice *)slice);
}

/* echo(value): the same again. */
static void run_echo(jrpc_call *call) {
    jrpc_slice value;
    if (jrpc_any(call, "value", &value)) jrpc_return(call, write_slice, &value);
}

/* ---- What takes time: the token of the call is kept, and the call made again when it is over ---- */

static struct {
    jrpc *rpc;
    uint32_t token, since, last;
} blinking;

/* lamp.blink(times): returns when it has. One at a time. */
static void run_blink(jrpc_call *call) {
    int32_t times;
    if (!jrpc_int_within(call, "times", 1, 1000, &times)) return;
    lamp_poll(call->rpc->now);
    if (blinking.token != 0) {
        jrpc_fail(call, JRPC_BUSY, "It blinks already", NULL);
        return;
    }
    blinking.rpc = call->rpc;
    blinking.since = call->rpc->now;
    blinking.last = BLINK_MS * (uint32_t)times;
    blinking.token = jrpc_answer_later(call);
}

void lamp_poll(uint32_t now) {
    jrpc_call call;
    if (blinking.token == 0) return;
    if (!jrpc_resume(blinking.rpc, blinking.token, &call)) {
        blinking.token = 0; /* nobody waits any more */
    } else if (now - blinking.since >= blinking.last) {
        blinking.token = 0;
        jrpc_return_null(&call);
    }
}

/* ---- Asking the other end ---- */

typedef struct {
    jrpc *rpc;
    uint32_t token; /* of the call that waits for the time; 0: this place is free */
} question;

static question questions[4];

static void take_time(void *context, const jrpc_outcome *outcome) {
    jrpc_call call;
    question *asked = context;
    jrpc_slice result = outcome->result;
    bool is_awaited = jrpc_resume(asked->rpc, asked->token, &call);
    asked->token = 0;
    if (!is_awaited) return;
    if (result.size > 0) jrpc_return(&call, write_slice, &result);
    else jrpc_fail(&call, JRPC_SERVER_ERROR, "The other end does not tell the time", NULL);
}

/* lamp.clock(): the time, of which the caller itself is asked: its method `clock.now`. */
static void run_clock(jrpc_call *call) {
    question *free = questions, *end = questions + sizeof questions / sizeof *questions;
    while (free < end && free->token != 0) free++;
    if (free == end) {
        jrpc_fail(call, JRPC_BUSY, "Busy", NULL);
        return;
    }
    jrpc_request request = {
        .method = "clock.now", .on_reply = take_time, .context = free, .timeout_ms = 20000,
        .is_idempotent = true,
    };
    free->rpc = call->rpc;
    free->token = jrpc_answer_later(call);
    if (free->token != 0 && !jrpc_send_request(call->rpc, &request)) {
        free->token = 0;
        jrpc_fail(call, JRPC_BUSY, "Busy", NULL);
    }
}

const jrpc_method lamp_methods[] = {
    {"echo", run_echo, "value", JRPC_IDEMPOTENT},
    {"lamp.blink", run_blink, "times", 0},
    {"lamp.clock", run_clock, "", JRPC_IDEMPOTENT},
    {"lamp.get", run_get, "", JRPC_IDEMPOTENT},
    {"lamp.history", run_history, "", JRPC_IDEMPOTENT},
    {"lamp.set", run_set, "level", 0},
    {"lamp.toggle", run_toggle, "", 0},
};
const size_t lamp_method_count = sizeof lamp_methods / sizeof *lamp_methods;
