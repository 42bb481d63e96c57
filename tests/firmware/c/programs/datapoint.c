/* A device behind a Tuya module, on a terminal, with messages in segments: DEVICE [sealed]. */
#define _DEFAULT_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "adapters/adapters.h"
#include "jrpc_base.h"
#include "jrpc_lossy.h"
#include "jrpc_seal.h"
#include "jrpc_segments.h"
#include "jrpc_tuya.h"

enum { DATAPOINT = 254, SEALED = (DATAPOINT - 1) / 5 * 4 - JRPC_SEAL_OVERHEAD, MESSAGE = 4000 };
enum { ARRIVING = 255, SEALED_ARRIVING = (ARRIVING - 1) / 5 * 4 + 3 - JRPC_SEAL_OVERHEAD };

static const uint8_t keys[1][JRPC_KEY_SIZE] = {
    {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
     16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
};

static jrpc rpc;
static jrpc_seal seal;
static jrpc_segments segments;
static jrpc_tuya line;
static bool is_sealed;
static int terminal;

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

static const jrpc_method methods[] = {{"echo", echo, "value", JRPC_IDEMPOTENT}};

static void write_line(void *context, const uint8_t *bytes, size_t size) {
    (void)context;
    while (size > 0) {
        ssize_t written = write(terminal, bytes, size);
        if (written < 0) exit(1);
        bytes += written;
        size -= (size_t)written;
    }
}

static void take_packet(void *context, const char *packet, size_t size, uint32_t time) {
    (void)context;
    jrpc_segments_receive(&segments, packet, size, time);
}

static void take_message(void *context, const char *message, size_t size, uint32_t time) {
    (void)context;
    jrpc_receive(&rpc, message, size, time);
}

static void take_datapoint(void *context, uint8_t id, uint8_t type, const uint8_t *value,
                           size_t size) {
    (void)context; /* the value is in the buffer of the line, and may be deciphered there */
    if (id != JRPC_TUYA_DPID || type != JRPC_TUYA_STRING) return;
    if (is_sealed) {
        jrpc_seal_receive(&seal, (char *)value, size, now());
    } else {
        take_packet(NULL, (const char *)value, size, now());
    }
}

static bool begin(void) {
    static uint8_t received[JRPC_TUYA_ROOM(1024)], sealed[DATAPOINT];
    static char buffer[256], leaving[MESSAGE + 4], arriving[JRPC_SEGMENTS_ROOM(MESSAGE, 100)];
    static jrpc_seal_session sessions[3];
    static jrpc_remembered remembered[16];
    static jrpc_crypto crypto;
    static jrpc_seal_config seal_config;
    static jrpc_segments_config segments_config;
    static jrpc_config config;
    crypto = jrpc_monocypher(random_bytes);
    line = (jrpc_tuya){.bytes = received, .room = sizeof received, .write = write_line,
                       .on_datapoint = take_datapoint};
    seal_config = (jrpc_seal_config){
        .crypto = &crypto, .keys = keys, .key_count = 1, .form = JRPC_SEAL_BASE85,
        .sessions = sessions, .session_count = 3, .buffer = sealed, .buffer_size = sizeof sealed,
        .send = jrpc_tuya_send_datapoint, .send_context = &line, .receive = take_packet,
    };
    segments_config = (jrpc_segments_config){
        .max_packet = is_sealed ? SEALED : DATAPOINT,
        .max_arriving = is_sealed ? SEALED_ARRIVING : ARRIVING,
        .arriving = arriving, .arriving_size = sizeof arriving,
        .leaving = leaving, .leaving_size = sizeof leaving, .retry_ms = 500,
        .send = is_sealed ? jrpc_seal_send : jrpc_tuya_send_datapoint,
        .send_context = is_sealed ? (void *)&seal : (void *)&line, .receive = take_message,
    };
    config = (jrpc_config){
        .methods = methods, .method_count = 1, .send = jrpc_segments_send,
        .send_context = &segments, .framing = JRPC_FRAME, .buffer = buffer,
        .buffer_size = sizeof buffer, .max_message = MESSAGE, .is_lossy = true,
        .lossy = &jrpc_lossy, .remembered = remembered, .remembered_count = 16,
    };
    return jrpc_seal_init(&seal, &seal_config) && jrpc_segments_init(&segments, &segments_config) &&
           jrpc_init(&rpc, &config, now());
}

int main(int count, char **arguments) {
    struct termios settings;
    terminal = count > 1 ? open(arguments[1], O_RDWR | O_NOCTTY) : -1;
    is_sealed = count > 2;
    if (terminal < 0 || tcgetattr(terminal, &settings) < 0 || !begin()) return 2;
    cfmakeraw(&settings);
    tcsetattr(terminal, TCSANOW, &settings);
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint8_t bytes[256];
        struct pollfd readable = {terminal, POLLIN, 0};
        while (jrpc_segments_poll(&segments, now())) {}
        if (poll(&readable, 1, 20) == 0) {
            jrpc_tuya_poll(&line, now());
            jrpc_poll(&rpc, now());
            continue;
        }
        ssize_t size = read(terminal, bytes, sizeof bytes);
        if (size <= 0) return 0;
        jrpc_tuya_feed(&line, bytes, (size_t)size, now());
    }
}
