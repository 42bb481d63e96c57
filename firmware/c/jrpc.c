/* What arrives: reading a message, judging it, and running what it asks for. */
#include "jrpc.h"
#include "jrpc_parts.h"

#include <string.h>

#define SUSPICIOUS_MS 1000u
#define BUDGET 20u /* errors for messages that cannot be read, when they come one after the other */
#define LEAST_MESSAGE 64
#define LEAST_PIECE 16
#define SETTLED_MS 30000u /* from then on all copies of what ran before have come */

static const char *const member_names[JRPC_MEMBERS] = {
    "id", "method", "params", "jsonrpc", "result", "error", "timeout", "stream", "retry",
};

typedef enum { REQUEST, NOTIFICATION, RESPONSE, INVALID, SILENT } verdict;

bool jrpc_init(jrpc *rpc, const jrpc_config *config, uint32_t now) {
    memset(rpc, 0, sizeof *rpc);
    rpc->config = config;
    rpc->now = rpc->since = rpc->budget_at = now;
    rpc->budget = BUDGET;
    rpc->next_id = 1;
    if (config->random != NULL) {
        rpc->key[0] = config->random();
        rpc->key[1] = config->random();
        rpc->next_id += config->random() >> 2; /* up to 2 to the power of 30 */
        rpc->next_token = config->random();
    }
    size_t room = config->framing == JRPC_DATAGRAM ? LEAST_MESSAGE : LEAST_PIECE;
    return config->send != NULL && config->buffer_size >= room && config->max_message >= LEAST_MESSAGE;
}

static jrpc_envelope read_envelope(jrpc_slice object) {
    jrpc_envelope found;
    memset(&found, 0, sizeof found);
    jrpc_each each = jrpc_begin(object);
    while (jrpc_next(&each)) {
        for (int i = 0; i < JRPC_MEMBERS; i++) {
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

static bool is_well_formed(const jrpc_envelope *message) {
    uint32_t timeout;
    const jrpc_slice *of = message->of;
    char params = of[JRPC_PARAMS].size > 0 ? *of[JRPC_PARAMS].at : 'n';
    return of[JRPC_METHOD].size > 0 && *of[JRPC_METHOD].at == '"' && strchr("{[n", params) != NULL &&
           of[JRPC_RESULT].size == 0 && of[JRPC_ERROR].size == 0 &&
           (of[JRPC_VERSION].size == 0 || jrpc_is(of[JRPC_VERSION], "2.0")) &&
           is_absent_or_bool(of[JRPC_STREAM_WISH]) && is_absent_or_bool(of[JRPC_RETRY]) &&
           read_timeout(of[JRPC_TIMEOUT], &timeout);
}

static verdict judge(const jrpc_envelope *message) {
    const jrpc_slice *of = message->of;
    bool has_method = of[JRPC_METHOD].size > 0;
    if (!has_method && (of[JRPC_RESULT].size > 0 || of[JRPC_ERROR].size > 0)) return RESPONSE;
    bool is_good = is_well_formed(message);
    if (of[JRPC_ID].size == 0 && has_method && *of[JRPC_METHOD].at == '"') return is_good ? NOTIFICATION : SILENT;
    return is_good && of[JRPC_ID].size > 0 && is_readable_id(of[JRPC_ID]) ? REQUEST : INVALID;
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

static void note_valid(jrpc *rpc, const jrpc_envelope *message) {
    rpc->has_refused = false;
    rpc->budget = BUDGET;
    rpc->budget_at = rpc->now;
    rpc->has_heard = true;
    rpc->is_jsonrpc2 = message->of[JRPC_VERSION].size > 0;
}

static void reject(jrpc *rpc, jrpc_slice id, int32_t code, bool is_jsonrpc2) {
    jrpc_call call = {.rpc = rpc, .id = id, .is_jsonrpc2 = is_jsonrpc2};
    const char *message = code == JRPC_PARSE_ERROR ? "Parse error" :
                          code == JRPC_TOO_LARGE ? "Too large" : "Invalid request";
    jrpc_fail(&call, code, message, NULL);
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
    const jrpc_config *config = call->rpc->config;
    bool is_request = call->id.size > 0;
    call->method = jrpc_find_method(call->rpc, call->name);
    if (call->method == NULL || (is_request && call->method->flags & JRPC_NOTIFICATION)) {
        jrpc_fail(call, JRPC_METHOD_NOT_FOUND, "Method not found", NULL);
    } else if (jrpc_check_params(call) &&
               (!is_request || config->lossy == NULL || config->lossy->admit(call))) {
        call->method->run(call);
        if (call->pending == NULL) jrpc_return_null(call);
    }
}

static void receive_call(jrpc *rpc, const jrpc_envelope *message) {
    const jrpc_slice *of = message->of;
    jrpc_call call = {
        .rpc = rpc, .id = of[JRPC_ID], .name = of[JRPC_METHOD], .params = of[JRPC_PARAMS],
        .is_jsonrpc2 = of[JRPC_VERSION].size > 0,
        .wants_stream = jrpc_equals(of[JRPC_STREAM_WISH], "true"),
        .is_retry = jrpc_equals(of[JRPC_RETRY], "true"),
        .is_extended = of[JRPC_TIMEOUT].size + of[JRPC_STREAM_WISH].size + of[JRPC_RETRY].size > 0,
    };
    if (rpc->config->calls != NULL && rpc->config->calls->is_echo(&call)) {
        rpc->counts.echoes++;
        return;
    }
    note_valid(rpc, message);
    if (call.is_extended) rpc->knowledge = JRPC_KNOWS;
    read_timeout(of[JRPC_TIMEOUT], &call.timeout_ms);
    if (jrpc_equals(call.params, "null")) call.params.size = 0;
    run(&call);
}

/* Whether it answers a call of ours. */
static bool hear(jrpc *rpc, const jrpc_envelope *message) {
    return rpc->config->calls != NULL && rpc->config->calls->hear(rpc, message);
}

static void receive_object(jrpc *rpc, jrpc_slice object, bool may_answer) {
    jrpc_envelope message = read_envelope(object);
    verdict is = judge(&message);
    jrpc_slice id = message.of[JRPC_ID];
    if (is == REQUEST || is == NOTIFICATION) {
        receive_call(rpc, &message);
    } else if (is != SILENT && message.of[JRPC_METHOD].size == 0 && hear(rpc, &message)) {
        return;
    } else if (is == RESPONSE) {
        rpc->counts.dropped++;
    } else if (is == INVALID) {
        bool is_known = *object.at == '{';
        bool is_jsonrpc2 = is_known ? jrpc_is(message.of[JRPC_VERSION], "2.0") : speaks_jsonrpc2(rpc);
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
        jrpc_envelope message = read_envelope(each.value);
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
    const jrpc_config *config = rpc->config;
    rpc->now = now;
    if (now - rpc->refused_at > SUSPICIOUS_MS) rpc->has_refused = false;
    if (now - rpc->since >= SETTLED_MS) rpc->has_settled = true;
    if (config->lossy != NULL) config->lossy->poll(rpc);
    if (config->later != NULL) config->later->poll(rpc);
    if (config->calls != NULL) config->calls->poll(rpc);
}
