/* Segments that arrive and reports on those that leave, as records; time goes on between them. */
#include "fuzz.h"
#include "jrpc_segments.h"

enum { PACKET = 40, LEAVING = 500 };

static fuzz_message packet;

static void sends(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context;
    if (fuzz_collect(&packet, bytes, size, rest)) packet.used = 0;
}

static void receives(void *context, const char *bytes, size_t size, uint32_t now) {
    unsigned *sum = context;
    (void)now;
    while (size--) *sum += (unsigned char)*bytes++; /* all of it can be read */
}

void fuzz_segments(const uint8_t *data, size_t size) {
    static jrpc_segments segments;
    static char leaving[LEAVING + 4];
    unsigned sum = 0;
    jrpc_segments_config config = {0};
    uint32_t now = UINT32_MAX - 1000;
    size_t record_size;
    char *record, text[LEAVING];
    config.max_packet = PACKET;
    config.arriving_size = 300;
    config.arriving = malloc(config.arriving_size);
    config.leaving = leaving;
    config.leaving_size = sizeof leaving;
    config.retry_ms = 250;
    config.send = sends;
    config.receive = receives;
    config.receive_context = &sum;
    packet = (fuzz_message){.most = PACKET, .is_counted = true};
    REQUIRE(config.arriving && jrpc_segments_init(&segments, &config));
    memset(text, 'x', sizeof text);
    jrpc_segments_send(&segments, text, sizeof text, 0);
    while ((record = fuzz_record(&data, &size, &record_size))) {
        jrpc_segments_receive(&segments, record, record_size, now);
        for (int tries = 0; jrpc_segments_poll(&segments, now); tries++) REQUIRE(tries < 200);
        now += 60;
        free(record);
    }
    free(config.arriving);
}
