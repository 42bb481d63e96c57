/* A peer that a test drives through standard input: one command a line, answered by lines up to an
 * empty one. Bytes are in hex.
 *
 *     new LOSSY FRAMING MAX BUFFER JSONRPC2 [RETRY]   begin anew, at time 0
 *     take MILLISECONDS HEX                   a message arrives
 *     poll MILLISECONDS
 *     pass MILLISECONDS                       the time passes, with many a poll
 *     call MILLISECONDS TIMEOUT IDEMPOTENT METHOD PARAMS
 *     gone                                    the connection is
 *     later MILLISECONDS TOKEN JSON           answer what was put off by `slow`
 *     tuya ROOM RPC                           a serial line, whose messages go to the peer or not
 *     dp ROOM                                 the same for messages in DataPoint 232
 *     stream ROOM                             a stream
 *     digest HEX                              by the key 00 01 02 03 04 05 06 07
 *     feed MILLISECONDS STEP HEX              bytes arrive on it, so many at a time
 *     idle MILLISECONDS                       nothing does
 *
 * Answers: `sent HEX`, `note JSON`, `outcome RESULT CODE MESSAGE DATA`, `frame COMMAND HEX`,
 * `datapoint ID TYPE HEX`, `close`, `dropped COUNT`; of `digest` the two numbers. */
#include "jrpc_calls.h"
#include "jrpc_later.h"
#include "jrpc_lossy.h"
#include "jrpc_parts.h"
#include "jrpc_stream.h"
#include "jrpc_tuya.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 140000
#define EPOCH (0u - 31000u) /* what is time 0 here, so that the clock wraps within many a test */

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

/* That of tests/conformance/reference.py. */
static void run_set_level(jrpc_call *call) {
    int32_t level;
    if (jrpc_int_within(call, "level", 0, 100, &level)) jrpc_return_int(call, level);
}

static uint32_t later_token, later_due;

static void run_later(jrpc_call *call) {
    int32_t milliseconds;
    if (!jrpc_fixed(call, "seconds", 3, &milliseconds)) return;
    puts("note later");
    later_token = jrpc_answer_later(call);
    later_due = call->rpc->now + (uint32_t)milliseconds;
}

static void end_later(jrpc *rpc) {
    jrpc_call call;
    if (later_token == 0 || (int32_t)(rpc->now - later_due) < 0 || !jrpc_resume(rpc, later_token, &call)) return;
    later_token = 0;
    jrpc_return_text(&call, "done");
}

/* ---- What the vectors do not need ---- */

static void run_slow(jrpc_call *call) {
    uint32_t token = jrpc_answer_later(call);
    if (token != 0) printf("token %lu\n", (unsigned long)token);
}

static bool write_square(jrpc_out *out, void *context, uint32_t index) {
    const int32_t *count = context;
    if (index >= (uint32_t)*count) return false;
    jrpc_put_unsigned(out, index * index);
    return true;
}

static void run_squares(jrpc_call *call) {
    static int32_t count;
    if (jrpc_int_within(call, "count", 0, 10000, &count)) jrpc_return_items(call, write_square, &count);
}

static void run_text(jrpc_call *call) {
    char text[64];
    if (jrpc_text(call, "text", text, sizeof text)) jrpc_return_text(call, text);
}

static void write_flag(jrpc_out *out, void *on) {
    jrpc_put_bool(out, *(const bool *)on);
}

static void run_flag(jrpc_call *call) {
    bool on;
    if (!jrpc_has(call, "on")) {
        jrpc_return_text(call, "absent");
    } else if (jrpc_bool(call, "on", &on)) {
        jrpc_return(call, write_flag, &on);
    }
}

static void write_hundredths(jrpc_out *out, void *value) {
    jrpc_put_decimal(out, *(const int32_t *)value, 2);
}

static void run_hundredths(jrpc_call *call) {
    int32_t value;
    if (jrpc_fixed(call, "value", 2, &value)) jrpc_return(call, write_hundredths, &value);
}

static void run_latin1(jrpc_call *call) {
    jrpc_return_text(call, "caf\xE9");
}

static bool write_row(jrpc_out *out, void *context, uint32_t index) {
    (void)context;
    if (index == 5) return false;
    jrpc_put(out, index < 3 ? "1" : "\"a row that is longer than the others, and than a message may be\"");
    return true;
}

static void run_rows(jrpc_call *call) {
    jrpc_return_items(call, write_row, NULL);
}

static const jrpc_method methods[] = {
    {"text", run_text, "text", JRPC_IDEMPOTENT},
    {"flag", run_flag, "on", JRPC_IDEMPOTENT},
    {"hundredths", run_hundredths, "value", JRPC_IDEMPOTENT},
    {"latin1", run_latin1, "", JRPC_IDEMPOTENT},
    {"rows", run_rows, "", JRPC_IDEMPOTENT},
    {"nothing", run_void, "", 0},
    {"echo", run_echo, "value", JRPC_IDEMPOTENT},
    {"add", run_add, "a b", JRPC_IDEMPOTENT},
    {"void", run_void, "", JRPC_IDEMPOTENT},
    {"note", run_note, "value", 0},
    {"fail", run_fail, NULL, 0},
    {"later", run_later, "seconds", 0},
    {"read", run_note, "value", JRPC_IDEMPOTENT},
    {"set_level", run_set_level, "level", JRPC_IDEMPOTENT},
    {"slow", run_slow, "", 0},
    {"slow.read", run_slow, "key", JRPC_IDEMPOTENT},
    {"squares", run_squares, "count", JRPC_IDEMPOTENT},
};

/* ---- Commands ---- */

static jrpc rpc;
static jrpc_config config;
static jrpc_tuya tuya;
static jrpc_stream stream;
static bool is_stream;
static uint8_t received[70000];
static jrpc_remembered remembered[8];
static jrpc_pending pending[2];
static jrpc_open calls[3];

static void write_bytes(void *context, const uint8_t *bytes, size_t size) {
    (void)context;
    print_hex("sent", (const char *)bytes, size);
}

static void write_text(void *context, const char *bytes, size_t size) {
    (void)context;
    print_hex("sent", bytes, size);
}

static void print_frame(void *context, uint8_t command, const uint8_t *data, size_t size) {
    (void)context;
    printf("frame %d ", command);
    print_hex("", (const char *)data, size);
}

static void print_datapoint(void *context, uint8_t id, uint8_t type, const uint8_t *value, size_t size) {
    (void)context;
    printf("datapoint %d %d ", id, type);
    print_hex("", (const char *)value, size);
}

static void begin(char *arguments) {
    int framing, is_lossy, is_jsonrpc2;
    unsigned long max, room, retry = 0;
    if (sscanf(arguments, "%d %d %lu %lu %d %lu", &is_lossy, &framing, &max, &room, &is_jsonrpc2,
               &retry) < 5 || room > sizeof buffer) {
        abort();
    }
    config = (jrpc_config){
        .methods = methods, .method_count = sizeof methods / sizeof *methods,
        .send = send_piece, .send_context = &config, .framing = (jrpc_framing)framing,
        .buffer = buffer, .buffer_size = room, .max_message = max, .is_lossy = is_lossy != 0,
        .is_jsonrpc2 = is_jsonrpc2 != 0, .first_retry_ms = (uint32_t)retry,
        .later = &jrpc_later, .pending = pending, .pending_count = sizeof pending / sizeof *pending,
        .calls = &jrpc_calls, .open = calls, .open_count = sizeof calls / sizeof *calls,
    };
    if (is_lossy) {
        config.lossy = &jrpc_lossy;
        config.remembered = remembered;
        config.remembered_count = sizeof remembered / sizeof *remembered;
    }
    memset(remembered, 0, sizeof remembered);
    memset(pending, 0, sizeof pending);
    memset(calls, 0, sizeof calls);
    if (!jrpc_init(&rpc, &config, EPOCH)) puts("refused");
}

/* Bytes in memory of exactly that size, so that whoever reads beyond it is caught. */
static char *unhex(const char *hex, size_t *size) {
    *size = strlen(hex) / 2;
    char *bytes = malloc(*size + !*size);
    if (bytes == NULL) abort();
    for (size_t i = 0; i < *size; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) abort();
        bytes[i] = (char)byte;
    }
    return bytes;
}

/* The number that the text begins with; the text goes on behind it and a space. */
static uint32_t number(char **text) {
    uint32_t value = (uint32_t)strtoul(*text, text, 10);
    *text += strspn(*text, " ");
    return value;
}

/* A time, likewise. */
static uint32_t moment(char **text) {
    return EPOCH + number(text);
}

static void take(char *arguments) {
    size_t size;
    uint32_t now = moment(&arguments);
    char *bytes = unhex(arguments, &size);
    jrpc_receive(&rpc, bytes, size, now);
    free(bytes);
}

static void print_outcome(void *context, const jrpc_outcome *outcome) {
    (void)context;
    printf("outcome %.*s|%ld|%.*s|%.*s\n", (int)outcome->result.size, outcome->result.at,
           (long)outcome->code, (int)outcome->message.size, outcome->message.at,
           (int)outcome->data.size, outcome->data.at);
}

static void call(char *arguments) {
    static char texts[4][200];
    static unsigned next;
    char *text = texts[next++ % 4], *params;
    uint32_t now = moment(&arguments), timeout = number(&arguments), is_idempotent = number(&arguments);
    strcpy(text, arguments);
    if ((params = strchr(text, ' ')) != NULL) *params++ = '\0';
    jrpc_request request = {text, params ? jrpc_write_json : NULL, params, print_outcome, NULL, timeout,
                            is_idempotent != 0};
    jrpc_poll(&rpc, now);
    if (!jrpc_send_request(&rpc, &request)) puts("refused");
}

static void gone(char *arguments) {
    (void)arguments;
    jrpc_end_calls(&rpc);
}

static void later(char *arguments) {
    jrpc_call resumed;
    uint32_t now = moment(&arguments), token = number(&arguments);
    jrpc_poll(&rpc, now);
    if (jrpc_resume(&rpc, token, &resumed)) jrpc_return_json(&resumed, arguments);
    else puts("gone");
}

static void begin_tuya(char *arguments) {
    is_stream = false;
    size_t room = number(&arguments);
    bool is_for_rpc = number(&arguments) != 0;
    tuya = (jrpc_tuya){.rpc = is_for_rpc ? &rpc : NULL, .datapoint_rpc = is_for_rpc ? &rpc : NULL,
                       .bytes = received, .room = room, .write = write_bytes,
                       .on_frame = print_frame, .on_datapoint = print_datapoint};
    config.send = jrpc_tuya_send;
    config.send_context = &tuya;
}

static void begin_datapoint(char *arguments) {
    size_t room = number(&arguments);
    is_stream = false;
    tuya = (jrpc_tuya){.datapoint_rpc = &rpc, .bytes = received, .room = room, .write = write_bytes,
                       .on_frame = print_frame, .on_datapoint = print_datapoint};
    config.send = jrpc_tuya_send_datapoint;
    config.send_context = &tuya;
}

static void begin_stream(char *arguments) {
    is_stream = true;
    stream = (jrpc_stream){.rpc = &rpc, .bytes = (char *)received, .room = number(&arguments),
                           .write = write_text};
    config.send = jrpc_stream_send;
    config.send_context = &stream;
}

static void feed(char *arguments) {
    uint32_t now = moment(&arguments);
    size_t step = number(&arguments), size;
    bool is_open = true;
    for (size_t digits = strlen(arguments); digits > 0 && is_open;) {
        size_t part = 2 * step < digits ? 2 * step : digits;
        char *rest = arguments + part, after = *rest;
        *rest = '\0';
        char *bytes = unhex(arguments, &size);
        if (is_stream) is_open = jrpc_stream_feed(&stream, bytes, size, now);
        else jrpc_tuya_feed(&tuya, (uint8_t *)bytes, size, now);
        free(bytes);
        *rest = after;
        arguments = rest;
        digits -= part;
    }
    if (!is_open) puts("close");
}

static void idle(char *arguments) {
    uint32_t now = moment(&arguments);
    if (is_stream) {
        if (!jrpc_stream_poll(&stream, now)) puts("close");
    } else {
        jrpc_tuya_poll(&tuya, now);
        printf("dropped %lu\n", (unsigned long)tuya.dropped);
    }
}

static void poll(char *arguments) {
    jrpc_poll(&rpc, moment(&arguments));
}

static void print_digest(char *arguments) {
    size_t size;
    uint32_t value[2];
    jrpc_digest digest;
    const jrpc keyed = {.key = {0x03020100, 0x07060504}};
    char *bytes = unhex(arguments, &size);
    jrpc_begin_digest(&digest, &keyed);
    jrpc_put_slice(&digest.out, (jrpc_slice){bytes, size});
    jrpc_end_digest(&digest, value);
    free(bytes);
    printf("%08lx %08lx\n", (unsigned long)value[0], (unsigned long)value[1]);
}

static void pass(char *arguments) {
    for (uint32_t until = moment(&arguments); (int32_t)(until - rpc.now) > 0;) {
        uint32_t step = until - rpc.now < 50 ? until - rpc.now : 50;
        jrpc_poll(&rpc, rpc.now + step);
        end_later(&rpc);
    }
}

static const struct {
    const char *name;
    void (*run)(char *arguments);
} commands[] = {
    {"new", begin}, {"take", take},     {"poll", poll}, {"pass", pass}, {"digest", print_digest}, {"call", call}, {"gone", gone}, {"later", later},
    {"tuya", begin_tuya}, {"dp", begin_datapoint}, {"stream", begin_stream}, {"feed", feed}, {"idle", idle},
};

int main(void) {
    static char line[LINE];
    while (fgets(line, sizeof line, stdin)) {
        size_t i = 0, size = strcspn(line, " \n");
        line[strcspn(line, "\n")] = '\0';
        while (strlen(commands[i].name) != size || strncmp(line, commands[i].name, size) != 0) i++;
        commands[i].run(line + size + (line[size] == ' '));
        puts("");
        fflush(stdout);
    }
    return 0;
}
