/* What arrives: reading a message, judging it, and running what it asks for. */
#include "jrpc.h"
#include "jrpc_parts.h"

#include <string.h>

#define SUSPICIOUS_MS 1000u
#define LEAST_MESSAGE 64
#define LEAST_PIECE 16
#define SETTLED_MS 30000u /* from then on all copies of what ran before have come */

/* The members of a message, and with what their values begin. */
static const struct {
    char name[8];
    const char *begins;
} members[JRPC_MEMBERS] = {
    {"id", "\"-0123456789n"}, {"method", "\""}, {"params", "{[n"}, {"jsonrpc", "\""}, {"result", ""},
    {"error", ""}, {"timeout", "0123456789"}, {"stream", "tf"}, {"retry", "tf"},
};

#define BIT JRPC_BIT
#define OUTCOME (BIT(JRPC_RESULT) | BIT(JRPC_ERROR))

typedef enum { REQUEST, NOTIFICATION, RESPONSE, INVALID, SILENT } verdict;

bool jrpc_init(jrpc *rpc, const jrpc_config *config, uint32_t now) {
    memset(rpc, 0, sizeof *rpc);
    rpc->config = config;
    rpc->now = rpc->since = now;
    rpc->budget = JRPC_BUDGET;
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

/* Whether a member is what it has to be. */
static bool is_right(int member, jrpc_slice value) {
    int32_t milliseconds = 0;
    if (strchr(members[member].begins, *value.at) == NULL) return false;
    if (member == JRPC_VERSION) return jrpc_is(value, "2.0");
    if (member == JRPC_TIMEOUT && jrpc_decimal(value, 3, &milliseconds) == JRPC_EXACT) {
        return milliseconds > 0;
    }
    return !jrpc_is_beyond_doubles(value);
}

/* Read an object as a message; anything else has no members. */
static jrpc_call read_message(jrpc *rpc, jrpc_slice object) {
    jrpc_call message = {.rpc = rpc};
    jrpc_each each = jrpc_begin(object);
    while (each.is_object && jrpc_next(&each)) {
        for (int i = 0; i < JRPC_MEMBERS; i++) {
            if (!jrpc_is(each.key, members[i].name)) continue;
            message.of[i] = each.value;
            message.present |= BIT(i);
            message.wrong |= BIT(i);
            if (is_right(i, each.value)) message.wrong ^= BIT(i);
        }
    }
    message.is_jsonrpc2 = message.present & ~message.wrong & BIT(JRPC_VERSION);
    return message;
}

static bool has_readable_id(const jrpc_call *message) {
    return message->present & ~message->wrong & BIT(JRPC_ID);
}

static verdict judge(const jrpc_call *message) {
    uint32_t present = message->present, wrong = message->wrong;
    bool is_named = present & BIT(JRPC_METHOD);
    if (!is_named && present & OUTCOME) return RESPONSE;
    bool is_good = is_named && !(present & OUTCOME) && !(wrong & ~BIT(JRPC_ID));
    if (is_named && !(present & BIT(JRPC_ID)) && !(wrong & BIT(JRPC_METHOD))) {
        return is_good ? NOTIFICATION : SILENT;
    }
    return is_good && has_readable_id(message) ? REQUEST : INVALID;
}

uint32_t jrpc_patience(const jrpc_call *call) {
    int32_t milliseconds;
    jrpc_precision precision = jrpc_decimal(call->of[JRPC_TIMEOUT], 3, &milliseconds);
    return precision == JRPC_NO_NUMBER ? UINT32_MAX : (uint32_t)milliseconds;
}

/* ---- Errors for what cannot be read ---- */

/* Two ends that cannot read each other must not answer errors with errors for ever. */
static bool may_reject(jrpc *rpc) {
    rpc->counts.unreadable++;
    if (rpc->budget == JRPC_BUDGET) rpc->budget_at = rpc->now;
    if (rpc->has_refused && rpc->now - rpc->refused_at <= SUSPICIOUS_MS) {
        for (; rpc->budget < JRPC_BUDGET && rpc->now - rpc->budget_at >= 1000; rpc->budget_at += 1000) {
            rpc->budget++;
        }
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

/* Answer something that is no message. */
static void reject(jrpc *rpc, int32_t code, const char *text) {
    jrpc_call message = {.rpc = rpc, .of[JRPC_ID] = {"null", 4},
                         .is_jsonrpc2 = !rpc->has_heard || rpc->is_jsonrpc2};
    jrpc_fail(&message, code, text, NULL);
}

static void reject_invalid(jrpc *rpc) {
    reject(rpc, JRPC_INVALID_REQUEST, "Invalid request");
}

void jrpc_reject(jrpc *rpc, int32_t code, const char *text, uint32_t now) {
    rpc->now = now;
    if (may_reject(rpc)) reject(rpc, code, text);
}

/* ---- Requests ---- */

static void run(jrpc_call *call) {
    const jrpc_config *config = call->rpc->config;
    bool is_request = call->present & BIT(JRPC_ID);
    call->method = jrpc_find_method(call->rpc, call->of[JRPC_METHOD]);
    if (call->method == NULL || (is_request && call->method->flags & JRPC_NOTIFICATION)) {
        jrpc_fail(call, JRPC_METHOD_NOT_FOUND, "Method not found", NULL);
    } else if (jrpc_check_params(call) &&
               (!is_request || config->lossy == NULL || config->lossy->admit(call))) {
        call->method->run(call);
        if (call->pending == NULL) jrpc_return_null(call);
    }
}

static void receive_call(jrpc_call *call) {
    jrpc *rpc = call->rpc;
    if (rpc->config->calls != NULL && rpc->config->calls->is_echo(call)) {
        rpc->counts.echoes++;
        return;
    }
    rpc->has_refused = false;
    rpc->budget = JRPC_BUDGET;
    rpc->has_heard = true;
    rpc->is_jsonrpc2 = call->is_jsonrpc2;
    if (jrpc_is_extended(call)) rpc->knowledge = JRPC_KNOWS;
    run(call);
}

/* Whether it answers a call of ours. */
static bool hear(const jrpc_call *message) {
    const struct jrpc_calls_part *calls = message->rpc->config->calls;
    return !(message->present & BIT(JRPC_METHOD)) && calls != NULL && calls->hear(message);
}

static void receive_object(jrpc *rpc, jrpc_slice object, bool is_entry) {
    jrpc_call message = read_message(rpc, object);
    verdict is = judge(&message);
    if (is <= NOTIFICATION) {
        receive_call(&message);
    } else if (is == SILENT || hear(&message)) {
        return;
    } else if (is == RESPONSE) {
        rpc->counts.dropped++;
    } else if (has_readable_id(&message)) {
        jrpc_fail(&message, JRPC_INVALID_REQUEST, "Invalid request", NULL);
    } else if (is_entry || may_reject(rpc)) {
        reject_invalid(rpc);
    }
}

/* ---- Messages ---- */

/* Answer a batch entry by entry. One of which nothing can be read is one message that cannot. */
static void receive_batch(jrpc *rpc, jrpc_slice batch) {
    size_t count = 0;
    bool is_readable = false;
    jrpc_each each = jrpc_begin(batch);
    for (; jrpc_next(&each); count++) {
        jrpc_call message = read_message(rpc, each.value);
        is_readable = is_readable || judge(&message) < INVALID;
    }
    if (!is_readable && !may_reject(rpc)) return;
    if (count == 0 || count > JRPC_MAX_BATCH) {
        reject_invalid(rpc);
        return;
    }
    jrpc_out out;
    each = jrpc_begin(batch);
    jrpc_begin_batch(rpc, &out);
    while (jrpc_next(&each)) receive_object(rpc, each.value, true);
    jrpc_end_batch(rpc);
}

void jrpc_receive(jrpc *rpc, const char *message, size_t size, uint32_t now) {
    const char *end = message + size;
    if (size >= 3 && memcmp(message, "\xEF\xBB\xBF", 3) == 0) message += 3; /* a byte order mark */
    message = jrpc_skip_space(message, end);
    const char *last = jrpc_scan(message, end);
    rpc->now = now;
    if (last == NULL || jrpc_skip_space(last, end) != end) {
        jrpc_reject(rpc, JRPC_PARSE_ERROR, "Parse error", now);
        return;
    }
    jrpc_slice text = {message, (size_t)(last - message)};
    if (*message == '[') receive_batch(rpc, text);
    else receive_object(rpc, text, false);
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
