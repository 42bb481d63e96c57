/* A seal that a test drives line by line; bytes are in hexadecimal, times in milliseconds.
 *
 *     random BYTES        these come next when random bytes are asked for
 *     packet TIME BYTES   arrives, `-` for none; last it says `taken` or `refused`
 *     send BYTES          leaves, a byte at a time
 *     poll TIME
 *
 * It says `sent BYTES` for each packet, `message KEY BYTES` for what came, and an empty line at last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/adapters.h"
#include "jrpc_seal.h"

#define EPOCH (0u - 500u) /* what is time 0 here, so that the clock wraps within many a test */

static uint8_t chosen[4096];
static size_t chosen_count, chosen_at;
static jrpc_seal seal;
static char packet[2048];
static size_t packet_size;

static void random_bytes(uint8_t *bytes, size_t size) {
    if (chosen_count - chosen_at < size) abort();
    memcpy(bytes, chosen + chosen_at, size);
    chosen_at += size;
}

static void print(const char *bytes, size_t size) {
    for (size_t at = 0; at < size; at++) printf("%02x", (unsigned char)bytes[at]);
    putchar('\n');
}

static void sends(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context;
    memcpy(packet + packet_size, bytes, size);
    packet_size += size;
    if (rest) return;
    printf("sent ");
    print(packet, packet_size);
    packet_size = 0;
}

static void receives(void *context, const char *message, size_t size, uint32_t now) {
    (void)context, (void)now;
    printf("message %d ", jrpc_seal_key(&seal));
    print(message, size);
}

static size_t read_bytes(uint8_t *bytes, const char *text) {
    size_t size = 0;
    unsigned byte;
    while (sscanf(text + 2 * size, "%2x", &byte) == 1) bytes[size++] = (uint8_t)byte;
    return size;
}

static void obey(const char *line) {
    uint8_t bytes[2048];
    char word[16] = "", text[4096] = "";
    unsigned long now = 0;
    if (sscanf(line, "packet %lu %4095s", &now, text) == 2) {
        size_t size = read_bytes(bytes, text);
        char *exact = malloc(size ? size : 1); /* so that a byte too many is noticed */
        memcpy(exact, bytes, size);
        puts(jrpc_seal_receive(&seal, exact, size, EPOCH + (uint32_t)now) ? "taken" : "refused");
        free(exact);
    } else if (sscanf(line, "poll %lu", &now) == 1) {
        jrpc_seal_poll(&seal, EPOCH + (uint32_t)now);
    } else if (sscanf(line, "%15s %4095s", word, text) == 2 && strcmp(word, "random") == 0) {
        chosen_count = read_bytes(chosen, text);
        chosen_at = 0;
    } else if (strcmp(word, "send") == 0) {
        size_t size = read_bytes(bytes, text);
        for (size_t at = 0; at < size; at++) {
            jrpc_seal_send(&seal, (char *)bytes + at, 1, size - 1 - at);
        }
    }
    putchar('\n');
    fflush(stdout);
}

int main(int count, char **arguments) {
    static char line[8192];
    static uint8_t keys[4][JRPC_KEY_SIZE], buffer[1024];
    static jrpc_seal_session sessions[8];
    static jrpc_crypto crypto;
    jrpc_seal_config config = {0};
    if (count < 4) return 2; /* FORM SESSIONS KEY... */
    crypto = jrpc_monocypher(random_bytes);
    for (int at = 3; at < count; at++) read_bytes(keys[at - 3], arguments[at]);
    config.crypto = &crypto;
    config.keys = (const uint8_t(*)[JRPC_KEY_SIZE])keys;
    config.key_count = (size_t)count - 3;
    config.form = (jrpc_seal_form)atoi(arguments[1]);
    config.sessions = sessions;
    config.session_count = (size_t)atoi(arguments[2]);
    config.buffer = buffer;
    config.buffer_size = sizeof buffer;
    config.send = sends;
    config.receive = receives;
    if (!jrpc_seal_init(&seal, &config)) return 3;
    while (fgets(line, sizeof line, stdin)) obey(line);
    return 0;
}
