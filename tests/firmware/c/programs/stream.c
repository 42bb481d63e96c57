/* Cuts a stream into messages, and shows them: `feed ROOM STEP HEX`, answered by `message HEX` for each
 * and `rest HEX`, or `close`. Built with --wrap=jrpc_receive, so that nobody reads the messages. */
#include "jrpc_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_hex(const char *what, const char *bytes, size_t size) {
    printf("%s ", what);
    for (size_t i = 0; i < size; i++) printf("%02x", (unsigned char)bytes[i]);
    puts("");
}

void __wrap_jrpc_receive(jrpc *rpc, const char *message, size_t size, uint32_t now);

void __wrap_jrpc_receive(jrpc *rpc, const char *message, size_t size, uint32_t now) {
    (void)rpc, (void)now;
    print_hex("message", message, size);
}

static void drop(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context, (void)bytes, (void)size, (void)rest;
}

static bool feed(jrpc_stream *stream, const char *hex, size_t step) {
    char piece[4096];
    while (*hex != '\0') {
        size_t size = 0;
        for (; size < step && hex[0] != '\0' && hex[0] != '\n'; size++, hex += 2) {
            unsigned byte;
            if (sscanf(hex, "%2x", &byte) != 1) return true;
            piece[size] = (char)byte;
        }
        if (!jrpc_stream_feed(stream, piece, size, 0)) return false;
        if (size < step) return true;
    }
    return true;
}

int main(void) {
    static char line[20000], buffer[64];
    jrpc_config config = {.send = drop, .framing = JRPC_STREAM, .buffer = buffer,
                          .buffer_size = sizeof buffer, .max_message = 1000};
    while (fgets(line, sizeof line, stdin)) {
        jrpc rpc;
        char *rest;
        size_t room = strtoul(line + strlen("feed "), &rest, 10), step = strtoul(rest, &rest, 10);
        char *bytes = malloc(room);
        jrpc_stream stream = {.rpc = &rpc, .bytes = bytes, .room = room};
        if (bytes == NULL || !jrpc_init(&rpc, &config, 0)) abort();
        if (feed(&stream, rest + 1, step)) print_hex("rest", bytes, stream.count);
        else puts("close");
        free(bytes);
        puts("");
        fflush(stdout);
    }
    return 0;
}
