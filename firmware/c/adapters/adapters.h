/* What libraries of cryptography are for `jrpc_seal`. */
#ifndef JRPC_ADAPTERS_H
#define JRPC_ADAPTERS_H

#include "../jrpc_noise.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Monocypher 4. Pass where your chip has random bytes from that nobody can guess. */
jrpc_crypto jrpc_monocypher(void (*random)(uint8_t *bytes, size_t size));

#ifdef __cplusplus
}
#endif

#endif
