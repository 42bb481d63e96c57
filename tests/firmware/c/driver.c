/* A peer that a test drives through standard input: one command a line, answered by lines up to an
 * empty one. Bytes are in hex.
 *
 *     new LOSSY FRAMING MAX BUFFER JSONRPC2   begin anew
 *     take MILLISECONDS HEX                   a message arrives
 *     poll MILLISECONDS
 *
 * Answers: `sent HEX`, `note JSON`. */
#include "jrpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 140000

static char sent[70000], buffer[70000];
static size_t sent_size;

static void print_hex(const char *what, const char *bytes, size_t size) {
    printf("%s ", what);
    for (size_t i = 0; i < size; i++) printf("%02x", (unsigned char)bytes[i]);
    puts("");
}

static void send_piece(void *context, const char *bytes, size_t size, size_t rest) {
    const jrpc_config *config = context;
    if (size > config->buffer_size || sent_size + size > sizeof sent) abort();
    memcpy(sent + sent_size, bytes, size);
    sent_size += size;
    if (rest > 0 && config->framing == JRPC_DATAGRAM) abort();
    if (rest > 0) return;
    print_hex("sent", sent, sent_size);
    sent_size = 0;
}

/* ---- The device of docs/vectors/README.md ---- */

static void write_slice(jrpc_out *out, void *context) {
    jrpc_put_slice(out, *(const jrpc_slice *)context);
}

static void run_echo(jrpc_call *call) {
    jrpc_slice value;
    if (jrpc_any(call, "value", &value)) jrpc_return(call, write_slice, &value);
}

static void run_add(jrpc_call *call) {
    int32_t a, b;
    if (jrpc_int(call, "a", &a) && jrpc_int(call, "b", &b)) jrpc_return_int(call, a + b);
}

static void run_void(jrpc_call *call) {
    jrpc_return_null(call);
}

static void run_note(jrpc_call *call) {
    jrpc_slice value;
    if (!jrpc_any(call, "value", &value)) return;
    printf("note %.*s\n", (int)value.size, value.at);
    jrpc_return(call, write_slice, &value);
}

static void run_fail(jrpc_call *call) {
    jrpc_fail(call, JRPC_INTERNAL_ERROR, "Internal error", NULL);
}

static const jrpc_method methods[] = {
    {"echo", run_echo, "value", 0}, {"add", run_add, "a b", 0},   {"void", run_void, "", 0},
    {"note", run_note, "value", 0}, {"fail", run_fail, NULL, 0},
};

/* ---- Commands ---- */

static jrpc rpc;
static jrpc_config config;

static void begin(const char *arguments) {
    int framing, is_lossy, is_jsonrpc2;
    unsigned long max, room;
    if (sscanf(arguments, "%d %d %lu %lu %d", &is_lossy, &framing, &max, &room, &is_jsonrpc2) != 5 ||
        room > sizeof buffer) {
        abort();
    }
    config = (jrpc_config){
        .methods = methods, .method_count = sizeof methods / sizeof *methods,
        .send = send_piece, .send_context = &config, .framing = (jrpc_framing)framing,
        .buffer = buffer, .buffer_size = room, .max_message = max, .is_lossy = is_lossy != 0,
        .is_jsonrpc2 = is_jsonrpc2 != 0,
    };
    if (!jrpc_init(&rpc, &config, 0)) puts("refused");
}

/* In memory of exactly that size, so that whoever reads beyond it is caught. */
static void take(char *arguments) {
    char *hex, *bytes;
    uint32_t now = (uint32_t)strtoul(arguments, &hex, 10);
    hex += strspn(hex, " ");
    size_t size = strlen(hex) / 2;
    if ((bytes = malloc(size + !size)) == NULL) abort();
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) abort();
        bytes[i] = (char)byte;
    }
    jrpc_receive(&rpc, bytes, size, now);
    free(bytes);
}

int main(void) {
    static char line[LINE];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "new ", 4) == 0) begin(line + 4);
        else if (strncmp(line, "take ", 5) == 0) take(line + 5);
        else if (strncmp(line, "poll ", 5) == 0) jrpc_poll(&rpc, (uint32_t)strtoul(line + 5, NULL, 10));
        else abort();
        puts("");
        fflush(stdout);
    }
    return 0;
}
