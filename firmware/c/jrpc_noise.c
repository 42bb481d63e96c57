#include "jrpc_noise.h"

#include <string.h>

#include "jrpc_sha256.h"

enum { HMAC_BLOCK = 64 };

static const uint8_t first_nonce[JRPC_NONCE_SIZE]; /* each key of the handshake has one message */
static const uint8_t base_point[JRPC_POINT_SIZE] = {9};

void jrpc_wipe(void *secret, size_t size) {
    volatile uint8_t *byte = secret; /* else a compiler may see that nobody reads it again */
    while (size--) *byte++ = 0;
}

static void hmac_begin(jrpc_sha256 *hash, const uint8_t key[32], uint8_t mask) {
    uint8_t block[HMAC_BLOCK];
    memset(block, mask, sizeof block);
    for (size_t at = 0; at < 32; at++) block[at] ^= key[at];
    jrpc_sha256_begin(hash);
    jrpc_sha256_add(hash, block, sizeof block);
    jrpc_wipe(block, sizeof block);
}

/* HMAC-SHA256 of data and, where `number` is above 0, that byte behind it. */
static void hmac(uint8_t out[32], const uint8_t key[32], const void *data, size_t size,
                 uint8_t number) {
    jrpc_sha256 hash;
    uint8_t inner[32];
    hmac_begin(&hash, key, 0x36);
    jrpc_sha256_add(&hash, data, size);
    jrpc_sha256_add(&hash, &number, number > 0);
    jrpc_sha256_end(&hash, inner);
    hmac_begin(&hash, key, 0x5c);
    jrpc_sha256_add(&hash, inner, sizeof inner);
    jrpc_sha256_end(&hash, out);
    jrpc_wipe(&hash, sizeof hash);
}

/* Noise's HKDF (section 4.3): two keys, or three where `third` is given. `first` may be `chaining`. */
static void derive(const uint8_t chaining[32], const void *secret, size_t size, uint8_t first[32],
                   uint8_t second[32], uint8_t *third) {
    uint8_t extracted[32];
    hmac(extracted, chaining, secret, size, 0);
    hmac(first, extracted, NULL, 0, 1);
    hmac(second, extracted, first, 32, 2);
    if (third) hmac(third, extracted, second, 32, 3);
    jrpc_wipe(extracted, sizeof extracted);
}

static void mix_hash(jrpc_noise *noise, const void *data, size_t size) {
    jrpc_sha256 hash;
    jrpc_sha256_begin(&hash);
    jrpc_sha256_add(&hash, noise->hash, sizeof noise->hash);
    jrpc_sha256_add(&hash, data, size);
    jrpc_sha256_end(&hash, noise->hash);
}

static void mix_key(jrpc_noise *noise, const uint8_t secret[32]) {
    derive(noise->chaining, secret, 32, noise->chaining, noise->key, NULL);
}

/* An ephemeral key counts for the keys too where there is a shared one (section 9.2). */
static void mix_ephemeral(jrpc_noise *noise, const uint8_t point[JRPC_POINT_SIZE]) {
    mix_hash(noise, point, JRPC_POINT_SIZE);
    mix_key(noise, point);
}

static void begin(jrpc_noise *noise, const jrpc_crypto *crypto, const uint8_t psk[JRPC_KEY_SIZE],
                  const uint8_t *prologue, size_t prologue_size) {
    static const char name[] = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
    jrpc_sha256 hash;
    uint8_t middle[32];
    noise->crypto = crypto;
    jrpc_sha256_begin(&hash);
    jrpc_sha256_add(&hash, name, sizeof name - 1);
    jrpc_sha256_end(&hash, noise->hash);
    memcpy(noise->chaining, noise->hash, sizeof noise->chaining);
    mix_hash(noise, prologue, prologue_size);
    derive(noise->chaining, psk, JRPC_KEY_SIZE, noise->chaining, middle, noise->key);
    mix_hash(noise, middle, sizeof middle);
}

bool jrpc_noise_read(jrpc_noise *noise, const jrpc_crypto *crypto, const uint8_t psk[JRPC_KEY_SIZE],
                     const uint8_t *prologue, size_t prologue_size, const uint8_t *message,
                     size_t size, uint8_t *payload) {
    const uint8_t *sealed = message + JRPC_POINT_SIZE;
    size_t payload_size = size - JRPC_NOISE_OVERHEAD;
    begin(noise, crypto, psk, prologue, prologue_size);
    memcpy(noise->remote, message, JRPC_POINT_SIZE);
    mix_ephemeral(noise, noise->remote);
    memcpy(payload, sealed, payload_size);
    if (!crypto->open(payload, payload_size, sealed + payload_size, noise->key, first_nonce,
                      noise->hash, sizeof noise->hash)) {
        jrpc_wipe(noise, sizeof *noise);
        return false;
    }
    mix_hash(noise, sealed, payload_size + JRPC_TAG_SIZE);
    return true;
}

bool jrpc_noise_answer(jrpc_noise *noise, const uint8_t *payload, size_t payload_size,
                       uint8_t *message, uint8_t receives[JRPC_KEY_SIZE],
                       uint8_t sends[JRPC_KEY_SIZE]) {
    static const uint8_t zero[JRPC_POINT_SIZE];
    const jrpc_crypto *crypto = noise->crypto;
    uint8_t secret[JRPC_KEY_SIZE], shared[JRPC_POINT_SIZE];
    uint8_t *sealed = message + JRPC_POINT_SIZE;
    crypto->random(secret, sizeof secret);
    crypto->x25519(message, secret, base_point);
    crypto->x25519(shared, secret, noise->remote);
    bool is_good = memcmp(shared, zero, sizeof zero) != 0;
    if (is_good) {
        mix_ephemeral(noise, message);
        mix_key(noise, shared);
        memcpy(sealed, payload, payload_size);
        crypto->seal(sealed, payload_size, sealed + payload_size, noise->key, first_nonce,
                     noise->hash, sizeof noise->hash);
        derive(noise->chaining, NULL, 0, receives, sends, NULL);
    }
    jrpc_wipe(secret, sizeof secret);
    jrpc_wipe(shared, sizeof shared);
    jrpc_wipe(noise, sizeof *noise);
    return is_good;
}
