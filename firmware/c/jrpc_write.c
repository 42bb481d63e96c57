/* Writing JSON, piece by piece: what is written is counted, and leaves whenever its buffer is full. */
#include "jrpc_json.h"
#include "jrpc_parts.h"

#include <string.h>

void jrpc_put_slice(jrpc_out *out, jrpc_slice json) {
    if (out->before != NULL && json.size > 0) {
        const char *before = out->before;
        out->before = NULL;
        jrpc_put(out, before);
    }
    size_t allowed = out->total - out->count; /* a writer that writes more the second time is cut */
    if (json.size > allowed) json.size = allowed;
    out->count += json.size;
    if (out->bytes == NULL) return;
    while (json.size > 0) {
        if (out->used == out->room) {
            if (out->leave == NULL) return;
            out->leave(out, out->total == SIZE_MAX ? SIZE_MAX : out->total - out->count + json.size);
        }
        size_t part = out->room - out->used;
        if (part > json.size) part = json.size;
        memcpy(out->bytes + out->used, json.at, part);
        out->used += part;
        json.at += part;
        json.size -= part;
    }
}

void jrpc_put(jrpc_out *out, const char *json) {
    jrpc_put_slice(out, (jrpc_slice){json, strlen(json)});
}

static void put_digits(jrpc_out *out, uint32_t value, unsigned decimals) {
    char text[24]; /* filled from its end */
    size_t at = sizeof text;
    int left = decimals < 12 ? (int)decimals : 12; /* more than any number has */
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
        if (--left == 0) text[--at] = '.';
    } while (value > 0 || left >= 0);
    jrpc_put_slice(out, (jrpc_slice){text + at, sizeof text - at});
}

void jrpc_put_unsigned(jrpc_out *out, uint32_t value) {
    put_digits(out, value, 0);
}

void jrpc_put_decimal(jrpc_out *out, int32_t value, unsigned decimals) {
    if (value < 0) jrpc_put(out, "-");
    put_digits(out, value < 0 ? 0u - (uint32_t)value : (uint32_t)value, decimals);
}

void jrpc_put_int(jrpc_out *out, int32_t value) {
    jrpc_put_decimal(out, value, 0);
}

void jrpc_put_text(jrpc_out *out, const char *text) {
    size_t left = strlen(text), size;
    jrpc_put(out, "\"");
    for (; left > 0; text += size, left -= size) {
        size = jrpc_utf8_size(text, left);
        if (size == 0) {
            out->is_broken = true;
            return;
        }
        jrpc_slice letter = {text, size};
        if ((uint8_t)*text < ' ') { /* which leaves as \u0000 to \u001f */
            jrpc_put(out, *text < 16 ? "\\u000" : "\\u001");
            letter.at = &"0123456789abcdef"[*text & 15];
        } else if (*text == '"' || *text == '\\') {
            jrpc_put(out, "\\");
        }
        jrpc_put_slice(out, letter);
    }
    jrpc_put(out, "\"");
}
