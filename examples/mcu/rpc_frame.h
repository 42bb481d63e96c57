/* JSON-RPC on a serial line, for a microcontroller: frames, and what a request says.
 *
 * C99 without malloc. A frame is 55 AA, a version, a command, the length of the data (2 bytes, big
 * end first), the data, and the sum of all bytes before it, modulo 256. Command FE is a message. */
#ifndef RPC_FRAME_H
#define RPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef RPC_MAX_MESSAGE
#define RPC_MAX_MESSAGE 1024 /* bytes; 249 where a frame must fit a buffer of 256 */
#endif
#define RPC_OVERHEAD 7
#define RPC_MAX_FRAME (RPC_MAX_MESSAGE + RPC_OVERHEAD)
#define RPC_COMMAND 0xFE

/* Finds frames. Set it to zero before its first use. */
typedef struct {
    uint8_t bytes[RPC_MAX_FRAME];
    size_t count;
    uint32_t dropped; /* bytes that belong to no frame */
    uint32_t heard_at, begun_at;
    bool has_heard, has_begun; /* since the last tick */
} rpc_parser;

typedef void (*rpc_take)(void *context, uint8_t command, const uint8_t *data, size_t size);

/* Take what the line brought; calls `take` for each good frame. */
void rpc_feed(rpc_parser *parser, const uint8_t *data, size_t size, rpc_take take, void *context);

/* To be called whenever there is nothing to read, each 20 ms or so: gives up a frame whose rest does
 * not come, after 400 ms of silence or a second of pauses. `now` counts milliseconds, and may wrap. */
void rpc_tick(rpc_parser *parser, uint32_t now, rpc_take take, void *context);

/* Make a frame; returns its size, or 0 if the message is too long. */
size_t rpc_encode(uint8_t frame[RPC_MAX_FRAME], uint8_t command, const char *data, size_t size);

/* A piece of JSON, without a zero at its end; size 0: it is not there. */
typedef struct {
    const char *text;
    size_t size;
} rpc_json;

typedef struct {
    rpc_json id, method, params; /* without an id it is a notification, which nobody answers */
} rpc_request;

/* Returns 0, or the code of the error to answer with; 1 if there is nothing to do. */
int rpc_read_request(rpc_json message, rpc_request *request);

/* A member of an object, such as `level` of the params. */
rpc_json rpc_member(rpc_json object, const char *name);

/* Whether it is a string with this text. */
bool rpc_is(rpc_json string, const char *text);

/* Write a response; returns its size, or 0 if there is no room. `result` is JSON. */
size_t rpc_result(char *out, size_t room, rpc_json id, const char *result);
size_t rpc_error(char *out, size_t room, rpc_json id, int code, const char *message);

#endif
