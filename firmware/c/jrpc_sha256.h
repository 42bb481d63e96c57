/* SHA-256 (FIPS 180-4), piece by piece: `jrpc_seal` and `jrpc_files` lean on it. */
#ifndef JRPC_SHA256_H
#define JRPC_SHA256_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JRPC_SHA256_SIZE 32 /* bytes of a digest */

typedef struct {
    uint32_t state[8];
    uint64_t size; /* bytes so far */
    uint8_t block[64];
} jrpc_sha256;

void jrpc_sha256_begin(jrpc_sha256 *hash);
void jrpc_sha256_add(jrpc_sha256 *hash, const void *data, size_t size);

/* The digest of all that was added. The hash is used up. */
void jrpc_sha256_end(jrpc_sha256 *hash, uint8_t digest[JRPC_SHA256_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
