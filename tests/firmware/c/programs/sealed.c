/* A device for the board whose line is sealed, with messages in segments: peer, segments, seal, line.
 * Its random numbers are not random, which is good enough for a test alone. */
#include "adapters/adapters.h"
#include "board.h"
#include "jrpc_lossy.h"
#include "jrpc_seal.h"
#include "jrpc_segments.h"
#include "jrpc_tuya.h"

enum { FRAME = 1024, PACKET = FRAME - JRPC_SEAL_OVERHEAD, MESSAGE = 16000 };

static const uint8_t keys[2][JRPC_KEY_SIZE] = {
    {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
     16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
    {1},
};

static uint32_t runs;
static jrpc_seal seal;

static void write_value(jrpc_out *out, void *value) { jrpc_put_slice(out, *(jrpc_slice *)value); }

static void echo(jrpc_call *call) {
    jrpc_slice value;
    runs++;
    if (jrpc_any(call, "value", &value)) jrpc_return(call, write_value, &value);
}

static void count(jrpc_call *call) { jrpc_return_int(call, (int32_t)runs); }

static void who(jrpc_call *call) { jrpc_return_int(call, jrpc_seal_key(&seal)); }

static const jrpc_method methods[] = {
    {"count", count, "", JRPC_IDEMPOTENT},
    {"echo", echo, "value", 0},
    {"who", who, "", JRPC_IDEMPOTENT},
};

static void random_bytes(uint8_t *bytes, size_t size) {
    static uint32_t state = 1;
    while (size--) {
        state = state * 1664525u + 1013904223u;
        *bytes++ = (uint8_t)(state >> 24);
    }
}

static jrpc rpc;
static jrpc_segments segments;
static jrpc_tuya line;

static void write_uart(void *context, const uint8_t *bytes, size_t size) {
    (void)context;
    board_write(bytes, size);
}

static void take_frame(void *context, uint8_t command, const uint8_t *data, size_t size) {
    (void)context; /* the data are in the buffer of the line, and may be deciphered there */
    if (command == JRPC_TUYA_RPC) jrpc_seal_receive(&seal, (char *)data, size, board_ms());
}

static void take_packet(void *context, const char *packet, size_t size, uint32_t now) {
    (void)context;
    jrpc_segments_receive(&segments, packet, size, now);
}

static void take_message(void *context, const char *message, size_t size, uint32_t now) {
    (void)context;
    jrpc_receive(&rpc, message, size, now);
}

int main(void) {
    static uint8_t received[JRPC_TUYA_ROOM(FRAME)], sealed[FRAME];
    static char buffer[256], leaving[MESSAGE + 4], arriving[JRPC_SEGMENTS_ROOM(MESSAGE, PACKET)];
    static jrpc_seal_session sessions[4];
    static jrpc_remembered remembered[16];
    static jrpc_seal_config seal_config;
    static jrpc_segments_config segments_config;
    static jrpc_config config;
    jrpc_crypto crypto = jrpc_monocypher(random_bytes);
    line = (jrpc_tuya){.bytes = received, .room = sizeof received, .write = write_uart,
                       .on_frame = take_frame};
    seal_config = (jrpc_seal_config){
        .crypto = &crypto, .keys = keys, .key_count = 2,
        .sessions = sessions, .session_count = 4,
        .buffer = sealed, .buffer_size = sizeof sealed,
        .send = jrpc_tuya_send, .send_context = &line, .receive = take_packet,
    };
    segments_config = (jrpc_segments_config){
        .max_packet = PACKET, .arriving = arriving, .arriving_size = sizeof arriving,
        .leaving = leaving, .leaving_size = sizeof leaving, .retry_ms = 500,
        .send = jrpc_seal_send, .send_context = &seal, .receive = take_message,
    };
    config = (jrpc_config){
        .methods = methods, .method_count = sizeof methods / sizeof *methods,
        .send = jrpc_segments_send, .send_context = &segments, .framing = JRPC_FRAME,
        .buffer = buffer, .buffer_size = sizeof buffer, .max_message = MESSAGE,
        .is_lossy = true, .is_shared = true,
        .lossy = &jrpc_lossy, .remembered = remembered, .remembered_count = 16,
    };
    if (!jrpc_seal_init(&seal, &seal_config) || !jrpc_segments_init(&segments, &segments_config) ||
        !jrpc_init(&rpc, &config, board_ms())) {
        return 1;
    }
    for (;;) {
        uint8_t byte;
        uint32_t now = board_ms();
        if (board_read(&byte)) {
            jrpc_tuya_feed(&line, &byte, 1, now);
        } else {
            jrpc_tuya_poll(&line, now);
            jrpc_seal_poll(&seal, now);
            jrpc_poll(&rpc, now);
            if (!jrpc_segments_poll(&segments, now)) board_wait();
        }
    }
}
