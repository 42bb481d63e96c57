#include "jrpc_segments.h"

#include <string.h>

#include "jrpc_parts.h"

enum { WINDOW = 32, REPORT_EVERY = 16, REPORT_MS = 100, IDLE_MS = 1000, UNFINISHED_MS = 10000 };
enum { REMEMBERED_MS = 45000, GIVE_UP_MS = 30000, LONGEST_MS = 2000, REPORT_SIZE = 96 };
enum { SIZE_FIELD = sizeof(uint16_t), LENGTH_FIELD = sizeof(uint32_t) };
enum { BETWEEN, PASSING, TAKING, SKIPPING }; /* messages that leave */
#define MISSING UINT16_MAX

/* ---- Hexadecimal digits ---- */

static int read_digits(const char *text, int count) {
    int value = 0;
    for (; count > 0; count--) {
        int digit = jrpc_hex(*text++);
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static char *put_digits(char *text, unsigned value, unsigned count) {
    while (count > 0) *text++ = "0123456789abcdef"[value >> 4 * --count & 15];
    return text;
}

static char *put_report_head(char *text, uint8_t number, unsigned below) {
    *text++ = '~';
    text = put_digits(text, number, 2);
    *text++ = '!';
    return put_digits(text, below, 3);
}

static void send_packet(const jrpc_segments *segments, const char *packet, const char *end) {
    segments->config->send(segments->config->send_context, packet, (size_t)(end - packet), 0);
}

/* FNV-1a: nobody but who sends the chunks could have two of one digest, and would harm itself. */
static uint32_t digest(const char *chunk, size_t size) {
    uint32_t value = 2166136261u;
    while (size--) value = (value ^ (uint8_t)*chunk++) * 16777619u;
    return value;
}

/* ---- What arrives: each chunk has a place of its own, its size before it ---- */

static size_t largest_chunk(const jrpc_segments *segments) {
    return segments->config->max_packet - JRPC_SEGMENT_HEADER;
}

static size_t largest_arriving(const jrpc_segments *segments) {
    size_t most = segments->config->max_arriving;
    return most > 0 ? most - JRPC_SEGMENT_HEADER : largest_chunk(segments);
}

static char *place_of(const jrpc_segments *segments, size_t index) {
    return segments->config->arriving + index * (largest_arriving(segments) + SIZE_FIELD);
}

static size_t size_at(const char *place) {
    uint16_t size;
    memcpy(&size, place, sizeof size);
    return size;
}

static void set_size(char *place, size_t size) {
    uint16_t field = (uint16_t)size;
    memcpy(place, &field, sizeof field);
}

static void report_all(const jrpc_segments *segments, uint8_t number, uint16_t count) {
    char report[8];
    send_packet(segments, report, put_report_head(report, number, count));
}

/* What is there, and as many ranges of what is missing as fit. */
static void report(jrpc_segments *segments) {
    char text[REPORT_SIZE], *end = put_report_head(text, segments->in.number, segments->in.prefix);
    size_t most = segments->config->max_packet, room = most < REPORT_SIZE ? most : REPORT_SIZE;
    segments->in.fresh = 0;
    segments->in.has_gap = false;
    for (unsigned at = segments->in.prefix; at < segments->in.top; at++) {
        unsigned first = at;
        while (at < segments->in.top && size_at(place_of(segments, at)) == MISSING) at++;
        if (at == first) continue;
        if (room - (size_t)(end - text) < 8) break;
        *end++ = ',';
        end = put_digits(end, first, 3);
        if (at == first + 1) continue;
        *end++ = '-';
        end = put_digits(end, at - 1, 3);
    }
    send_packet(segments, text, end);
}

static void abandon(jrpc_segments *segments) {
    segments->in.is_on = false;
    segments->counts.abandoned++;
}

/* Whether it is, or may be, a copy of what has arrived as a part of a whole message. Only the ends of
 * that are remembered, but they are what a sender asks with. */
static bool is_late(jrpc_segments *segments, uint8_t number, uint16_t index, uint16_t count,
                    uint32_t check, uint32_t now) {
    for (size_t at = 0; at < JRPC_SEGMENTS_REMEMBERED; at++) {
        if (segments->finished[at].count != count) continue;
        if (segments->finished[at].number != number) continue;
        bool is_first = index == 0, is_last = index == count - 1;
        if (now - segments->finished[at].at > REMEMBERED_MS ||
            (is_first && segments->finished[at].first != check) ||
            (is_last && segments->finished[at].last != check)) {
            segments->finished[at].count = 0; /* the number has come round */
            return false;
        }
        segments->finished[at].at = now;
        if (is_first || is_last) report_all(segments, number, count);
        return true;
    }
    return false;
}

static bool begin(jrpc_segments *segments, uint8_t number, uint16_t count, uint32_t now) {
    size_t places = segments->config->arriving_size / (largest_arriving(segments) + SIZE_FIELD);
    if (count > places) return false;
    if (segments->in.is_on) {
        if (segments->in.number != number && now - segments->in.new_at < IDLE_MS) return false;
        abandon(segments);
    }
    memset(&segments->in, 0, sizeof segments->in);
    segments->in.is_on = true;
    segments->in.number = number;
    segments->in.count = count;
    for (unsigned at = 0; at < count; at++) set_size(place_of(segments, at), MISSING);
    return true;
}

static void finish(jrpc_segments *segments, uint32_t now) {
    const jrpc_segments_config *config = segments->config;
    uint8_t slot = segments->next_finished;
    size_t used = 0, last = segments->in.count - 1u;
    segments->next_finished = (uint8_t)((slot + 1) % JRPC_SEGMENTS_REMEMBERED);
    segments->finished[slot].number = segments->in.number;
    segments->finished[slot].count = segments->in.count;
    segments->finished[slot].at = now;
    const char *first = place_of(segments, 0), *end = place_of(segments, last);
    segments->finished[slot].first = digest(first + SIZE_FIELD, size_at(first));
    segments->finished[slot].last = digest(end + SIZE_FIELD, size_at(end));
    for (size_t at = 0; at <= last; at++) {
        const char *place = place_of(segments, at);
        size_t size = size_at(place);
        memmove(config->arriving + used, place + SIZE_FIELD, size);
        used += size;
    }
    segments->in.is_on = false;
    report_all(segments, segments->in.number, segments->in.count);
    config->receive(config->receive_context, config->arriving, used, now);
}

static void add(jrpc_segments *segments, uint16_t index, const char *chunk, size_t size,
                uint32_t now) {
    char *place = place_of(segments, index);
    segments->in.heard_at = now;
    segments->in.fresh++; /* also for a copy: the report may have been lost */
    if (size_at(place) != MISSING) return;
    memcpy(place + SIZE_FIELD, chunk, size);
    set_size(place, size);
    segments->in.new_at = now;
    if (index >= segments->in.top) segments->in.top = (uint16_t)(index + 1);
    if (index != segments->in.prefix && !segments->in.has_gap) {
        segments->in.has_gap = true;
        segments->in.gap_at = now;
    }
    while (segments->in.prefix < segments->in.top &&
           size_at(place_of(segments, segments->in.prefix)) != MISSING) {
        segments->in.prefix++;
    }
    if (segments->in.prefix == segments->in.count) {
        finish(segments, now);
    } else if (index == segments->in.count - 1) {
        segments->in.fresh = REPORT_EVERY;
    }
}

static bool fits_in(const jrpc_segments *segments, uint8_t number, uint16_t index, uint16_t count,
                    const char *chunk, size_t size) {
    if (!segments->in.is_on || segments->in.number != number) return false;
    if (segments->in.count != count) return false;
    const char *place = place_of(segments, index);
    return size_at(place) == MISSING ||
           (size_at(place) == size && memcmp(place + SIZE_FIELD, chunk, size) == 0);
}

/* ---- What leaves: at most so many segments from the first that has not arrived on ---- */

static const char *leaving(const jrpc_segments *segments, size_t *size) {
    uint32_t length;
    memcpy(&length, segments->config->leaving, sizeof length);
    *size = length;
    return segments->config->leaving + LENGTH_FIELD;
}

/* Where the chunk that begins at `at` ends: before a character of UTF-8, if there is one. */
static size_t chunk_end(const char *message, size_t size, size_t at, size_t most) {
    if (size - at <= most) return size;
    size_t end = at + most;
    for (unsigned back = 0; back < 4; back++, end--) {
        if (((uint8_t)message[end] & 0xC0) != 0x80) return end;
    }
    return at + most;
}

/* Where segment `index` begins. */
static size_t beginning(const jrpc_segments *segments, unsigned index) {
    size_t size, at = 0;
    const char *message = leaving(segments, &size);
    while (index-- > 0) at = chunk_end(message, size, at, largest_chunk(segments));
    return at;
}

static void start(jrpc_segments *segments, uint32_t now) {
    size_t size, at = 0, count = 0;
    const char *message = leaving(segments, &size);
    for (; at < size; count++) at = chunk_end(message, size, at, largest_chunk(segments));
    uint8_t number = (uint8_t)(segments->out.number + 1);
    memset(&segments->out, 0, sizeof segments->out);
    segments->out.is_on = true;
    segments->out.number = number;
    segments->out.count = (uint16_t)count;
    segments->out.delay = segments->config->retry_ms;
    segments->out.progress_at = segments->out.quiet_since = now;
}

static void end(jrpc_segments *segments) {
    size_t size;
    leaving(segments, &size);
    size += LENGTH_FIELD;
    segments->used -= size;
    memmove(segments->config->leaving, segments->config->leaving + size, segments->used);
    segments->out.is_on = false;
}

static void send_segment(jrpc_segments *segments, unsigned index, uint32_t now) {
    const jrpc_segments_config *config = segments->config;
    char head[JRPC_SEGMENT_HEADER], *at = head;
    size_t size, from = beginning(segments, index);
    const char *message = leaving(segments, &size);
    size_t chunk = chunk_end(message, size, from, largest_chunk(segments)) - from;
    *at++ = '~';
    at = put_digits(at, segments->out.number, 2);
    at = put_digits(at, index, 3);
    put_digits(at, segments->out.count, 3);
    config->send(config->send_context, head, sizeof head, chunk);
    config->send(config->send_context, message + from, chunk, 0);
    segments->out.quiet_since = now;
}

/* Send a segment that is missing at the other end, else the next one; false: there is none. */
static bool transmit(jrpc_segments *segments, uint32_t now) {
    for (unsigned bit = 0; segments->out.again && bit < WINDOW; bit++) {
        uint32_t mask = (uint32_t)1 << bit;
        if (!(segments->out.again & mask)) continue;
        segments->out.again &= ~mask;
        segments->out.repeated |= mask;
        segments->out.repeated_at = now;
        send_segment(segments, segments->out.prefix + bit, now);
        return true;
    }
    if (segments->out.next == segments->out.count ||
        segments->out.next - segments->out.prefix >= WINDOW) {
        return false;
    }
    send_segment(segments, segments->out.next++, now);
    return true;
}

/* The bits of segments from `first` to before `end`, as far as they are in the window. */
static uint32_t bits(const jrpc_segments *segments, unsigned first, unsigned end) {
    uint32_t mask = 0;
    for (unsigned at = first; at < end && at - segments->out.prefix < WINDOW; at++) {
        mask |= (uint32_t)1 << (at - segments->out.prefix);
    }
    return mask;
}

static void move_to(jrpc_segments *segments, unsigned prefix, uint32_t now) {
    unsigned moved = prefix - segments->out.prefix;
    if (moved == 0) return;
    segments->out.again = moved < WINDOW ? segments->out.again >> moved : 0;
    segments->out.repeated = moved < WINDOW ? segments->out.repeated >> moved : 0;
    segments->out.prefix = (uint16_t)prefix;
    segments->out.progress_at = now;
    segments->out.delay = segments->config->retry_ms;
}

/* Read the ranges of what is missing, as bits; false: they do not ascend, or are of what never left. */
static bool read_missing(const jrpc_segments *segments, const char *text, size_t size,
                         uint32_t *missing, unsigned *reach) {
    while (size > 0) {
        size_t used = size >= 8 && text[4] == '-' ? 8 : 4;
        if (size < used || text[0] != ',') return false;
        int first = read_digits(text + 1, 3), last = used == 8 ? read_digits(text + 5, 3) : first;
        if (first < (int)*reach || last < first || last >= (int)segments->out.next) return false;
        *missing |= bits(segments, (unsigned)first, (unsigned)last + 1);
        *reach = (unsigned)last + 1;
        text += used;
        size -= used;
    }
    return true;
}

static void take_report(jrpc_segments *segments, const char *packet, size_t size, uint32_t now) {
    uint32_t missing = 0;
    while (packet[size - 1] == ' ') size--; /* Tuya's cloud drops what equals the last value */
    int number = read_digits(packet + 1, 2), below = size < 7 ? -1 : read_digits(packet + 4, 3);
    if (number < 0 || below < 0) {
        segments->counts.dropped++;
        return;
    }
    if (!segments->out.is_on || number != segments->out.number) return; /* a late one */
    unsigned reach = (unsigned)below;
    if (reach < segments->out.prefix) return;
    if (reach > segments->out.next) {
        segments->counts.dropped++;
        return;
    }
    if (reach == segments->out.count) {
        end(segments);
        return;
    }
    move_to(segments, reach, now);
    if (!read_missing(segments, packet + 7, size - 7, &missing, &reach)) {
        segments->counts.dropped++;
        return;
    }
    if (now - segments->out.repeated_at >= segments->config->retry_ms) segments->out.repeated = 0;
    segments->out.again &= ~bits(segments, segments->out.prefix, reach);
    segments->out.again |= missing & ~segments->out.repeated;
    if (now - segments->out.quiet_since >= segments->config->retry_ms) {
        segments->out.again |= bits(segments, reach, segments->out.next);
    }
    segments->out.quiet_since = now; /* the other end is there: it has its time again */
}

/* Nothing was heard for a while: ask, with the first and the last segment that may be missing. */
static void ask(jrpc_segments *segments, uint32_t now) {
    if (segments->out.next > 0) {
        unsigned last = segments->out.next - 1u;
        segments->out.again = bits(segments, segments->out.prefix, segments->out.prefix + 1u) |
                              bits(segments, last, last + 1);
    }
    segments->out.quiet_since = now;
    if (segments->out.delay < LONGEST_MS) segments->out.delay *= 2;
}

/* ---- Both ---- */

/* Whether a segment is ours, come back on a line with an echo. */
static bool is_echo(const jrpc_segments *segments, const char *packet, size_t size) {
    if (!segments->out.is_on || read_digits(packet + 1, 2) != segments->out.number ||
        read_digits(packet + 6, 3) != segments->out.count) {
        return false;
    }
    size_t length, from = beginning(segments, (unsigned)read_digits(packet + 3, 3));
    const char *message = leaving(segments, &length);
    size_t chunk = chunk_end(message, length, from, largest_chunk(segments)) - from;
    return chunk == size - JRPC_SEGMENT_HEADER &&
           memcmp(message + from, packet + JRPC_SEGMENT_HEADER, chunk) == 0;
}

static void take_segment(jrpc_segments *segments, const char *packet, size_t size, uint32_t now) {
    const char *chunk = packet + JRPC_SEGMENT_HEADER;
    size_t chunk_size = size - JRPC_SEGMENT_HEADER;
    int number = read_digits(packet + 1, 2);
    int index = read_digits(packet + 3, 3), count = read_digits(packet + 6, 3);
    if (number < 0 || index < 0 || count <= index || (chunk_size == 0 && count > 1) ||
        chunk_size > largest_arriving(segments)) {
        segments->counts.dropped++;
        return;
    }
    uint8_t which = (uint8_t)number;
    uint16_t place = (uint16_t)index, all = (uint16_t)count;
    if (!fits_in(segments, which, place, all, chunk, chunk_size)) {
        if (is_echo(segments, packet, size)) return;
        if (is_late(segments, which, place, all, digest(chunk, chunk_size), now)) return;
        if (!begin(segments, which, all, now)) {
            segments->counts.dropped++;
            return;
        }
    }
    add(segments, place, chunk, chunk_size, now);
}

void jrpc_segments_receive(jrpc_segments *segments, const char *packet, size_t size, uint32_t now) {
    if (size == 0 || *packet != '~') {
        segments->config->receive(segments->config->receive_context, packet, size, now);
    } else if (size > 3 && packet[3] == '!') {
        take_report(segments, packet, size, now);
    } else if (size >= JRPC_SEGMENT_HEADER) {
        take_segment(segments, packet, size, now);
    } else {
        segments->counts.dropped++;
    }
}

void jrpc_segments_send(void *context, const char *bytes, size_t size, size_t rest) {
    jrpc_segments *segments = context;
    const jrpc_segments_config *config = segments->config;
    size_t at = segments->used + LENGTH_FIELD + segments->taking;
    if (segments->state == BETWEEN) {
        bool is_short = size <= config->max_packet && rest <= config->max_packet - size;
        size_t most = (size_t)JRPC_SEGMENTS_MOST * (largest_chunk(segments) - 3);
        size_t room = at <= config->leaving_size ? config->leaving_size - at : 0;
        if (room > most) room = most;
        bool has_room = size <= room && rest <= room - size;
        segments->state = is_short ? PASSING : has_room ? TAKING : SKIPPING;
    }
    if (segments->state == PASSING) {
        config->send(config->send_context, bytes, size, rest);
    } else if (segments->state == TAKING) {
        memcpy(config->leaving + at, bytes, size);
        segments->taking += size;
    }
    if (rest > 0) return;
    if (segments->state == TAKING) {
        uint32_t length = (uint32_t)segments->taking;
        memcpy(config->leaving + segments->used, &length, sizeof length);
        segments->used += LENGTH_FIELD + segments->taking;
    } else if (segments->state == SKIPPING) {
        segments->counts.unsent++;
    }
    segments->taking = 0;
    segments->state = BETWEEN;
}

static bool is_report_due(const jrpc_segments *segments, uint32_t now) {
    if (!segments->in.is_on || segments->in.fresh == 0) return false;
    return segments->in.fresh >= REPORT_EVERY || now - segments->in.heard_at >= REPORT_MS ||
           (segments->in.has_gap && now - segments->in.gap_at >= REPORT_MS);
}

bool jrpc_segments_poll(jrpc_segments *segments, uint32_t now) {
    if (segments->in.is_on && now - segments->in.new_at >= UNFINISHED_MS) abandon(segments);
    if (is_report_due(segments, now)) {
        report(segments);
        return true;
    }
    if (!segments->out.is_on && segments->used > 0) start(segments, now);
    if (!segments->out.is_on) return false;
    if (now - segments->out.progress_at >= GIVE_UP_MS) {
        segments->counts.given_up++;
        end(segments);
        return segments->used > 0;
    }
    if (now - segments->out.quiet_since >= segments->out.delay) ask(segments, now);
    return transmit(segments, now);
}

bool jrpc_segments_init(jrpc_segments *segments, const jrpc_segments_config *config) {
    bool is_good = config->max_packet >= 32 && config->max_packet <= UINT16_MAX;
    if (config->max_arriving > 0) {
        is_good = is_good && config->max_arriving >= 32 && config->max_arriving <= UINT16_MAX;
    }
    if (!is_good || config->retry_ms == 0) return false;
    memset(segments, 0, sizeof *segments);
    segments->config = config;
    return true;
}
