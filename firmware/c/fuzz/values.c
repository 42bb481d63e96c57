/* The readers of JSON: what the check lets through they can read to its end. */
#include "fuzz.h"
#include "jrpc_json.h"

enum { DEEPEST = 8 };

static void walk(jrpc_slice value, unsigned depth) {
    char text[24];
    int32_t number;
    jrpc_each each = jrpc_begin(value);
    jrpc_decode(value, text, sizeof text);
    (void)jrpc_decimal(value, (int)depth - 4, &number);
    (void)jrpc_is_beyond_doubles(value);
    (void)jrpc_is(value, "level");
    (void)jrpc_equals(value, "null");
    (void)jrpc_member(value, "level");
    while (depth < DEEPEST && jrpc_next(&each)) {
        REQUIRE(each.value.at >= value.at && each.value.at + each.value.size <= value.at + value.size);
        REQUIRE(jrpc_check(each.value));
        walk(each.value, depth + 1);
    }
}

/* What is read of a string is written as the same string. */
static void rewrite(jrpc_slice value) {
    char text[256], json[2048], again[256];
    size_t size = jrpc_decode(value, text, sizeof text);
    if (size == SIZE_MAX || strlen(text) != size) return;
    jrpc_out out = {.bytes = json, .room = sizeof json, .total = SIZE_MAX};
    jrpc_put_text(&out, text);
    REQUIRE(!out.is_broken && out.used == out.count);
    jrpc_slice written = {json, out.used};
    REQUIRE(jrpc_check(written));
    REQUIRE(jrpc_decode(written, again, sizeof again) == size && strcmp(text, again) == 0);
}

void fuzz_values(const uint8_t *data, size_t size) {
    char *exact = malloc(size ? size : 1);
    REQUIRE(exact);
    memcpy(exact, data, size);
    jrpc_slice value = {exact, size};
    if (jrpc_check(value)) {
        while (value.size && strchr(" \t\r\n", *value.at)) value.at++, value.size--;
        while (value.size && strchr(" \t\r\n", value.at[value.size - 1])) value.size--;
        walk(value, 0);
        rewrite(value);
    }
    free(exact);
}
