#include "jrpc_tuya.h"

#include <string.h>

#define HEADER 6u
#define SILENCE_MS 400u
#define PAUSES_MS 1000u /* and one for each byte, which is what it takes at 9600 baud */
#define MCU_VERSION 3

/* ---- Receiving ---- */

static size_t be16(const uint8_t *bytes) {
    return (size_t)bytes[0] << 8 | bytes[1];
}

static uint8_t sum_of(const uint8_t *bytes, size_t size) {
    uint8_t sum = 0;
    while (size-- > 0) sum = (uint8_t)(sum + *bytes++);
    return sum;
}

typedef enum { FRAME, NO_FRAME, UNFINISHED } finding;

/* What the bytes there are. */
static finding judge(const jrpc_tuya *line, const uint8_t *bytes, size_t count) {
    if (bytes[0] != 0x55 || (count > 1 && bytes[1] != 0xAA)) return NO_FRAME;
    if (count < HEADER) return count < line->room ? UNFINISHED : NO_FRAME;
    size_t size = be16(bytes + 4);
    if (size + JRPC_TUYA_OVERHEAD > line->room) return NO_FRAME;
    if (count < size + JRPC_TUYA_OVERHEAD) return UNFINISHED;
    return sum_of(bytes, HEADER + size) == bytes[HEADER + size] ? FRAME : NO_FRAME;
}

static void take_datapoints(const jrpc_tuya *line, const uint8_t *at, size_t left, uint32_t now) {
    while (left >= JRPC_TUYA_UNIT_OVERHEAD) {
        uint8_t id = at[0], type = at[1];
        size_t size = be16(at + 2);
        at += JRPC_TUYA_UNIT_OVERHEAD;
        left -= JRPC_TUYA_UNIT_OVERHEAD;
        if (size > left) return;
        if (line->datapoint_rpc != NULL && id == JRPC_TUYA_DPID && type == JRPC_TUYA_STRING) {
            jrpc_receive(line->datapoint_rpc, (const char *)at, size, now);
        } else if (line->on_datapoint != NULL) {
            line->on_datapoint(line->context, id, type, at, size);
        }
        at += size;
        left -= size;
    }
}

static void take_frame(const jrpc_tuya *line, const uint8_t *frame, uint32_t now) {
    uint8_t command = frame[3];
    const uint8_t *data = frame + HEADER;
    size_t size = be16(frame + 4);
    if (command == JRPC_TUYA_RPC && line->rpc != NULL) {
        jrpc_receive(line->rpc, (const char *)data, size, now);
    } else if (command == JRPC_TUYA_SET_DATAPOINTS) {
        take_datapoints(line, data, size, now);
    } else if (line->on_frame != NULL) {
        line->on_frame(line->context, command, data, size);
    }
}

/* Take the frames that have arrived. What cannot be one costs one byte, as a good frame may begin
 * inside; so do the first `wrong` bytes that have waited for the rest of a frame in vain. */
static void scan(jrpc_tuya *line, size_t wrong, uint32_t now) {
    size_t at = 0;
    while (at < line->count) {
        const uint8_t *bytes = line->bytes + at;
        finding found = judge(line, bytes, line->count - at);
        if (found == FRAME) {
            take_frame(line, bytes, now);
            at += be16(bytes + 4) + JRPC_TUYA_OVERHEAD;
        } else if (found == NO_FRAME || at < wrong) {
            line->dropped++;
            at++;
        } else {
            break;
        }
    }
    if (at == 0) return;
    line->begun_at = now;
    line->count -= at;
    memmove(line->bytes, line->bytes + at, line->count);
}

void jrpc_tuya_feed(jrpc_tuya *line, const uint8_t *bytes, size_t size, uint32_t now) {
    while (size > 0) {
        size_t part = line->room - line->count; /* never 0 after a scan */
        if (part > size) part = size;
        if (line->count == 0) line->begun_at = now;
        memcpy(line->bytes + line->count, bytes, part);
        line->count += part;
        bytes += part;
        size -= part;
        scan(line, 0, now);
    }
    line->heard_at = now;
}

void jrpc_tuya_poll(jrpc_tuya *line, uint32_t now) {
    if (line->count == 0) return;
    if (now - line->heard_at >= SILENCE_MS) {
        scan(line, line->count, now);
    } else if (now - line->begun_at >= PAUSES_MS + line->count) {
        scan(line, 1, now); /* a wrong length, which swallows the frames behind it */
    }
}

/* ---- Sending ---- */

static void write_summed(jrpc_tuya *line, const void *bytes, size_t size) {
    line->sum = (uint8_t)(line->sum + sum_of(bytes, size));
    line->write(line->context, bytes, size);
}

static void begin_frame(jrpc_tuya *line, uint8_t version, uint8_t command, size_t size) {
    const uint8_t header[HEADER] = {0x55, 0xAA, version, command, (uint8_t)(size >> 8), (uint8_t)size};
    line->sum = 0;
    write_summed(line, header, sizeof header);
}

static void end_frame(jrpc_tuya *line) {
    line->write(line->context, &line->sum, 1);
}

void jrpc_tuya_send(void *context, const char *bytes, size_t size, size_t rest) {
    jrpc_tuya *line = context;
    if (!line->is_sending) begin_frame(line, 0, JRPC_TUYA_RPC, size + rest);
    line->is_sending = rest > 0;
    write_summed(line, bytes, size);
    if (rest == 0) end_frame(line);
}

/* The cloud drops a value that equals the one before, so every other one gets a space behind it; but
 * not a segment of a longer message, within which it would stand then. */
void jrpc_tuya_send_datapoint(void *context, const char *bytes, size_t size, size_t rest) {
    jrpc_tuya *line = context;
    if (!line->is_sending) {
        bool is_segment = size > 3 && bytes[0] == '~' && bytes[3] != '!';
        line->adds_space = line->has_space && !is_segment;
        line->has_space = is_segment ? line->has_space : !line->has_space;
        size_t total = size + rest + line->adds_space;
        const uint8_t unit[] = {JRPC_TUYA_DPID, JRPC_TUYA_STRING, (uint8_t)(total >> 8), (uint8_t)total};
        begin_frame(line, MCU_VERSION, JRPC_TUYA_REPORT_DATAPOINTS, sizeof unit + total);
        write_summed(line, unit, sizeof unit);
    }
    line->is_sending = rest > 0;
    write_summed(line, bytes, size);
    if (rest > 0) return;
    if (line->adds_space) write_summed(line, " ", 1);
    end_frame(line);
}

void jrpc_tuya_write(jrpc_tuya *line, uint8_t command, const uint8_t *data, size_t size) {
    begin_frame(line, MCU_VERSION, command, size);
    write_summed(line, data, size);
    end_frame(line);
}
