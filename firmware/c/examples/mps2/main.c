/* A lamp on a bare Cortex-M3, with all that a serial line wants: methods that read, set and toggle,
 * one that takes its time, a list that is streamed, and notifications.
 *
 *     arm-none-eabi-gcc ... ; qemu-system-arm -M mps2-an385 -kernel lamp.elf -serial ...
 *     jsonrpc-iot call uart://socket/127.0.0.1:PORT lamp.set level:=40 */
#include "board.h"
#include "jrpc.h"
#include "jrpc_later.h"
#include "jrpc_lossy.h"
#include "jrpc_tuya.h"

enum { MAX_MESSAGE = 1024, HISTORY = 100 };

static struct {
    int32_t level, previous;
    char name[24];
    uint32_t switched; /* times */
} lamp = {.previous = 100, .name = "lamp"};

static struct {
    uint32_t token, due_at;
    int32_t level;
} fade;

static void set_level(jrpc *rpc, int32_t level);

/* ---- Methods ---- */

static void lamp_get(jrpc_call *call) { jrpc_return_int(call, lamp.level); }

static void lamp_set(jrpc_call *call) {
    int32_t level, before = lamp.level;
    if (!jrpc_int_within(call, "level", 0, 100, &level)) return;
    set_level(call->rpc, level);
    jrpc_return_int(call, before);
}

/* Twice is not once: on a line that loses messages it is remembered, and runs once. */
static void lamp_toggle(jrpc_call *call) {
    lamp.switched++;
    set_level(call->rpc, lamp.level > 0 ? 0 : lamp.previous);
    jrpc_return_bool(call, lamp.level > 0);
}

static void lamp_switched(jrpc_call *call) { jrpc_return_int(call, (int32_t)lamp.switched); }

static void lamp_name(jrpc_call *call) {
    char name[sizeof lamp.name];
    if (jrpc_has(call, "name")) {
        if (!jrpc_text(call, "name", name, sizeof name)) return;
        for (size_t at = 0; at < sizeof name; at++) lamp.name[at] = name[at];
    }
    jrpc_return_text(call, lamp.name);
}

/* It is answered when it is done, and nothing happens if the caller has given up before. */
static void lamp_fade(jrpc_call *call) {
    int32_t level, seconds;
    if (!jrpc_int_within(call, "level", 0, 100, &level)) return;
    if (!jrpc_fixed(call, "seconds", 3, &seconds)) return;
    if (seconds < 0 || seconds > 60000) {
        jrpc_refuse(call, "seconds", "a number from 0 to 60");
    } else if (fade.token) {
        jrpc_fail(call, JRPC_BUSY, "it is fading", NULL);
    } else {
        fade.token = jrpc_answer_later(call);
        fade.due_at = board_ms() + (uint32_t)seconds;
        fade.level = level;
    }
}

static bool write_sample(jrpc_out *out, void *context, uint32_t index) {
    (void)context;
    if (index == HISTORY) return false;
    jrpc_put(out, "{\"hour\":");
    jrpc_put_unsigned(out, index);
    jrpc_put(out, ",\"watts\":");
    jrpc_put_decimal(out, 100 + (int32_t)index * 37 % 900, 2);
    jrpc_put(out, "}");
    return true;
}

static void lamp_history(jrpc_call *call) { jrpc_return_items(call, write_sample, NULL); }

static void write_value(jrpc_out *out, void *value) { jrpc_put_slice(out, *(jrpc_slice *)value); }

static void echo(jrpc_call *call) {
    jrpc_slice value;
    if (jrpc_any(call, "value", &value)) jrpc_return(call, write_value, &value);
}

static void write_info(jrpc_out *out, void *context) {
    (void)context;
    jrpc_put(out, "{\"name\":");
    jrpc_put_text(out, lamp.name);
    jrpc_put(out, ",\"platform\":\"cortex-m3\",\"uptime\":");
    jrpc_put_decimal(out, (int32_t)(board_ms() & INT32_MAX), 3);
    jrpc_put(out, "}");
}

static void sys_info(jrpc_call *call) { jrpc_return(call, write_info, NULL); }

static const jrpc_method methods[] = {
    {"echo", echo, "value", JRPC_IDEMPOTENT},
    {"lamp.fade", lamp_fade, "level seconds", 0},
    {"lamp.get", lamp_get, "", JRPC_IDEMPOTENT},
    {"lamp.history", lamp_history, "", JRPC_IDEMPOTENT},
    {"lamp.name", lamp_name, "name", JRPC_IDEMPOTENT},
    {"lamp.set", lamp_set, "level", JRPC_IDEMPOTENT},
    {"lamp.switched", lamp_switched, "", JRPC_IDEMPOTENT},
    {"lamp.toggle", lamp_toggle, "", 0},
    {"sys.info", sys_info, "", JRPC_IDEMPOTENT},
};

/* ---- The line ---- */

static void write_uart(void *context, const uint8_t *bytes, size_t size) {
    (void)context;
    board_write(bytes, size);
}

static jrpc rpc;
static uint8_t received[JRPC_TUYA_ROOM(MAX_MESSAGE)];
static jrpc_tuya line = {
    .rpc = &rpc, .bytes = received, .room = sizeof received, .write = write_uart,
};
static char buffer[MAX_MESSAGE]; /* as a batch is answered in one frame; else 64 would do */
static jrpc_remembered remembered[16];
static jrpc_pending pending[2];

static const jrpc_config config = {
    .methods = methods, .method_count = sizeof methods / sizeof *methods,
    .send = jrpc_tuya_send, .send_context = &line, .framing = JRPC_FRAME,
    .buffer = buffer, .buffer_size = sizeof buffer, .max_message = MAX_MESSAGE,
    .is_lossy = true, .is_shared = true,
    .lossy = &jrpc_lossy, .remembered = remembered,
    .remembered_count = sizeof remembered / sizeof *remembered,
    .later = &jrpc_later, .pending = pending, .pending_count = sizeof pending / sizeof *pending,
};

static void write_level(jrpc_out *out, void *context) {
    (void)context;
    jrpc_put(out, "{\"level\":");
    jrpc_put_int(out, lamp.level);
    jrpc_put(out, "}");
}

static void set_level(jrpc *peer, int32_t level) {
    if (level == lamp.level) return;
    if (lamp.level > 0) lamp.previous = lamp.level;
    lamp.level = level;
    jrpc_notify(peer, "lamp.changed", write_level, NULL);
}

static void go_on_fading(void) {
    jrpc_call call;
    if (!fade.token) return;
    if (!jrpc_resume(&rpc, fade.token, &call)) {
        fade.token = 0; /* nobody waits any more */
    } else if ((int32_t)(board_ms() - fade.due_at) >= 0) {
        fade.token = 0;
        set_level(&rpc, fade.level);
        jrpc_return_null(&call);
    }
}

int main(void) {
    if (!jrpc_init(&rpc, &config, board_ms())) return 1;
    for (;;) {
        uint8_t byte;
        uint32_t now = board_ms();
        if (board_read(&byte)) {
            jrpc_tuya_feed(&line, &byte, 1, now);
        } else {
            jrpc_tuya_poll(&line, now);
            jrpc_poll(&rpc, now);
            go_on_fading();
            board_wait();
        }
    }
}
