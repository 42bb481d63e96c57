/* Segments that a test drives line by line; bytes are in hexadecimal, times in milliseconds.
 *
 *     packet TIME BYTES   arrives
 *     send BYTES          leaves, a byte at a time
 *     poll TIME           says `more` if there is more to do at once
 *
 * It says `sent BYTES` for each packet, `message BYTES` for what came, then `counts`, whether it is
 * busy and the four counts, and an empty line at last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jrpc_segments.h"

#define EPOCH (0u - 500u) /* what is time 0 here, so that the clock wraps within many a test */

static char packet[70000];
static size_t packet_size;

static void print(const char *word, const char *bytes, size_t size) {
    printf("%s ", word);
    for (size_t at = 0; at < size; at++) printf("%02x", (unsigned char)bytes[at]);
    putchar('\n');
}

static void sends(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context;
    memcpy(packet + packet_size, bytes, size);
    packet_size += size;
    if (rest) return;
    print("sent", packet, packet_size);
    packet_size = 0;
}

static void receives(void *context, const char *message, size_t size, uint32_t now) {
    (void)context, (void)now;
    print("message", message, size);
}

/* The bytes, in memory of just that size, so that a byte too many is noticed. */
static char *read_bytes(const char *text, size_t *size) {
    *size = strspn(text, "0123456789abcdef") / 2;
    char *bytes = malloc(*size ? *size : 1);
    for (size_t at = 0; at < *size; at++) {
        unsigned byte = 0;
        if (sscanf(text + 2 * at, "%2x", &byte) == 1) bytes[at] = (char)byte;
    }
    return bytes;
}

static void obey(jrpc_segments *segments, char *line) {
    char *word = strtok(line, " \n"), *first = strtok(NULL, " \n"), *second = strtok(NULL, " \n");
    uint32_t now = EPOCH + (first ? (uint32_t)strtoul(first, NULL, 10) : 0);
    size_t size = 0;
    char *bytes = read_bytes(second ? second : first ? first : "", &size);
    if (strcmp(word, "packet") == 0) {
        jrpc_segments_receive(segments, bytes, size, now);
    } else if (strcmp(word, "send") == 0) {
        for (size_t at = 0; at < size; at++) {
            jrpc_segments_send(segments, bytes + at, 1, size - 1 - at);
        }
    } else if (jrpc_segments_poll(segments, now)) {
        puts("more");
    }
    free(bytes);
    bool is_busy = segments->in.is_on || segments->used > 0;
    printf("counts %d %u %u %u %u\n\n", is_busy, segments->counts.dropped, segments->counts.abandoned,
           segments->counts.given_up, segments->counts.unsent);
    fflush(stdout);
}

int main(int count, char **arguments) {
    static char line[300000];
    static jrpc_segments segments;
    jrpc_segments_config config = {0};
    if (count != 5) return 2; /* PACKET ARRIVING LEAVING RETRY */
    config.max_packet = strtoul(arguments[1], NULL, 10);
    config.arriving_size = strtoul(arguments[2], NULL, 10);
    config.leaving_size = strtoul(arguments[3], NULL, 10);
    config.retry_ms = (uint32_t)strtoul(arguments[4], NULL, 10);
    config.arriving = malloc(config.arriving_size);
    config.leaving = malloc(config.leaving_size);
    config.send = sends;
    config.receive = receives;
    if (!jrpc_segments_init(&segments, &config)) return 3;
    while (fgets(line, sizeof line, stdin)) obey(&segments, line);
    free(config.arriving);
    free(config.leaving);
    return 0;
}
