/* What arrives: reading a message, judging it, and running what it asks for. */
#include "jrpc.h"
#include "jrpc_parts.h"

#include <string.h>

#define SUSPICIOUS_MS 1000u
#define BUDGET 20u /* errors for messages that cannot be read, when they come one after the other */
#define LEAST_MESSAGE 64

enum { ID, METHOD, PARAMS, VERSION, RESULT, ERROR, TIMEOUT, STREAM, RETRY, MEMBERS };

static const char *const member_names[MEMBERS] = {
    "id", "method", "params", "jsonrpc", "result", "error", "timeout", "stream", "retry",
};

typedef struct {
    jrpc_slice of[MEMBERS]; /* size 0: it is not there */
} envelope;

typedef enum { REQUEST, NOTIFICATION, RESPONSE, INVALID, SILENT } verdict;

bool jrpc_init(jrpc *rpc, const jrpc_config *config, uint32_t now) {
    memset(rpc, 0, sizeof *rpc);
    rpc->config = config;
    rpc->now = rpc->since = rpc->budget_at = now;
    rpc->budget = BUDGET;
    size_t room = config->framing == JRPC_DATAGRAM ? LEAST_MESSAGE : 16;
    return config->send != NULL && config->buffer_size >= room && config->max_message >= LEAST_MESSAGE;
}

static envelope read_envelope(jrpc_slice object) {
    envelope found;
    memset(&found, 0, sizeof found);
    jrpc_each each = jrpc_begin(object);
    while (jrpc_next(&each)) {
        for (int i = 0; i < MEMBERS; i++) {
            if (jrpc_is(each.key, member_names[i])) found.of[i] = each.value;
        }
    }
    return found;
}

static bool is_readable_id(jrpc_slice id) {
    bool is_scalar = *id.at == '"' || *id.at == '-' || *id.at == 'n' || jrpc_is_digit(*id.at);
    return is_scalar && !jrpc_is_beyond_doubles(id);
}

static bool is_absent_or_bool(jrpc_slice value) {
    return value.size == 0 || *value.at == 't' || *value.at == 'f';
}

/* The time that the caller still waits; false: it is no number above 0. */
static bool read_timeout(jrpc_slice member, uint32_t *milliseconds) {
    int32_t value = 0;
    *milliseconds = UINT32_MAX;
    if (member.size == 0) return true;
    jrpc_precision precision = jrpc_decimal(member, 3, &value);
    if (precision == JRPC_NO_NUMBER || *member.at == '-' || jrpc_is_beyond_doubles(member)) return false;
    *milliseconds = (uint32_t)value;
    return value > 0 || precision == JRPC_CUT;
}

static bool is_well_formed(const envelope *message) {
    uint32_t timeout;
    const jrpc_slice *of = message->of;
    char params = of[PARAMS].size > 0 ? *of[PARAMS].at : 'n';
    return of[METHOD].size > 0 && *of[METHOD].at == '"' && strchr("{[n", params) != NULL &&
           of[RESULT].size == 0 && of[ERROR].size == 0 &&
           (of[VERSION].size == 0 || jrpc_is(of[VERSION], "2.0")) &&
           is_absent_or_bool(of[STREAM]) && is_absent_or_bool(of[RETRY]) &&
           read_timeout(of[TIMEOUT], &timeout);
}

static verdict judge(const envelope *message) {
    const jrpc_slice *of = message->of;
    bool has_method = of[METHOD].size > 0;
    if (!has_method && (of[RESULT].size > 0 || of[ERROR].size > 0)) return RESPONSE;
    bool is_good = is_well_formed(message);
    if (of[ID].size == 0 && has_method && *of[METHOD].at == '"') return is_good ? NOTIFICATION : SILENT;
    return is_good && of[ID].size > 0 && is_readable_id(of[ID]) ? REQUEST : INVALID;
}

/* ---- Errors for what cannot be read ---- */

/* Two ends that cannot read each other must not answer errors with errors for ever. */
static bool may_reject(jrpc *rpc) {
    rpc->counts.unreadable++;
    if (rpc->has_refused && rpc->now - rpc->refused_at <= SUSPICIOUS_MS) {
        uint32_t seconds = (rpc->now - rpc->budget_at) / 1000;
        rpc->budget_at += seconds * 1000;
        rpc->budget = (uint8_t)(seconds > BUDGET - rpc->budget ? BUDGET : rpc->budget + seconds);
        if (rpc->budget == 0) {
            rpc->counts.unanswered++;
            return false;
        }
        rpc->budget--;
    }
    rpc->has_refused = true;
    rpc->refused_at = rpc->now;
    return true;
}

static void note_valid(jrpc *rpc, const envelope *message) {
    rpc->has_refused = false;
    rpc->budget = BUDGET;
    rpc->budget_at = rpc->now;
    rpc->has_heard = true;
    rpc->is_jsonrpc2 = message->of[VERSION].size > 0;
}

static void reject(jrpc *rpc, jrpc_slice id, int32_t code, bool is_jsonrpc2) {
    jrpc_call call = {.rpc = rpc, .id = id, .is_jsonrpc2 = is_jsonrpc2};
    jrpc_fail(&call, code, code == JRPC_PARSE_ERROR ? "Parse error" : "Invalid request", NULL);
}

static const jrpc_slice null_id = {"null", 4};

static bool speaks_jsonrpc2(const jrpc *rpc) {
    return !rpc->has_heard || rpc->is_jsonrpc2;
}

void jrpc_reject(jrpc *rpc, int32_t code, uint32_t now) {
    rpc->now = now;
    if (may_reject(rpc)) reject(rpc, null_id, code, speaks_jsonrpc2(rpc));
}

/* ---- Requests ---- */

static void run(jrpc_call *call) {
    call->method = jrpc_find_method(call->rpc, call->name);
    bool may_call = call->method && (call->id.size == 0 || !(call->method->flags & JRPC_NOTIFICATION));
    if (!may_call) {
        jrpc_fail(call, JRPC_METHOD_NOT_FOUND, "Method not found", NULL);
        return;
    }
    if (!jrpc_check_params(call)) return;
    call->method->run(call);
    if (call->pending == NULL) jrpc_return_null(call);
}

static void receive_call(jrpc *rpc, const envelope *message) {
    const jrpc_slice *of = message->of;
    jrpc_call call = {
        .rpc = rpc, .id = of[ID], .name = of[METHOD], .params = of[PARAMS],
        .is_jsonrpc2 = of[VERSION].size > 0,
        .wants_stream = jrpc_equals(of[STREAM], "true"), .is_retry = jrpc_equals(of[RETRY], "true"),
        .is_extended = of[TIMEOUT].size > 0 || of[STREAM].size > 0 || of[RETRY].size > 0,
    };
    read_timeout(of[TIMEOUT], &call.timeout_ms);
    if (jrpc_equals(call.params, "null")) call.params.size = 0;
    run(&call);
}

static void receive_object(jrpc *rpc, jrpc_slice object, bool may_answer) {
    envelope message = read_envelope(object);
    verdict is = judge(&message);
    jrpc_slice id = message.of[ID];
    if (is == REQUEST || is == NOTIFICATION) {
        note_valid(rpc, &message);
        receive_call(rpc, &message);
    } else if (is == RESPONSE) {
        rpc->counts.dropped++;
    } else if (is == INVALID) {
        bool is_known = *object.at == '{';
        bool is_jsonrpc2 = is_known ? jrpc_is(message.of[VERSION], "2.0") : speaks_jsonrpc2(rpc);
        bool has_id = id.size > 0 && is_readable_id(id);
        if (has_id || (may_answer && (rpc->batch || may_reject(rpc)))) {
            reject(rpc, has_id ? id : null_id, JRPC_INVALID_REQUEST, is_jsonrpc2);
        }
    }
}

/* ---- Messages ---- */

/* Whether any entry can be read, and how many there are. All junk is one message that cannot. */
static bool has_valid_entry(jrpc_slice batch, size_t *count) {
    bool found = false;
    jrpc_each each = jrpc_begin(batch);
    for (*count = 0; jrpc_next(&each); ++*count) {
        envelope message = read_envelope(each.value);
        found = found || (*each.value.at == '{' && judge(&message) < INVALID);
    }
    return found;
}

static void receive_batch(jrpc *rpc, jrpc_slice batch) {
    size_t count;
    bool may_answer = has_valid_entry(batch, &count) || may_reject(rpc);
    if (count == 0 || count > JRPC_MAX_BATCH) {
        if (may_answer) reject(rpc, null_id, JRPC_INVALID_REQUEST, speaks_jsonrpc2(rpc));
        return;
    }
    jrpc_out out;
    jrpc_each each = jrpc_begin(batch);
    jrpc_begin_batch(rpc, &out);
    while (jrpc_next(&each)) receive_object(rpc, each.value, may_answer);
    jrpc_end_batch(rpc);
}

static jrpc_slice trimmed(jrpc_slice text) {
    while (text.size > 0 && jrpc_is_space(*text.at)) text.at++, text.size--;
    while (text.size > 0 && jrpc_is_space(text.at[text.size - 1])) text.size--;
    return text;
}

void jrpc_receive(jrpc *rpc, const char *message, size_t size, uint32_t now) {
    jrpc_slice text = {message, size};
    rpc->now = now;
    if (size >= 3 && memcmp(message, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark */
        text = (jrpc_slice){message + 3, size - 3};
    }
    text = trimmed(text);
    if (!jrpc_check(text)) {
        jrpc_reject(rpc, JRPC_PARSE_ERROR, now);
    } else if (*text.at == '[') {
        receive_batch(rpc, text);
    } else {
        receive_object(rpc, text, true);
    }
}

void jrpc_poll(jrpc *rpc, uint32_t now) {
    rpc->now = now;
    if (rpc->has_refused && now - rpc->refused_at > SUSPICIOUS_MS) rpc->has_refused = false;
}
