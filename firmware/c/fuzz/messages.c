/* A device that serves methods of every kind, over each kind of framing. The first byte chooses how;
 * then come messages, as records. Whatever they say, what leaves is JSON and no longer than may be. */
#include "fuzz.h"
#include "jrpc_calls.h"
#include "jrpc_later.h"
#include "jrpc_lossy.h"

static fuzz_message message;
static uint32_t token;

static void sends(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context;
    if (!fuzz_collect(&message, bytes, size, rest)) return;
    REQUIRE(jrpc_check((jrpc_slice){message.bytes, message.used}));
    message.used = 0;
}

static void write_slice(jrpc_out *out, void *context) {
    jrpc_put_slice(out, *(jrpc_slice *)context);
}

static bool write_item(jrpc_out *out, void *context, uint32_t index) {
    (void)context;
    if (index == 20) return false;
    jrpc_put_unsigned(out, index);
    return true;
}

static void run_echo(jrpc_call *call) {
    jrpc_slice value;
    if (jrpc_any(call, "value", &value)) jrpc_return(call, write_slice, &value);
}

static void run_set(jrpc_call *call) {
    int32_t level, shade;
    bool is_on = false;
    char name[8];
    if (!jrpc_int_within(call, "level", 0, 100, &level)) return;
    if (jrpc_has(call, "shade") && !jrpc_fixed(call, "shade", 2, &shade)) return;
    if (jrpc_has(call, "on") && !jrpc_bool(call, "on", &is_on)) return;
    if (jrpc_has(call, "name") && !jrpc_text(call, "name", name, sizeof name)) return;
    jrpc_return_int(call, level);
}

static void run_list(jrpc_call *call) { jrpc_return_items(call, write_item, NULL); }

static void run_fail(jrpc_call *call) { jrpc_fail(call, 7, "it does not \"work\"", "[1]"); }

static void run_nothing(jrpc_call *call) { (void)call; }

static void run_slow(jrpc_call *call) { token = jrpc_answer_later(call); }

static void hear(void *context, const jrpc_outcome *outcome) {
    (void)context;
    jrpc_slice parts[] = {outcome->result, outcome->message, outcome->data};
    for (size_t at = 0; at < 3; at++) REQUIRE(parts[at].size == 0 || jrpc_check(parts[at]));
}

static void call_other_end(jrpc *rpc) {
    static const jrpc_request request = {.method = "there", .on_reply = hear, .timeout_ms = 3000};
    (void)jrpc_send_request(rpc, &request);
    (void)jrpc_notify(rpc, "now", NULL, NULL);
}

static void answer_later(jrpc *rpc) {
    jrpc_call call;
    if (token && jrpc_resume(rpc, token, &call)) jrpc_return_text(&call, "done");
    token = 0;
}

static const jrpc_method methods[] = {
    {"e", run_echo, "value", 0},
    {"set", run_set, "level shade on name", JRPC_IDEMPOTENT},
    {"list", run_list, "", 0},
    {"fail", run_fail, NULL, 0},
    {"none", run_nothing, "", 0},
    {"slow", run_slow, "", 0},
    {"hi", run_nothing, NULL, JRPC_NOTIFICATION},
};

void fuzz_messages(const uint8_t *data, size_t size) {
    static char buffer[256];
    static jrpc_remembered remembered[4];
    static jrpc_pending pending[2];
    static jrpc_open open[2];
    static jrpc rpc;
    jrpc_config config = {0};
    uint32_t now = UINT32_MAX - 2000; /* the clock wraps */
    size_t record_size;
    char *record;
    if (size == 0) return;
    config.methods = methods;
    config.method_count = sizeof methods / sizeof *methods;
    config.send = sends;
    config.framing = (jrpc_framing)(*data % 3);
    config.buffer = buffer;
    config.buffer_size = config.framing == JRPC_DATAGRAM ? sizeof buffer : 16u + *data;
    if (config.buffer_size > sizeof buffer) config.buffer_size = sizeof buffer;
    config.max_message = config.framing == JRPC_DATAGRAM ? 64u + *data / 2 : 1024;
    config.is_lossy = *data & 64;
    config.is_shared = *data & 16;
    config.lossy = &jrpc_lossy;
    config.remembered = remembered;
    config.remembered_count = 4;
    config.later = &jrpc_later;
    config.pending = pending;
    config.pending_count = 2;
    config.calls = &jrpc_calls;
    config.open = open;
    config.open_count = 2;
    config.first_retry_ms = 300;
    memset(remembered, 0, sizeof remembered);
    memset(pending, 0, sizeof pending);
    memset(open, 0, sizeof open);
    token = 0;
    config.is_jsonrpc2 = *data & 32;
    message = (fuzz_message){.most = config.max_message, .is_counted = config.framing != JRPC_STREAM};
    if (config.framing == JRPC_STREAM) message.most = sizeof message.bytes;
    if (!jrpc_init(&rpc, &config, now)) return;
    if (*data & 8) call_other_end(&rpc);
    data++, size--;
    while ((record = fuzz_record(&data, &size, &record_size))) {
        jrpc_receive(&rpc, record, record_size, now);
        REQUIRE(message.used == 0);
        jrpc_poll(&rpc, now += 170);
        answer_later(&rpc);
        REQUIRE(message.used == 0);
        free(record);
    }
}
