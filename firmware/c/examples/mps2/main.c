/* A lamp on a bare Cortex-M3: it answers `lamp.set` and `lamp.uptime`. */
#include <stdio.h>

#include "board.h"
#include "rpc_frame.h"

static int level;

static void put_number(char text[12], unsigned long number) { snprintf(text, 12, "%lu", number); }

static void take(void *context, uint8_t command, const uint8_t *data, size_t size) {
    static char reply[RPC_MAX_MESSAGE + 1];
    static uint8_t frame[RPC_MAX_FRAME];
    char text[12] = "";
    rpc_request request;
    size_t length;
    (void)context;
    if (command != RPC_COMMAND) return;
    int wrong = rpc_read_request((rpc_json){(const char *)data, size}, &request);
    if (wrong > 0) return;
    if (wrong < 0) {
        length = rpc_error(reply, sizeof reply, request.id, wrong, "Invalid request");
    } else if (rpc_is(request.method, "lamp.set")) {
        rpc_json value = rpc_member(request.params, "level");
        put_number(text, (unsigned long)level);
        level = 0;
        for (size_t at = 0; at < value.size && value.text[at] >= '0' && value.text[at] <= '9'; at++)
            level = level * 10 + value.text[at] - '0';
        length = rpc_result(reply, sizeof reply, request.id, text);
    } else if (rpc_is(request.method, "lamp.uptime")) {
        put_number(text, board_ms());
        length = rpc_result(reply, sizeof reply, request.id, text);
    } else {
        length = rpc_error(reply, sizeof reply, request.id, -32601, "Method not found");
    }
    if (request.id.size && (length = rpc_encode(frame, RPC_COMMAND, reply, length)))
        board_write(frame, length);
}

int main(void) {
    static rpc_parser parser;
    uint8_t byte;
    for (;;) {
        if (board_read(&byte)) {
            rpc_feed(&parser, &byte, 1, take, NULL);
        } else {
            rpc_tick(&parser, board_ms(), take, NULL);
            board_wait();
        }
    }
}
