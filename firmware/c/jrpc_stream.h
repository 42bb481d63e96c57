/* Streams of bytes: TCP, pipes. A message is sent with a line feed behind it. Received is what ends
 * with a line feed, or is a whole object or array.
 *
 *     static char received[1024];
 *     jrpc_stream stream = {.rpc = &rpc, .bytes = received, .room = sizeof received, .write = tcp_write};
 *
 * with `jrpc_stream_send` and `&stream` as the `send` and `send_context` of the config of `rpc`, whose
 * framing is JRPC_STREAM. */
#ifndef JRPC_STREAM_H
#define JRPC_STREAM_H

#include "jrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One connection. Set what is above the line before its first use, and the rest to zero. */
typedef struct {
    jrpc *rpc; /* NULL, where there is `take` */
    /* Takes the lines of a sealed link: hand them to `jrpc_seal_receive`, whose answer it returns. */
    bool (*take)(void *context, char *line, size_t size, uint32_t now_ms);
    char *bytes; /* what has been received of a message: room for the longest */
    size_t room;
    void (*write)(void *context, const char *bytes, size_t size);
    void *context;
    /* ---- */
    size_t count;
    uint32_t begun_at; /* milliseconds */
    uint16_t braces, brackets;
    uint8_t state;
} jrpc_stream;

/* Take what has arrived. False: close the connection, since a message was longer than `room`, which
 * the other end has been told. */
bool jrpc_stream_feed(jrpc_stream *stream, const char *bytes, size_t size, uint32_t now_ms);

/* To be called now and then. False: close the connection, since a message has stayed unfinished for
 * 10 s, which the other end has been told. */
bool jrpc_stream_poll(jrpc_stream *stream, uint32_t now_ms);

/* The `send` of a `jrpc`. `stream` is a jrpc_stream. */
void jrpc_stream_send(void *stream, const char *bytes, size_t size, size_t rest);

#ifdef __cplusplus
}
#endif

#endif
