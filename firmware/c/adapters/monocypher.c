/* The four functions of `jrpc_seal` by Monocypher 4 (monocypher.org), but the random bytes: where
 * they come from only you know. Begin with
 *
 *     static void random_bytes(uint8_t *bytes, size_t size) { ... the generator of your chip ... }
 *     jrpc_crypto crypto = jrpc_monocypher(random_bytes); */
#include "monocypher.h"

#include "adapters.h"

static void x25519(uint8_t product[JRPC_POINT_SIZE], const uint8_t secret[JRPC_KEY_SIZE],
                   const uint8_t point[JRPC_POINT_SIZE]) {
    crypto_x25519(product, secret, point);
}

static void seal(uint8_t *text, size_t size, uint8_t tag[JRPC_TAG_SIZE],
                 const uint8_t key[JRPC_KEY_SIZE], const uint8_t nonce[JRPC_NONCE_SIZE],
                 const uint8_t *header, size_t header_size) {
    crypto_aead_ctx context;
    crypto_aead_init_ietf(&context, key, nonce);
    crypto_aead_write(&context, text, tag, header, header_size, text, size);
    crypto_wipe(&context, sizeof context);
}

static bool open(uint8_t *text, size_t size, const uint8_t tag[JRPC_TAG_SIZE],
                 const uint8_t key[JRPC_KEY_SIZE], const uint8_t nonce[JRPC_NONCE_SIZE],
                 const uint8_t *header, size_t header_size) {
    crypto_aead_ctx context;
    crypto_aead_init_ietf(&context, key, nonce);
    int wrong = crypto_aead_read(&context, text, tag, header, header_size, text, size);
    crypto_wipe(&context, sizeof context);
    return wrong == 0;
}

jrpc_crypto jrpc_monocypher(void (*random)(uint8_t *bytes, size_t size)) {
    return (jrpc_crypto){random, x25519, seal, open};
}
