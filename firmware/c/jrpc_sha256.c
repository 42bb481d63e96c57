#include "jrpc_sha256.h"

#include <string.h>

#define BLOCK 64u

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turned(uint32_t word, unsigned bits) { return word >> bits | word << (32 - bits); }

static uint32_t read_word(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void write_word(uint8_t *bytes, uint32_t word) {
    for (unsigned at = 0; at < 4; at++) bytes[at] = (uint8_t)(word >> (24 - 8 * at));
}

/* The schedule of words is made as it goes: 16 of them are enough. */
static void compress(uint32_t state[8], const uint8_t *block) {
    uint32_t words[16], s[8];
    memcpy(s, state, sizeof s);
    for (unsigned round = 0; round < 64; round++) {
        uint32_t *word = &words[round % 16];
        if (round < 16) {
            *word = read_word(block + 4 * round);
        } else {
            uint32_t early = words[(round + 1) % 16], late = words[(round + 14) % 16];
            *word += (turned(early, 7) ^ turned(early, 18) ^ early >> 3) + words[(round + 9) % 16] +
                     (turned(late, 17) ^ turned(late, 19) ^ late >> 10);
        }
        uint32_t one = s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) +
                       ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[round] + *word;
        uint32_t two = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) +
                       ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (unsigned at = 0; at < 8; at++) state[at] += s[at];
}

void jrpc_sha256_begin(jrpc_sha256 *hash) {
    static const uint32_t start[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memcpy(hash->state, start, sizeof start);
    hash->size = 0;
}

void jrpc_sha256_add(jrpc_sha256 *hash, const void *data, size_t size) {
    const uint8_t *from = data;
    while (size) {
        size_t used = (size_t)(hash->size % BLOCK);
        size_t piece = BLOCK - used < size ? BLOCK - used : size;
        memcpy(hash->block + used, from, piece);
        hash->size += piece;
        from += piece;
        size -= piece;
        if (used + piece == BLOCK) compress(hash->state, hash->block);
    }
}

void jrpc_sha256_end(jrpc_sha256 *hash, uint8_t digest[JRPC_SHA256_SIZE]) {
    static const uint8_t padding[BLOCK] = {0x80};
    uint64_t bits = hash->size * 8;
    uint8_t length[8];
    write_word(length, (uint32_t)(bits >> 32));
    write_word(length + 4, (uint32_t)bits);
    size_t used = (size_t)(hash->size % BLOCK);
    jrpc_sha256_add(hash, padding, used < 56 ? 56 - used : 120 - used);
    jrpc_sha256_add(hash, length, sizeof length);
    for (unsigned at = 0; at < 8; at++) write_word(digest + 4 * at, hash->state[at]);
}
