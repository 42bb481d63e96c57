#include "jrpc_stream.h"

#include <string.h>

#define UNFINISHED_MS 10000u

/* BETWEEN messages, in one that is an object or array (NESTED), there in a STRING or behind its
 * backslash (ESCAPE), or in anything else, which ends with its LINE. */
enum { BETWEEN, NESTED, STRING, ESCAPE, LINE };

/* Look at the next byte of a message: true, it is the last one. */
static bool note(jrpc_stream *stream, char byte) {
    switch (stream->state) {
    case ESCAPE:
        stream->state = STRING;
        return false;
    case STRING:
        if (byte == '\\') stream->state = ESCAPE;
        if (byte == '"') stream->state = NESTED;
        return false;
    case LINE:
        return false;
    default:
        break;
    }
    bool is_closing = byte == '}' || byte == ']';
    uint16_t *level = byte == '{' || byte == '}' ? &stream->braces : &stream->brackets;
    if (byte == '"') stream->state = STRING;
    if (byte == '{' || byte == '[') {
        ++*level;
        if (*level == 0) stream->state = LINE; /* more than can be counted */
    } else if (is_closing && *level == 0) {
        stream->state = LINE; /* it closes more than it has opened */
    } else if (is_closing) {
        --*level;
        return stream->braces == 0 && stream->brackets == 0;
    }
    return false;
}

/* False: the connection is to be closed. */
static bool end_message(jrpc_stream *stream, uint32_t now) {
    size_t size = stream->count;
    stream->count = 0;
    stream->state = BETWEEN;
    stream->braces = stream->brackets = 0;
    if (stream->take != NULL) return stream->take(stream->context, stream->bytes, size, now);
    jrpc_receive(stream->rpc, stream->bytes, size, now);
    return true;
}

static void reject(const jrpc_stream *stream, int32_t code, const char *text, uint32_t now) {
    if (stream->rpc != NULL) jrpc_reject(stream->rpc, code, text, now);
}

bool jrpc_stream_feed(jrpc_stream *stream, const char *bytes, size_t size, uint32_t now) {
    for (; size > 0; bytes++, size--) {
        char byte = *bytes;
        bool is_space = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
        if (stream->state == BETWEEN) {
            if (is_space) continue;
            stream->state = byte == '{' || byte == '[' ? NESTED : LINE;
            stream->begun_at = now;
        }
        if (byte == '\n') {
            if (!end_message(stream, now)) return false;
            continue;
        }
        if (stream->count == stream->room) {
            stream->count = 0;
            reject(stream, JRPC_TOO_LARGE, "Too large", now);
            return false;
        }
        stream->bytes[stream->count++] = byte;
        if (note(stream, byte) && !end_message(stream, now)) return false;
    }
    return true;
}

bool jrpc_stream_poll(jrpc_stream *stream, uint32_t now) {
    if (stream->state == BETWEEN || now - stream->begun_at < UNFINISHED_MS) return true;
    reject(stream, JRPC_PARSE_ERROR, "Parse error", now);
    return false;
}

void jrpc_stream_send(void *context, const char *bytes, size_t size, size_t rest) {
    const jrpc_stream *stream = context;
    stream->write(stream->context, bytes, size);
    if (rest == 0) stream->write(stream->context, "\n", 1);
}
