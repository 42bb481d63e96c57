/* A keyed digest, by which requests are told apart: HalfSipHash-2-4 of 64 bits (J.-P. Aumasson). Who
 * does not know the key cannot make two requests with the same digest; and each peer has its own, so
 * that one could only harm itself. It takes 32-bit steps, which small processors have. */
#include "jrpc_parts.h"

#include <string.h>

static uint32_t rotated(uint32_t value, int by) {
    return value << by | value >> (32 - by);
}

static void mix(uint32_t v[4], int rounds) {
    while (rounds-- > 0) {
        v[0] += v[1];
        v[1] = rotated(v[1], 5) ^ v[0];
        v[0] = rotated(v[0], 16);
        v[2] += v[3];
        v[3] = rotated(v[3], 8) ^ v[2];
        v[0] += v[3];
        v[3] = rotated(v[3], 7) ^ v[0];
        v[2] += v[1];
        v[1] = rotated(v[1], 13) ^ v[2];
        v[2] = rotated(v[2], 16);
    }
}

static void absorb(uint32_t v[4], const char block[4], uint32_t size) {
    const uint8_t *bytes = (const uint8_t *)block;
    uint32_t word = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | size << 24;
    v[3] ^= word;
    mix(v, 2);
    v[0] ^= word;
}

static void leave(jrpc_out *out, size_t rest) {
    jrpc_digest *digest = out->context;
    (void)rest;
    absorb(digest->v, digest->block, (uint8_t)digest->block[3]);
    out->used = 0;
}

void jrpc_begin_digest(jrpc_digest *digest, const jrpc *rpc) {
    memset(digest, 0, sizeof *digest);
    digest->out = (jrpc_out){.bytes = digest->block, .room = sizeof digest->block,
                             .total = SIZE_MAX, .leave = leave, .context = digest};
    digest->v[0] = rpc->key[0];
    digest->v[1] = rpc->key[1] ^ 0xEE;
    digest->v[2] = rpc->key[0] ^ 0x6C796765;
    digest->v[3] = rpc->key[1] ^ 0x74656462;
}

void jrpc_end_digest(jrpc_digest *digest, uint32_t value[2]) {
    jrpc_out *out = &digest->out;
    if (out->used == sizeof digest->block) leave(out, 0);
    memset(digest->block + out->used, 0, sizeof digest->block - out->used);
    absorb(digest->v, digest->block, (uint32_t)out->count);
    digest->v[2] ^= 0xEE;
    mix(digest->v, 4);
    value[0] = digest->v[1] ^ digest->v[3];
    digest->v[1] ^= 0xDD;
    mix(digest->v, 4);
    value[1] = digest->v[1] ^ digest->v[3];
}

void jrpc_digest_call(const jrpc_call *call, uint32_t value[2]) {
    jrpc_digest digest;
    jrpc_begin_digest(&digest, call->rpc);
    jrpc_put_slice(&digest.out, call->of[JRPC_ID]);
    jrpc_put_slice(&digest.out, call->of[JRPC_METHOD]);
    jrpc_put_slice(&digest.out, call->of[JRPC_PARAMS]);
    jrpc_end_digest(&digest, value);
}
