/* A lamp on a serial line. On a microcontroller `main` is yours; the rest stays as it is.
 *
 *     cc -std=c99 -o lamp lamp.c rpc_frame.c && ./lamp /dev/ttyUSB0 */
#define _DEFAULT_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "rpc_frame.h"

static int level = 0;

static size_t set_level(rpc_request request, char *out, size_t room) {
    char digits[8] = "", previous[8], *end = digits;
    rpc_json value = rpc_member(request.params, "level");
    if (value.size > 0 && value.size < sizeof digits) {
        snprintf(digits, sizeof digits, "%.*s", (int)value.size, value.text);
    }
    long wanted = strtol(digits, &end, 10);
    if (end == digits || *end != '\0' || wanted < 0 || wanted > 100) {
        return rpc_error(out, room, request.id, -32602, "level is a number from 0 to 100");
    }
    snprintf(previous, sizeof previous, "%d", level);
    level = (int)wanted;
    return rpc_result(out, room, request.id, previous);
}

static size_t answer(rpc_json message, char *out, size_t room) {
    rpc_request request;
    int wrong = rpc_read_request(message, &request);
    size_t size;
    if (wrong > 0) return 0;
    if (wrong < 0) return rpc_error(out, room, request.id, wrong, "Invalid request");
    if (rpc_is(request.method, "lamp.set")) {
        size = set_level(request, out, room);
    } else {
        size = rpc_error(out, room, request.id, -32601, "Method not found");
    }
    return request.id.size ? size : 0;
}

static void take_frame(void *context, uint8_t command, const uint8_t *data, size_t size) {
    static char reply[RPC_MAX_MESSAGE + 1];
    static uint8_t frame[RPC_MAX_FRAME];
    const int port = *(const int *)context;
    if (command != RPC_COMMAND) return; /* heartbeats and DataPoints are for others */
    size_t length = answer((rpc_json){(const char *)data, size}, reply, sizeof reply);
    size_t rest = length ? rpc_encode(frame, RPC_COMMAND, reply, length) : 0;
    for (const uint8_t *at = frame; rest > 0;) {
        ssize_t written = write(port, at, rest);
        if (written < 0) exit(1);
        at += written;
        rest -= (size_t)written;
    }
}

static uint32_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000 + (uint32_t)(now.tv_nsec / 1000000);
}

int main(int count, char **arguments) {
    static rpc_parser parser;
    struct termios settings;
    int port = count == 2 ? open(arguments[1], O_RDWR | O_NOCTTY) : -1;
    if (port < 0 || tcgetattr(port, &settings) < 0) {
        fprintf(stderr, "usage: %s /dev/ttyUSB0\n", arguments[0]);
        return 2;
    }
    cfmakeraw(&settings);
    cfsetspeed(&settings, B115200);
    tcsetattr(port, TCSANOW, &settings);
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint8_t bytes[256];
        struct pollfd readable = {port, POLLIN, 0};
        if (poll(&readable, 1, 20) == 0) {
            rpc_tick(&parser, milliseconds(), take_frame, &port);
            continue;
        }
        ssize_t size = read(port, bytes, sizeof bytes);
        if (size <= 0) return 0; /* unplugged */
        rpc_feed(&parser, bytes, (size_t)size, take_frame, &port);
    }
}
