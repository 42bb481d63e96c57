/* Base64 and Base85: what is read is written as text that is read as the same bytes. */
#include "fuzz.h"
#include "jrpc_base.h"

typedef size_t (*encoder)(char *text, const uint8_t *bytes, size_t size);
typedef size_t (*decoder)(uint8_t *bytes, size_t room, const char *text, size_t size);

static void check(encoder encode, decoder decode, const char *text, size_t size) {
    uint8_t bytes[512], again[512];
    char written[1024];
    size_t count = decode(bytes, sizeof bytes, text, size);
    if (count == JRPC_NO_BYTES) return;
    size_t letters = encode(written, bytes, count);
    REQUIRE(decode(again, count, written, letters) == count && memcmp(bytes, again, count) == 0);
    REQUIRE(count == 0 || decode(again, count - 1, written, letters) == JRPC_NO_BYTES);
}

void fuzz_base(const uint8_t *data, size_t size) {
    check(jrpc_base64_encode, jrpc_base64_decode, (const char *)data, size);
    check(jrpc_base85_encode, jrpc_base85_decode, (const char *)data, size);
}
