/* What the targets share. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition) ((condition) ? (void)0 : abort())

/* Each takes any bytes. */
void fuzz_values(const uint8_t *data, size_t size);
void fuzz_messages(const uint8_t *data, size_t size);
void fuzz_segments(const uint8_t *data, size_t size);
void fuzz_seal(const uint8_t *data, size_t size);
void fuzz_tuya(const uint8_t *data, size_t size);
void fuzz_stream(const uint8_t *data, size_t size);
void fuzz_files(const uint8_t *data, size_t size);
void fuzz_base(const uint8_t *data, size_t size);

/* Take the next record off the data: a byte that says its size, and so many bytes or what is left of
 * them, in memory of its own, which `free` gives back. NULL: there is none. */
char *fuzz_record(const uint8_t **data, size_t *size, size_t *record_size);

/* Where messages are put together that leave in pieces. */
typedef struct {
    char bytes[2048];
    size_t used, total; /* `total` is 0 between messages */
    size_t most;        /* bytes of a message */
    bool is_counted;    /* its size must be known from the first piece on */
} fuzz_message;

/* A `jrpc_send`; returns whether the message is whole, and begins anew with the next piece. */
bool fuzz_collect(fuzz_message *message, const char *bytes, size_t size, size_t rest);

#endif
