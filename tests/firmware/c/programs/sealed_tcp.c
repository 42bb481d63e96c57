/* A device on TCP that talks to who has the key alone, one connection at a time. It says its port. */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "adapters/adapters.h"
#include "jrpc_base.h"
#include "jrpc_seal.h"
#include "jrpc_stream.h"

enum { MESSAGE = 8192, PACKET = MESSAGE + JRPC_SEAL_OVERHEAD };

static const uint8_t keys[1][JRPC_KEY_SIZE] = {
    {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
     16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
};

static jrpc rpc;
static jrpc_seal seal;
static int connection;

static uint32_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint32_t)time.tv_sec * 1000 + (uint32_t)(time.tv_nsec / 1000000);
}

static void random_bytes(uint8_t *bytes, size_t size) {
    if (getrandom(bytes, size, 0) != (ssize_t)size) abort();
}

static void write_value(jrpc_out *out, void *value) { jrpc_put_slice(out, *(jrpc_slice *)value); }

static void echo(jrpc_call *call) {
    jrpc_slice value;
    if (jrpc_any(call, "value", &value)) jrpc_return(call, write_value, &value);
}

static const jrpc_method methods[] = {{"echo", echo, "value", 0}};

static void write_tcp(void *context, const char *bytes, size_t size) {
    (void)context;
    while (size > 0) {
        ssize_t written = send(connection, bytes, size, MSG_NOSIGNAL);
        if (written <= 0) return; /* reading will tell */
        bytes += written;
        size -= (size_t)written;
    }
}

static bool take_line(void *context, char *line, size_t size, uint32_t time) {
    (void)context;
    return jrpc_seal_receive(&seal, line, size, time);
}

static void take_message(void *context, const char *message, size_t size, uint32_t time) {
    (void)context;
    jrpc_receive(&rpc, message, size, time);
}

static void serve(void) {
    static char received[JRPC_BASE64_SIZE(PACKET) + 1], buffer[256];
    static uint8_t sealed[PACKET];
    static jrpc_seal_session sessions[3];
    const jrpc_crypto crypto = jrpc_monocypher(random_bytes);
    jrpc_stream stream = {.take = take_line, .bytes = received, .room = sizeof received,
                          .write = write_tcp};
    const jrpc_seal_config seal_config = {
        .crypto = &crypto, .keys = keys, .key_count = 1, .form = JRPC_SEAL_BASE64,
        .sessions = sessions, .session_count = 3, .buffer = sealed, .buffer_size = sizeof sealed,
        .send = jrpc_stream_send, .send_context = &stream, .receive = take_message,
    };
    const jrpc_config config = {
        .methods = methods, .method_count = 1, .send = jrpc_seal_send, .send_context = &seal,
        .framing = JRPC_FRAME, .buffer = buffer, .buffer_size = sizeof buffer,
        .max_message = MESSAGE,
    };
    if (!jrpc_seal_init(&seal, &seal_config) || !jrpc_init(&rpc, &config, now())) abort();
    for (;;) {
        char bytes[1000];
        struct pollfd readable = {connection, POLLIN, 0};
        if (poll(&readable, 1, 100) == 0) {
            if (!jrpc_stream_poll(&stream, now())) return;
            jrpc_poll(&rpc, now());
            continue;
        }
        ssize_t size = recv(connection, bytes, sizeof bytes, 0);
        if (size <= 0 || !jrpc_stream_feed(&stream, bytes, (size_t)size, now())) return;
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 5) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    while ((connection = accept(listener, NULL, NULL)) >= 0) {
        serve();
        close(connection);
    }
    return 1;
}
