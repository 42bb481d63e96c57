/* Bytes as text: Base64 (RFC 4648) and Base85 with the alphabet of RFC 1924, for `jrpc_seal` and
 * `jrpc_files`. */
#ifndef JRPC_BASE_H
#define JRPC_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JRPC_BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4) /* with padding */
#define JRPC_BASE85_SIZE(bytes) ((bytes) / 4 * 5 + ((bytes) % 4 ? (bytes) % 4 + 1 : 0))
#define JRPC_NO_BYTES SIZE_MAX

/* Write the text of so many bytes; returns its size. There is no zero at its end. */
size_t jrpc_base64_encode(char *text, const uint8_t *bytes, size_t size);
size_t jrpc_base85_encode(char *text, const uint8_t *bytes, size_t size);

/* Read a text; returns how many bytes it had, JRPC_NO_BYTES if it is none, or has more than `room`.
 * `bytes` may be where `text` is. Base64 is taken with its padding. */
size_t jrpc_base64_decode(uint8_t *bytes, size_t room, const char *text, size_t size);
size_t jrpc_base85_decode(uint8_t *bytes, size_t room, const char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
