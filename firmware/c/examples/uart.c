/* The least that a device on a UART needs. Yours are uart_read, uart_write and millis. */
#include "jrpc.h"
#include "jrpc_lossy.h"
#include "jrpc_tuya.h"

enum { MAX_MESSAGE = 249 }; /* up to 1024, where there is room for it */

size_t uart_read(uint8_t *bytes, size_t room); /* what has arrived: 0, when there is nothing */
void uart_write(void *context, const uint8_t *bytes, size_t size);
uint32_t millis(void);

static int32_t level;

static void set(jrpc_call *call) {
    int32_t wanted, before = level;
    if (!jrpc_int_within(call, "level", 0, 100, &wanted)) return; /* which has been answered */
    level = wanted;
    jrpc_return_int(call, before);
}

static void get(jrpc_call *call) {
    jrpc_return_int(call, level);
}

static const jrpc_method methods[] = {
    {"lamp.get", get, "", JRPC_IDEMPOTENT},
    {"lamp.set", set, "level", 0},
};

static jrpc rpc;
static uint8_t received[JRPC_TUYA_ROOM(MAX_MESSAGE)];
static jrpc_tuya line = {.rpc = &rpc, .bytes = received, .room = sizeof received, .write = uart_write};
static char buffer[64];
static jrpc_remembered remembered[16];
static const jrpc_config config = {
    .methods = methods, .method_count = sizeof methods / sizeof *methods,
    .send = jrpc_tuya_send, .send_context = &line, .framing = JRPC_FRAME,
    .buffer = buffer, .buffer_size = sizeof buffer, .max_message = MAX_MESSAGE,
    .is_lossy = true, .lossy = &jrpc_lossy,
    .remembered = remembered, .remembered_count = sizeof remembered / sizeof *remembered,
};

int main(void) {
    uint8_t bytes[32];
    if (!jrpc_init(&rpc, &config, millis())) return 1; /* the config lacks something */
    for (;;) {
        size_t size = uart_read(bytes, sizeof bytes);
        if (size > 0) jrpc_tuya_feed(&line, bytes, size, millis());
        else jrpc_tuya_poll(&line, millis());
        jrpc_poll(&rpc, millis());
    }
}
