#include "jrpc_base.h"

static const char letters64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char letters85[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/* The value of a letter of an alphabet of so many; -1: it has none such. */
static int value_of(const char *letters, int count, char letter) {
    for (int value = 0; value < count; value++) {
        if (letters[value] == letter) return value;
    }
    return -1;
}

size_t jrpc_base64_encode(char *text, const uint8_t *bytes, size_t size) {
    char *to = text;
    for (size_t at = 0; at < size; at += 3) {
        size_t count = size - at < 3 ? size - at : 3;
        uint32_t group = (uint32_t)bytes[at] << 16;
        if (count > 1) group |= (uint32_t)bytes[at + 1] << 8;
        if (count > 2) group |= bytes[at + 2];
        for (size_t place = 0; place < 4; place++) {
            *to++ = place > count ? '=' : letters64[group >> (18 - 6 * place) & 63];
        }
    }
    return (size_t)(to - text);
}

size_t jrpc_base85_encode(char *text, const uint8_t *bytes, size_t size) {
    char *to = text;
    for (size_t at = 0; at < size; at += 4) {
        size_t count = size - at < 4 ? size - at : 4;
        uint32_t group = 0, power = 85u * 85 * 85 * 85;
        for (size_t place = 0; place < 4; place++) {
            group = group << 8 | (place < count ? bytes[at + place] : 0u);
        }
        for (size_t place = 0; place <= count; place++, power /= 85) {
            *to++ = letters85[group / power % 85];
        }
    }
    return (size_t)(to - text);
}

size_t jrpc_base64_decode(uint8_t *bytes, size_t room, const char *text, size_t size) {
    size_t used = 0;
    if (size % 4) return JRPC_NO_BYTES;
    for (size_t at = 0; at < size; at += 4) {
        size_t count = 3;
        uint32_t group = 0;
        if (at + 4 == size && text[at + 3] == '=') count = text[at + 2] == '=' ? 1 : 2;
        for (size_t place = 0; place < 4; place++) {
            int value = place > count ? 0 : value_of(letters64, 64, text[at + place]);
            if (value < 0) return JRPC_NO_BYTES;
            group = group << 6 | (uint32_t)value;
        }
        if (room - used < count) return JRPC_NO_BYTES;
        for (size_t place = 0; place < count; place++) {
            bytes[used++] = (uint8_t)(group >> (16 - 8 * place));
        }
    }
    return used;
}

size_t jrpc_base85_decode(uint8_t *bytes, size_t room, const char *text, size_t size) {
    size_t used = 0;
    for (size_t at = 0; at < size; at += 5) {
        size_t letters = size - at < 5 ? size - at : 5, count = letters - 1;
        uint64_t group = 0;
        for (size_t place = 0; place < 5; place++) { /* a short group is filled with the last letter */
            int value = place < letters ? value_of(letters85, 85, text[at + place]) : 84;
            if (value < 0) return JRPC_NO_BYTES;
            group = group * 85 + (uint32_t)value;
        }
        if (group > UINT32_MAX || room - used < count) return JRPC_NO_BYTES;
        for (size_t place = 0; place < count; place++) {
            bytes[used++] = (uint8_t)(group >> (24 - 8 * place));
        }
    }
    return used;
}
