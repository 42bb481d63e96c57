/* One program for a fuzzer, libFuzzer or AFL++: the first byte chooses what the others are for.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. \
 *         fuzz/[a-z]*.c jrpc*.c -o fuzz/run && fuzz/run -max_len=1024 fuzz/corpus
 *
 * Any bytes are read or refused; nothing is written or read beyond what is there, and what leaves is
 * whole, and JSON where it must be. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const targets[])(const uint8_t *, size_t) = {
        fuzz_values, fuzz_messages, fuzz_segments, fuzz_seal,
        fuzz_base,   fuzz_tuya,     fuzz_stream,   fuzz_files,
    };
    if (size > 0) targets[*data % (sizeof targets / sizeof *targets)](data + 1, size - 1);
    return 0;
}

char *fuzz_record(const uint8_t **data, size_t *size, size_t *record_size) {
    if (*size == 0) return NULL;
    size_t wanted = **data, left = *size - 1;
    *record_size = wanted < left ? wanted : left;
    char *record = malloc(*record_size ? *record_size : 1);
    REQUIRE(record);
    memcpy(record, *data + 1, *record_size);
    *data += 1 + *record_size;
    *size = left - *record_size;
    return record;
}

bool fuzz_collect(fuzz_message *message, const char *bytes, size_t size, size_t rest) {
    REQUIRE(size <= sizeof message->bytes - message->used);
    memcpy(message->bytes + message->used, bytes, size);
    message->used += size;
    if (message->is_counted) {
        REQUIRE(rest <= message->most && message->used + rest <= message->most);
        REQUIRE(message->total == 0 || message->total == message->used + rest);
        message->total = message->used + rest;
    }
    if (rest > 0) return false;
    REQUIRE(message->used <= message->most);
    message->total = 0;
    return true;
}
