/* Lossy channels: requests that come twice or late run once. UDP, serial lines, GATT.
 *
 * A request is remembered for 30 s after its answer, and a copy of it gets the same answer. Methods
 * that are marked JRPC_IDEMPOTENT are not remembered. When all entries are in use, new requests are
 * refused as busy: provide one for each request of another method that may come within 30 s. */
#ifndef JRPC_LOSSY_H
#define JRPC_LOSSY_H

#include "jrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef JRPC_REPLY_BYTES
#define JRPC_REPLY_BYTES 32 /* of a result, or of an error's message, that is kept for a copy */
#endif
#if JRPC_REPLY_BYTES > 254
#error "JRPC_REPLY_BYTES is at most 254"
#endif

typedef struct jrpc_remembered {
    uint32_t digest[2]; /* of id, method and params */
    uint32_t at;        /* when it was answered */
    int32_t code;       /* of the error */
    uint8_t state;
    bool is_extended, is_error;
    uint8_t size; /* of the result; UINT8_MAX: it was too large to keep */
    char reply[JRPC_REPLY_BYTES];
} jrpc_remembered;

extern const struct jrpc_lossy_part jrpc_lossy;

#ifdef __cplusplus
}
#endif

#endif
