#include "jrpc_calls.h"
#include "jrpc_parts.h"

#include <string.h>

#define ECHO_MS 30000u
#define LATE_MS 25000u /* the other end may have run the first copy and forgotten it */
#define FIRST_RETRY_MS 500u /* where the config says nothing */
#define LONGEST_WAIT_MS 3600000u
#define LARGEST_ID 0x7FFFFFFFu

enum { FREE, OPEN, CLOSED };

static uint32_t take_id(jrpc *rpc) {
    uint32_t id = rpc->next_id;
    rpc->next_id = id == LARGEST_ID ? 1 : id + 1;
    return id;
}

/* ---- Sending ---- */

typedef struct {
    const jrpc *rpc;
    const jrpc_open *call;
    bool is_copy;
} sending;

/* What only an end that knows the extensions may get. */
static void put_extensions(jrpc_out *out, const sending *message) {
    const jrpc_open *call = message->call;
    uint32_t now = message->rpc->now;
    bool is_late = now - call->sent_at >= LATE_MS && !call->request.is_idempotent;
    if (is_late) {
        jrpc_put(out, ",\"timeout\":1e-9"); /* let nothing begin, but tell what came of it */
    } else {
        jrpc_put(out, ",\"timeout\":");
        jrpc_put_decimal(out, (int32_t)(call->request.timeout_ms - (now - call->begun_at)), 3);
    }
    if (message->is_copy) jrpc_put(out, ",\"retry\":true");
}

static void put_id(jrpc_out *out, uint32_t id) {
    jrpc_put(out, ",\"id\":");
    jrpc_put_unsigned(out, id);
}

static void write_request(jrpc_out *out, void *context) {
    const sending *message = context;
    const jrpc_open *call = message->call;
    jrpc_put_method(out, message->rpc, call->request.method);
    put_id(out, call->id);
    jrpc_put_params(out, call->request.params, call->request.params_context);
    if (message->rpc->knowledge == JRPC_KNOWS) put_extensions(out, message);
    jrpc_put(out, "}");
}

/* As `jrpc_digest_call` will have it of what comes back. */
static void digest(const jrpc *rpc, jrpc_open *call) {
    jrpc_digest of;
    jrpc_begin_digest(&of, rpc);
    jrpc_put_unsigned(&of.out, call->id);
    jrpc_put_text(&of.out, call->request.method);
    if (call->request.params != NULL) call->request.params(&of.out, call->request.params_context);
    jrpc_end_digest(&of, call->digest);
}

/* The wait before the next copy: 20 % more or less, so that devices do not all repeat at once. */
static void set_timer(jrpc *rpc, jrpc_open *call, uint32_t wait) {
    uint32_t dice = rpc->config->random ? rpc->config->random() % 41 : 20;
    call->tried_at = rpc->now;
    if (wait > LONGEST_WAIT_MS) wait = LONGEST_WAIT_MS;
    call->due_in = wait * (80 + dice) / 100;
}

static bool send_first(jrpc *rpc, jrpc_open *call) {
    sending message = {rpc, call, false};
    call->id = take_id(rpc);
    call->sent_at = rpc->now;
    call->waits_for_probe = false;
    digest(rpc, call);
    set_timer(rpc, call, rpc->config->first_retry_ms ? rpc->config->first_retry_ms : FIRST_RETRY_MS);
    return jrpc_emit(rpc, write_request, &message);
}

static void send_copy(jrpc *rpc, jrpc_open *call) {
    sending message = {rpc, call, true};
    call->waits_for_probe = false;
    jrpc_emit(rpc, write_request, &message);
}

/* An entry that is free, or else that which was closed first. */
static jrpc_open *find_free(const jrpc *rpc) {
    jrpc_open *found = NULL;
    for (size_t i = 0; i < rpc->config->open_count; i++) {
        jrpc_open *each = &rpc->config->open[i];
        if (each->state == FREE) return each;
        bool is_older = found == NULL || rpc->now - each->sent_at > rpc->now - found->sent_at;
        if (each->state == CLOSED && is_older) found = each;
    }
    return found;
}

bool jrpc_send_request(jrpc *rpc, const jrpc_request *request) {
    jrpc_open *call = find_free(rpc);
    if (call == NULL) return false;
    call->request = *request;
    call->begun_at = rpc->now;
    call->state = send_first(rpc, call) ? OPEN : FREE;
    return call->state == OPEN;
}

/* ---- Asking whether the other end knows what a copy is ---- */

static void write_probe(jrpc_out *out, void *context) {
    const jrpc *rpc = context;
    jrpc_put_method(out, rpc, "rpc.ping");
    put_id(out, rpc->probe_id);
    jrpc_put(out, "}");
}

static void probe(jrpc *rpc) {
    if (rpc->probe_id == 0) rpc->probe_id = take_id(rpc);
    jrpc_emit(rpc, write_probe, rpc);
}

static void hear_probe(const jrpc_call *message) {
    jrpc *rpc = message->rpc;
    bool knows = jrpc_equals(message->of[JRPC_RESULT], "true");
    rpc->probe_id = 0;
    rpc->knowledge = knows ? JRPC_KNOWS : JRPC_KNOWS_NOT;
    for (size_t i = 0; i < rpc->config->open_count; i++) {
        jrpc_open *each = &rpc->config->open[i];
        if (knows && each->state == OPEN && each->waits_for_probe) send_copy(rpc, each);
    }
}

/* ---- Hearing ---- */

static void close(jrpc *rpc, jrpc_open *call, const jrpc_outcome *outcome) {
    jrpc_request request = call->request;
    call->state = CLOSED; /* it may be used again from within */
    call->sent_at = rpc->now;
    if (request.on_reply != NULL) request.on_reply(request.context, outcome);
}

static void fail(jrpc *rpc, jrpc_open *call, int32_t code) {
    jrpc_outcome outcome = {.code = code};
    close(rpc, call, &outcome);
}

void jrpc_end_calls(jrpc *rpc) {
    for (size_t i = 0; i < rpc->config->open_count; i++) {
        if (rpc->config->open[i].state == OPEN) fail(rpc, &rpc->config->open[i], JRPC_CANCELLED);
    }
}

/* Our open call with that id; without an id, the only one that there is. */
static jrpc_open *find_open(const jrpc *rpc, jrpc_slice id) {
    int32_t number = 0;
    bool has_id = jrpc_decimal(id, 0, &number) == JRPC_EXACT, is_null = jrpc_equals(id, "null");
    jrpc_open *found = NULL;
    if (!has_id && (!is_null || rpc->config->is_shared)) return NULL;
    for (size_t i = 0; i < rpc->config->open_count; i++) {
        jrpc_open *each = &rpc->config->open[i];
        if (each->state != OPEN || (has_id && each->id != (uint32_t)number)) continue;
        if (found != NULL) return NULL;
        found = each;
    }
    return found;
}

/* Whether to call again, under a new id, when it is not known whether the request ran: it may run twice,
 * or the other end began to listen before it was sent, so it has not run. */
static bool may_call_again(const jrpc *rpc, const jrpc_open *call, const jrpc_outcome *outcome) {
    int32_t listening;
    if (outcome->code != JRPC_OUTCOME_UNKNOWN) return false;
    if (call->request.is_idempotent) return true;
    jrpc_slice since = jrpc_member(outcome->data, "listening");
    return jrpc_decimal(since, 3, &listening) != JRPC_NO_NUMBER && listening >= 0 &&
           (uint32_t)listening >= rpc->now - call->sent_at;
}

static bool read_error(jrpc_slice error, jrpc_outcome *outcome) {
    outcome->message = jrpc_member(error, "message");
    outcome->data = jrpc_member(error, "data");
    return jrpc_decimal(jrpc_member(error, "code"), 0, &outcome->code) == JRPC_EXACT &&
           outcome->message.size > 0 && *outcome->message.at == '"';
}

/* The other end speaks sense, and in this dialect. */
static void note_valid(const jrpc_call *message) {
    jrpc *rpc = message->rpc;
    rpc->has_heard = true;
    rpc->is_jsonrpc2 = message->is_jsonrpc2;
    rpc->has_refused = false;
    rpc->budget = JRPC_BUDGET;
}

static bool hear(const jrpc_call *message) {
    jrpc *rpc = message->rpc;
    const jrpc_slice *of = message->of;
    jrpc_slice error = of[JRPC_ERROR];
    jrpc_outcome outcome = {.result = of[JRPC_RESULT]};
    int32_t id;
    bool has_id = jrpc_decimal(of[JRPC_ID], 0, &id) == JRPC_EXACT;
    if (has_id && rpc->probe_id != 0 && (uint32_t)id == rpc->probe_id) {
        note_valid(message);
        hear_probe(message);
        return true;
    }
    jrpc_open *call = find_open(rpc, of[JRPC_ID]);
    if (call == NULL || (!has_id && error.size == 0)) return false;
    if (jrpc_equals(error, "null") && outcome.result.size > 0) error.size = 0;
    bool is_result = outcome.result.size > 0 && error.size == 0;
    if (!is_result && (outcome.result.size > 0 || !read_error(error, &outcome))) {
        fail(rpc, call, JRPC_INTERNAL_ERROR);
        return true;
    }
    if (has_id) note_valid(message);
    if (is_result || !may_call_again(rpc, call, &outcome) || !send_first(rpc, call)) {
        close(rpc, call, &outcome);
    }
    return true;
}

static bool is_echo(const jrpc_call *request) {
    const jrpc *rpc = request->rpc;
    uint32_t of[2];
    int32_t id;
    if (jrpc_decimal(request->of[JRPC_ID], 0, &id) != JRPC_EXACT) return false;
    if (rpc->probe_id != 0 && (uint32_t)id == rpc->probe_id && jrpc_is(request->of[JRPC_METHOD], "rpc.ping")) {
        return true;
    }
    jrpc_digest_call(request, of);
    for (size_t i = 0; i < rpc->config->open_count; i++) {
        const jrpc_open *each = &rpc->config->open[i];
        if (each->state != FREE && memcmp(each->digest, of, sizeof of) == 0) return true;
    }
    return false;
}

static void poll(jrpc *rpc) {
    const jrpc_config *config = rpc->config;
    for (size_t i = 0; i < config->open_count; i++) {
        jrpc_open *call = &config->open[i];
        if (call->state == CLOSED && rpc->now - call->sent_at > ECHO_MS) call->state = FREE;
        if (call->state != OPEN) continue;
        if (rpc->now - call->begun_at >= call->request.timeout_ms) {
            fail(rpc, call, JRPC_DEADLINE_EXCEEDED);
        } else if (config->is_lossy && rpc->now - call->tried_at >= call->due_in) {
            set_timer(rpc, call, 2 * call->due_in);
            call->waits_for_probe = rpc->knowledge == JRPC_UNKNOWN;
            if (rpc->knowledge == JRPC_KNOWS || call->request.is_idempotent) send_copy(rpc, call);
            else if (rpc->knowledge == JRPC_UNKNOWN) probe(rpc);
        }
    }
}

const struct jrpc_calls_part jrpc_calls = {hear, is_echo, poll};
