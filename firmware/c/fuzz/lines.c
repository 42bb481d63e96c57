/* Serial lines and streams: what comes of the bytes is the same whether they arrive whole or one by
 * one, and however long what came before has waited. */
#include "fuzz.h"
#include "jrpc_stream.h"
#include "jrpc_tuya.h"

enum { ROOM = 100 };

/* What has left, and what was called, as a digest. */
static uint32_t trace;

static void note(const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    while (size--) trace = (trace ^ *at++) * 16777619u;
}

static void write_bytes(void *context, const uint8_t *bytes, size_t size) {
    (void)context;
    note(bytes, size);
}

static void write_text(void *context, const char *bytes, size_t size) {
    (void)context;
    note(bytes, size);
}

static void take_frame(void *context, uint8_t command, const uint8_t *data, size_t size) {
    (void)context;
    note(&command, 1);
    note(data, size);
}

static void take_datapoint(void *context, uint8_t id, uint8_t type, const uint8_t *value,
                           size_t size) {
    const uint8_t head[] = {id, type};
    (void)context;
    note(head, sizeof head);
    note(value, size);
}

static void run_echo(jrpc_call *call) {
    note(call->of[JRPC_PARAMS].at, call->of[JRPC_PARAMS].size);
    jrpc_return_bool(call, true);
}

static const jrpc_method methods[] = {{"e", run_echo, NULL, 0}};

static void begin(jrpc *rpc, jrpc_config *config, jrpc_send send, void *line, jrpc_framing framing) {
    static char buffers[2][64];
    trace = 2166136261u;
    config->methods = methods;
    config->method_count = 1;
    config->send = send;
    config->send_context = line;
    config->framing = framing;
    config->buffer = buffers[0];
    config->buffer_size = sizeof buffers[0];
    config->max_message = ROOM;
    REQUIRE(jrpc_init(rpc, config, 0));
}

static uint32_t tuya(const uint8_t *data, size_t size, bool is_whole) {
    jrpc rpc, datapoint_rpc;
    jrpc_config config = {0}, datapoint_config = {0};
    uint8_t bytes[JRPC_TUYA_ROOM(ROOM)];
    jrpc_tuya line = {.rpc = &rpc, .datapoint_rpc = &datapoint_rpc, .bytes = bytes,
                      .room = sizeof bytes, .write = write_bytes, .on_frame = take_frame,
                      .on_datapoint = take_datapoint};
    uint32_t now = UINT32_MAX - 300;
    begin(&datapoint_rpc, &datapoint_config, jrpc_tuya_send_datapoint, &line, JRPC_FRAME);
    begin(&rpc, &config, jrpc_tuya_send, &line, JRPC_FRAME);
    size_t step = is_whole ? size : 1;
    for (size_t at = 0; at < size; at += step) jrpc_tuya_feed(&line, data + at, step, now);
    jrpc_tuya_poll(&line, now += 500);
    REQUIRE(line.count == 0);
    return trace;
}

void fuzz_tuya(const uint8_t *data, size_t size) {
    REQUIRE(tuya(data, size, true) == tuya(data, size, false));
}

static uint32_t stream(const uint8_t *data, size_t size, bool is_whole) {
    jrpc rpc;
    jrpc_config config = {0};
    char bytes[ROOM];
    jrpc_stream line = {.rpc = &rpc, .bytes = bytes, .room = sizeof bytes, .write = write_text};
    begin(&rpc, &config, jrpc_stream_send, &line, JRPC_STREAM);
    size_t step = is_whole ? size : 1;
    for (size_t at = 0; at < size; at += step) {
        if (!jrpc_stream_feed(&line, (const char *)data + at, step, 0)) break;
    }
    (void)jrpc_stream_poll(&line, 11000);
    return trace;
}

void fuzz_stream(const uint8_t *data, size_t size) {
    REQUIRE(stream(data, size, true) == stream(data, size, false));
}
