/* Packets of every kind, as records. The cryptography is none, so that a fuzzer gets past it: a tag
 * of zeros is right. */
#include "fuzz.h"
#include "jrpc_seal.h"

static fuzz_message packet;
static uint8_t next_random;

static void random_bytes(uint8_t *bytes, size_t size) { memset(bytes, next_random++, size); }

static void x25519(uint8_t product[JRPC_POINT_SIZE], const uint8_t secret[JRPC_KEY_SIZE],
                   const uint8_t point[JRPC_POINT_SIZE]) {
    (void)secret;
    memcpy(product, point, JRPC_POINT_SIZE);
}

static void seal_text(uint8_t *text, size_t size, uint8_t tag[JRPC_TAG_SIZE],
                      const uint8_t key[JRPC_KEY_SIZE], const uint8_t nonce[JRPC_NONCE_SIZE],
                      const uint8_t *header, size_t header_size) {
    (void)text, (void)size, (void)key, (void)nonce, (void)header, (void)header_size;
    memset(tag, 0, JRPC_TAG_SIZE);
}

static bool open_text(uint8_t *text, size_t size, const uint8_t tag[JRPC_TAG_SIZE],
                      const uint8_t key[JRPC_KEY_SIZE], const uint8_t nonce[JRPC_NONCE_SIZE],
                      const uint8_t *header, size_t header_size) {
    static const uint8_t zeros[JRPC_TAG_SIZE];
    (void)text, (void)size, (void)key, (void)nonce, (void)header, (void)header_size;
    return memcmp(tag, zeros, sizeof zeros) == 0;
}

static void sends(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context;
    if (fuzz_collect(&packet, bytes, size, rest)) packet.used = 0;
}

static void receives(void *context, const char *bytes, size_t size, uint32_t now) {
    jrpc_seal *seal = context;
    (void)now;
    REQUIRE(jrpc_seal_key(seal) == 0);
    jrpc_seal_send(seal, bytes, size, 0);
}

void fuzz_seal(const uint8_t *data, size_t size) {
    static const jrpc_crypto crypto = {random_bytes, x25519, seal_text, open_text};
    static const uint8_t keys[1][JRPC_KEY_SIZE];
    static jrpc_seal_session sessions[3];
    static jrpc_seal seal;
    static uint8_t buffer[128];
    jrpc_seal_config config = {0};
    uint32_t now = UINT32_MAX - 100000;
    size_t record_size;
    char *record;
    if (size == 0) return;
    config.crypto = &crypto;
    config.keys = keys;
    config.key_count = 1;
    config.form = (jrpc_seal_form)(*data % 3);
    config.sessions = sessions;
    config.session_count = 3;
    config.buffer = buffer;
    config.buffer_size = sizeof buffer;
    config.send = sends;
    config.receive = receives;
    config.receive_context = &seal;
    next_random = 1;
    packet = (fuzz_message){.most = 1 + sizeof buffer * 4 / 3 + 4, .is_counted = true};
    REQUIRE(jrpc_seal_init(&seal, &config));
    data++, size--;
    while ((record = fuzz_record(&data, &size, &record_size))) {
        jrpc_seal_receive(&seal, record, record_size, now);
        jrpc_seal_poll(&seal, now += 9000);
        free(record);
    }
}
