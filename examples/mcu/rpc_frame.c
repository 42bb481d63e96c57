#include "rpc_frame.h"

#include <stdio.h>
#include <string.h>

#define SILENCE_MS 400
#define PAUSES_MS 1000 /* and 1 for each byte, which is what it takes at 9600 baud */

static uint8_t sum(const uint8_t *bytes, size_t size) {
    uint8_t total = 0;
    while (size--) total = (uint8_t)(total + *bytes++);
    return total;
}

/* How many bytes at the start are a frame (its size), no frame (0), or may become one (-1). */
static long judge(const uint8_t *bytes, size_t count) {
    if (bytes[0] != 0x55 || (count > 1 && bytes[1] != 0xAA)) return 0;
    if (count < 6) return -1;
    size_t size = (size_t)bytes[4] << 8 | bytes[5];
    if (size > RPC_MAX_MESSAGE) return 0;
    if (count < size + RPC_OVERHEAD) return -1;
    return sum(bytes, size + 6) == bytes[size + 6] ? (long)(size + RPC_OVERHEAD) : 0;
}

/* What cannot be a frame costs one byte, not all of it: a good frame may begin inside. */
static void scan(rpc_parser *parser, bool is_silent, rpc_take take, void *context) {
    size_t at = 0;
    while (at < parser->count) {
        const uint8_t *bytes = parser->bytes + at;
        long frame = judge(bytes, parser->count - at);
        if (frame > 0) {
            take(context, bytes[3], bytes + 6, (size_t)frame - RPC_OVERHEAD);
            at += (size_t)frame;
        } else if (frame == 0 || is_silent) {
            parser->dropped++;
            at++;
        } else {
            break;
        }
    }
    if (at > 0) parser->has_begun = true;
    parser->count -= at;
    memmove(parser->bytes, parser->bytes + at, parser->count);
}

void rpc_feed(rpc_parser *parser, const uint8_t *data, size_t size, rpc_take take, void *context) {
    while (size > 0) {
        size_t room = sizeof parser->bytes - parser->count; /* never 0 after a scan */
        size_t part = size < room ? size : room;
        parser->has_heard = true;
        if (parser->count == 0) parser->has_begun = true;
        memcpy(parser->bytes + parser->count, data, part);
        parser->count += part;
        data += part;
        size -= part;
        scan(parser, false, take, context);
    }
}

void rpc_tick(rpc_parser *parser, uint32_t now, rpc_take take, void *context) {
    if (parser->has_heard) parser->heard_at = now;
    if (parser->has_begun) parser->begun_at = now;
    parser->has_heard = parser->has_begun = false;
    if (parser->count == 0) return;
    if (now - parser->heard_at >= SILENCE_MS) {
        scan(parser, true, take, context);
    } else if (now - parser->begun_at >= PAUSES_MS + parser->count) {
        /* A wrong length: it swallows the frames behind it, of which the last may be unfinished. */
        parser->dropped++;
        parser->count--;
        memmove(parser->bytes, parser->bytes + 1, parser->count);
        parser->has_begun = true;
        scan(parser, false, take, context);
    }
}

size_t rpc_encode(uint8_t frame[RPC_MAX_FRAME], uint8_t command, const char *data, size_t size) {
    if (size > RPC_MAX_MESSAGE) return 0;
    const uint8_t head[6] = {0x55, 0xAA, 0, command, (uint8_t)(size >> 8), (uint8_t)size};
    memcpy(frame, head, sizeof head);
    memcpy(frame + sizeof head, data, size);
    frame[size + 6] = sum(frame, size + 6);
    return size + RPC_OVERHEAD;
}

static const char *skip_space(const char *at, const char *end) {
    while (at < end && strchr(" \t\r\n", *at) && *at) at++;
    return at;
}

/* The end of a string that begins there, NULL if it has none. */
static const char *skip_string(const char *at, const char *end) {
    for (at++; at < end; at++) {
        if (*at == '\\') at++;
        else if (*at == '"') return at + 1;
    }
    return NULL;
}

/* The end of any value. Brackets are counted, numbers are not looked at. */
static const char *skip_value(const char *at, const char *end) {
    const char *start = at;
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            if (!(at = skip_string(at, end))) return NULL;
        } else if (*at == '{' || *at == '[') {
            depth++, at++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0) break;
            depth--, at++;
        } else if (depth == 0 && strchr(", \t\r\n", *at)) {
            break;
        } else {
            at++;
            continue; /* inside a number or a word */
        }
        if (depth == 0) return at;
    }
    return depth == 0 && at > start ? at : NULL;
}

/* Looks for a member; returns whether the object is whole. Of several of a name the last counts. */
static bool find(rpc_json object, const char *name, rpc_json *value) {
    const char *end = object.text + object.size, *at = skip_space(object.text, end);
    value->size = 0;
    if (at == end || *at++ != '{') return false;
    at = skip_space(at, end);
    if (at < end && *at == '}') return skip_space(at + 1, end) == end;
    for (;;) {
        at = skip_space(at, end);
        rpc_json key = {at, 0};
        if (at == end || *at != '"' || !(at = skip_string(at, end))) return false;
        key.size = (size_t)(at - key.text);
        at = skip_space(at, end);
        if (at == end || *at++ != ':') return false;
        const char *start = skip_space(at, end);
        if (!(at = skip_value(start, end))) return false;
        if (rpc_is(key, name)) *value = (rpc_json){start, (size_t)(at - start)};
        at = skip_space(at, end);
        if (at == end) return false;
        if (*at == '}') return skip_space(at + 1, end) == end;
        if (*at++ != ',') return false;
    }
}

rpc_json rpc_member(rpc_json object, const char *name) {
    rpc_json value = {NULL, 0};
    if (!object.size || !find(object, name, &value)) value.size = 0;
    return value;
}

bool rpc_is(rpc_json string, const char *text) {
    size_t size = strlen(text);
    return string.size == size + 2 && string.text[0] == '"' &&
           memcmp(string.text + 1, text, size) == 0;
}

int rpc_read_request(rpc_json message, rpc_request *request) {
    memset(request, 0, sizeof *request);
    const char *end = message.text + message.size, *at = skip_space(message.text, end);
    if (at == end || skip_value(at, end) == NULL) return -32700;
    if (*at != '{') return -32600; /* a batch, too */
    if (!find(message, "method", &request->method)) return -32700;
    request->id = rpc_member(message, "id");
    request->params = rpc_member(message, "params");
    bool has_id = request->id.size > 0;
    if (has_id && !strchr("\"-0123456789n", request->id.text[0])) {
        request->id.size = 0;
        return -32600;
    }
    if (request->method.size && request->method.text[0] == '"') return 0;
    /* A response: this end asks nothing, so it is not for us, and nobody answers an answer. */
    if (rpc_member(message, "result").size || rpc_member(message, "error").size) return 1;
    return -32600;
}

static size_t finish(int written, size_t room) {
    return written > 0 && (size_t)written < room ? (size_t)written : 0;
}

size_t rpc_result(char *out, size_t room, rpc_json id, const char *result) {
    return finish(
        snprintf(out, room, "{\"id\":%.*s,\"result\":%s}", (int)id.size, id.text, result), room);
}

size_t rpc_error(char *out, size_t room, rpc_json id, int code, const char *message) {
    if (!id.size) id = (rpc_json){"null", 4};
    return finish(
        snprintf(out, room, "{\"id\":%.*s,\"error\":{\"code\":%d,\"message\":\"%s\"}}",
                 (int)id.size, id.text, code, message), room);
}
