/* The answering end of Noise_NNpsk0_25519_ChaChaPoly_SHA256 (revision 34), for `jrpc_seal`:
 *
 *     -> psk, e       <- e, ee
 *
 * Who has another key is found out by the tag of message 1, before anything is computed on the curve. */
#ifndef JRPC_NOISE_H
#define JRPC_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { JRPC_KEY_SIZE = 32, JRPC_TAG_SIZE = 16, JRPC_NONCE_SIZE = 12, JRPC_POINT_SIZE = 32 };

/* What the author gives: four functions of any library of cryptography. */
typedef struct {
    /* Random bytes that nobody can guess, from a generator that is meant for keys. */
    void (*random)(uint8_t *bytes, size_t size);
    /* X25519 (RFC 7748): `secret` times `point`. */
    void (*x25519)(uint8_t product[JRPC_POINT_SIZE], const uint8_t secret[JRPC_KEY_SIZE],
                   const uint8_t point[JRPC_POINT_SIZE]);
    /* ChaCha20-Poly1305 (RFC 8439): encrypt `text` where it is; the tag is over it and the header. */
    void (*seal)(uint8_t *text, size_t size, uint8_t tag[JRPC_TAG_SIZE],
                 const uint8_t key[JRPC_KEY_SIZE], const uint8_t nonce[JRPC_NONCE_SIZE],
                 const uint8_t *header, size_t header_size);
    /* The reverse; false: the tag is wrong, and then `text` may be anything. */
    bool (*open)(uint8_t *text, size_t size, const uint8_t tag[JRPC_TAG_SIZE],
                 const uint8_t key[JRPC_KEY_SIZE], const uint8_t nonce[JRPC_NONCE_SIZE],
                 const uint8_t *header, size_t header_size);
} jrpc_crypto;

/* Bytes of a message beside its payload. */
#define JRPC_NOISE_OVERHEAD (JRPC_POINT_SIZE + JRPC_TAG_SIZE)

/* A handshake; the fields belong to the library. */
typedef struct {
    const jrpc_crypto *crypto;
    uint8_t hash[32], chaining[32], key[JRPC_KEY_SIZE], remote[JRPC_POINT_SIZE];
} jrpc_noise;

/* Take message 1, whose payload is put into `payload`; false: it was made with another key, or over
 * another prologue. `size` is that of the whole message, at least JRPC_NOISE_OVERHEAD. */
bool jrpc_noise_read(jrpc_noise *noise, const jrpc_crypto *crypto, const uint8_t psk[JRPC_KEY_SIZE],
                     const uint8_t *prologue, size_t prologue_size, const uint8_t *message,
                     size_t size, uint8_t *payload);

/* Make message 2 around a payload, and the keys of the session; false: the other end's public key is
 * one with which anybody could compute them. The handshake is used up. */
bool jrpc_noise_answer(jrpc_noise *noise, const uint8_t *payload, size_t payload_size,
                       uint8_t *message, uint8_t receives[JRPC_KEY_SIZE],
                       uint8_t sends[JRPC_KEY_SIZE]);

/* Overwrite what must not stay in memory. */
void jrpc_wipe(void *secret, size_t size);

#ifdef __cplusplus
}
#endif

#endif
