#include "jrpc_seal.h"

#include <string.h>

#include "jrpc_base.h"
#include "jrpc_sha256.h"

enum { HELLO = 1, WELCOME = 2, DATA = 3, UNKNOWN = 4, VERSION = 1 };
enum { NUMBER = 4, KEY_ID = 8, INSTANCE = 8, HEADER = 1 + 2 * NUMBER };
enum {
    PROLOGUE = 2 + NUMBER + KEY_ID,
    HELLO_SIZE = PROLOGUE + JRPC_NOISE_OVERHEAD + INSTANCE,
    WELCOME_SIZE = 1 + NUMBER + JRPC_NOISE_OVERHEAD + NUMBER
};
enum { FREE, HALF_OPEN, COUNTS };

#define HALF_OPEN_MS 30000u
#define OLD_MS 30000u
#define IDLE_MS 3600000u
#define LONGEST_MS 90000000u /* 25 hours: the client has begun another session by then */

static uint32_t read_number(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void write_number(uint8_t *bytes, uint32_t number) {
    for (unsigned at = 0; at < NUMBER; at++) bytes[at] = (uint8_t)(number >> (24 - 8 * at));
}

/* 4 zero bytes, and the packet number as 64 bits, little endian. */
static void make_nonce(uint8_t nonce[JRPC_NONCE_SIZE], uint32_t number) {
    memset(nonce, 0, JRPC_NONCE_SIZE);
    for (unsigned at = 0; at < NUMBER; at++) nonce[4 + at] = (uint8_t)(number >> (8 * at));
}

static bool is_in_order(const jrpc_seal *seal) { return seal->config->form == JRPC_SEAL_BASE64; }

/* ---- Packets that leave ---- */

static void send_packet(jrpc_seal *seal, const uint8_t *packet, size_t size) {
    const jrpc_seal_config *config = seal->config;
    bool is_64 = config->form == JRPC_SEAL_BASE64;
    size_t group = is_64 ? 48 : 40; /* bytes that become whole groups of letters */
    char text[64];
    if (config->form == JRPC_SEAL_BINARY) {
        config->send(config->send_context, (const char *)packet, size, 0);
        return;
    }
    size_t rest = is_64 ? JRPC_BASE64_SIZE(size) : JRPC_BASE85_SIZE(size);
    config->send(config->send_context, "!", 1, rest);
    for (size_t at = 0; at < size; at += group) {
        size_t piece = size - at < group ? size - at : group;
        size_t letters = is_64 ? jrpc_base64_encode(text, packet + at, piece)
                               : jrpc_base85_encode(text, packet + at, piece);
        rest -= letters;
        config->send(config->send_context, text, letters, rest);
    }
}

static void seal_and_send(jrpc_seal *seal, jrpc_seal_session *session, size_t size) {
    uint8_t *packet = seal->config->buffer, nonce[JRPC_NONCE_SIZE];
    packet[0] = DATA;
    memcpy(packet + 1, session->theirs, NUMBER);
    write_number(packet + 1 + NUMBER, session->sent);
    make_nonce(nonce, session->sent++);
    seal->config->crypto->seal(packet + HEADER, size, packet + HEADER + size, session->sends, nonce,
                               packet, HEADER);
    send_packet(seal, packet, HEADER + size + JRPC_TAG_SIZE);
}

void jrpc_seal_send(void *context, const char *bytes, size_t size, size_t rest) {
    jrpc_seal *seal = context;
    size_t room = seal->config->buffer_size - JRPC_SEAL_OVERHEAD;
    if (seal->used > room || size > room - seal->used) seal->is_skipping = true;
    if (!seal->is_skipping) {
        memcpy(seal->config->buffer + HEADER + seal->used, bytes, size);
        seal->used += size;
    }
    if (rest) return;
    jrpc_seal_session *session = seal->current;
    if (seal->is_skipping || !session || session->sent == UINT32_MAX) {
        seal->counts.unsent++;
    } else {
        seal_and_send(seal, session, seal->used);
    }
    seal->used = 0;
    seal->is_skipping = false;
}

/* ---- Sessions ---- */

static bool is_of_one_client(const jrpc_seal_session *one, const jrpc_seal_session *other) {
    return one->key_index == other->key_index &&
           memcmp(one->instance, other->instance, INSTANCE) == 0;
}

static bool is_over(const jrpc_seal *seal, const jrpc_seal_session *session, uint32_t now) {
    if (session->state == HALF_OPEN) return now - session->since > HALF_OPEN_MS;
    if (session->is_old && now - session->old_since > OLD_MS) return true;
    return !is_in_order(seal) &&
           (now - session->heard_at > IDLE_MS || now - session->since > LONGEST_MS);
}

static void end(jrpc_seal *seal, jrpc_seal_session *session) {
    if (seal->current == session) seal->current = NULL;
    jrpc_wipe(session, sizeof *session);
}

void jrpc_seal_poll(jrpc_seal *seal, uint32_t now) {
    for (size_t at = 0; at < seal->config->session_count; at++) {
        jrpc_seal_session *session = &seal->config->sessions[at];
        if (session->state != FREE && is_over(seal, session, now)) end(seal, session);
    }
}

static jrpc_seal_session *find(const jrpc_seal *seal, const uint8_t number[NUMBER]) {
    for (size_t at = 0; at < seal->config->session_count; at++) {
        jrpc_seal_session *session = &seal->config->sessions[at];
        if (session->state != FREE && memcmp(session->number, number, NUMBER) == 0) return session;
    }
    return NULL;
}

/* The session in this state that was heard of before the others, the one in use left out. */
static jrpc_seal_session *oldest(const jrpc_seal *seal, uint8_t state, uint32_t now) {
    jrpc_seal_session *found = NULL;
    for (size_t at = 0; at < seal->config->session_count; at++) {
        jrpc_seal_session *session = &seal->config->sessions[at];
        if (session->state != state || session == seal->current) continue;
        if (!found || now - session->heard_at > now - found->heard_at) found = session;
    }
    return found;
}

/* Room for a handshake: a session that counts never goes for one, and leaves one place at least. */
static jrpc_seal_session *new_session(jrpc_seal *seal, uint32_t now) {
    jrpc_seal_poll(seal, now);
    jrpc_seal_session *session = oldest(seal, FREE, now);
    if (!session) session = oldest(seal, HALF_OPEN, now);
    jrpc_wipe(session, sizeof *session);
    return session;
}

/* Let a session count, now that its client has proved to be there: others of that client are old
 * then, unless this is a late packet of an older handshake. */
static void let_count(jrpc_seal *seal, jrpc_seal_session *session, uint32_t now) {
    size_t others = 0;
    session->state = COUNTS;
    for (size_t at = 0; at < seal->config->session_count; at++) {
        jrpc_seal_session *other = &seal->config->sessions[at];
        if (other->state != COUNTS || other == session) continue;
        others++;
        if (!is_of_one_client(other, session)) continue;
        jrpc_seal_session *older = session->order - other->order < UINT32_MAX / 2 ? other : session;
        if (older->is_old) continue;
        older->is_old = true;
        older->old_since = now;
    }
    if (!session->is_old) seal->current = session;
    if (others + 1 == seal->config->session_count) {
        jrpc_seal_session *last = oldest(seal, COUNTS, now);
        if (last) end(seal, last);
    }
}

/* The newest session of the client that has just spoken is what is answered on. */
static void speak_on(jrpc_seal *seal, jrpc_seal_session *session) {
    for (size_t at = 0; at < seal->config->session_count; at++) {
        jrpc_seal_session *other = &seal->config->sessions[at];
        if (other->state == COUNTS && !other->is_old && is_of_one_client(other, session)) {
            seal->current = other;
        }
    }
}

/* ---- Which packets of a session have come ---- */

static bool admits(const jrpc_seal_session *session, uint32_t number) {
    if (number >= session->next) return number != UINT32_MAX;
    if (session->next - number > JRPC_SEAL_WINDOW) return false;
    return !(session->seen[number / 32 % (JRPC_SEAL_WINDOW / 32)] >> number % 32 & 1);
}

static void note(jrpc_seal_session *session, uint32_t number) {
    if (number >= session->next) {
        uint32_t fresh = number - session->next;
        if (fresh >= JRPC_SEAL_WINDOW) memset(session->seen, 0, sizeof session->seen);
        for (uint32_t at = session->next; fresh < JRPC_SEAL_WINDOW && at <= number; at++) {
            session->seen[at / 32 % (JRPC_SEAL_WINDOW / 32)] &= ~((uint32_t)1 << at % 32);
        }
        session->next = number + 1;
    }
    session->seen[number / 32 % (JRPC_SEAL_WINDOW / 32)] |= (uint32_t)1 << number % 32;
}

/* ---- Packets that arrive ---- */

static const uint8_t *find_key(const jrpc_seal *seal, const uint8_t id[KEY_ID], uint8_t *index) {
    static const char name[] = "jsonrpc-iot key id";
    for (size_t at = 0; at < seal->config->key_count; at++) {
        const uint8_t *key = seal->config->keys[at];
        uint8_t digest[JRPC_SHA256_SIZE];
        jrpc_sha256 hash;
        jrpc_sha256_begin(&hash);
        jrpc_sha256_add(&hash, name, sizeof name - 1);
        jrpc_sha256_add(&hash, key, JRPC_KEY_SIZE);
        jrpc_sha256_end(&hash, digest);
        jrpc_wipe(&hash, sizeof hash);
        if (memcmp(digest, id, KEY_ID) == 0) {
            *index = (uint8_t)at;
            return key;
        }
    }
    return NULL;
}

/* The handshake that the same hello has begun already: it has the same answer. */
static const jrpc_seal_session *begun_by(const jrpc_seal *seal, const uint8_t digest[32],
                                         uint32_t now) {
    for (size_t at = 0; at < seal->config->session_count; at++) {
        const jrpc_seal_session *session = &seal->config->sessions[at];
        if (session->state != FREE && now - session->since <= HALF_OPEN_MS &&
            memcmp(session->hello, digest, sizeof session->hello) == 0) {
            return session;
        }
    }
    return NULL;
}

static void new_number(jrpc_seal *seal, uint8_t number[NUMBER]) {
    do seal->config->crypto->random(number, NUMBER);
    while (find(seal, number));
}

static bool take_hello(jrpc_seal *seal, const uint8_t *hello, uint32_t now) {
    uint8_t digest[JRPC_SHA256_SIZE], instance[INSTANCE], number[NUMBER], index = 0;
    jrpc_sha256 hash;
    jrpc_noise noise;
    jrpc_sha256_begin(&hash);
    jrpc_sha256_add(&hash, hello, HELLO_SIZE);
    jrpc_sha256_end(&hash, digest);
    const jrpc_seal_session *begun = begun_by(seal, digest, now);
    if (begun) {
        send_packet(seal, begun->welcome, WELCOME_SIZE);
        return true;
    }
    const uint8_t *key = find_key(seal, hello + 2 + NUMBER, &index);
    if (!key || !jrpc_noise_read(&noise, seal->config->crypto, key, hello, PROLOGUE,
                                 hello + PROLOGUE, HELLO_SIZE - PROLOGUE, instance)) {
        seal->counts.wrong_key++;
        return false;
    }
    new_number(seal, number);
    jrpc_seal_session *session = new_session(seal, now);
    if (!jrpc_noise_answer(&noise, number, NUMBER, session->welcome + 1 + NUMBER, session->receives,
                           session->sends)) {
        seal->counts.wrong_key++;
        return false;
    }
    session->welcome[0] = WELCOME;
    memcpy(session->welcome + 1, hello + 2, NUMBER);
    memcpy(session->theirs, hello + 2, NUMBER);
    memcpy(session->number, number, NUMBER);
    memcpy(session->instance, instance, INSTANCE);
    memcpy(session->hello, digest, sizeof session->hello);
    session->key_index = index;
    session->order = seal->order++;
    session->since = session->heard_at = now;
    session->state = HALF_OPEN;
    send_packet(seal, session->welcome, WELCOME_SIZE);
    return true;
}

static bool take_data(jrpc_seal *seal, uint8_t *packet, size_t size, uint32_t now) {
    uint8_t nonce[JRPC_NONCE_SIZE], *text = packet + HEADER;
    uint32_t number = read_number(packet + 1 + NUMBER);
    size_t text_size = size - JRPC_SEAL_OVERHEAD;
    jrpc_seal_session *session = find(seal, packet + 1);
    if (!session || is_over(seal, session, now)) {
        seal->counts.unknown++;
        if (is_in_order(seal)) return false;
        packet[0] = UNKNOWN;
        send_packet(seal, packet, 1 + NUMBER);
        return false;
    }
    make_nonce(nonce, number);
    if (!admits(session, number) || (is_in_order(seal) && number != session->next) ||
        !seal->config->crypto->open(text, text_size, text + text_size, session->receives, nonce,
                                    packet, HEADER)) {
        seal->counts.dropped++;
        return false;
    }
    note(session, number);
    session->heard_at = now;
    if (session->state == HALF_OPEN) let_count(seal, session, now);
    speak_on(seal, session);
    if (text_size) {
        seal->config->receive(seal->config->receive_context, (const char *)text, text_size, now);
    }
    return true;
}

bool jrpc_seal_is_packet(jrpc_seal_form form, const char *message, size_t size) {
    if (size == 0) return false;
    if (form == JRPC_SEAL_BINARY) return *message >= HELLO && *message <= UNKNOWN;
    return *message == '!';
}

bool jrpc_seal_receive(jrpc_seal *seal, char *message, size_t size, uint32_t now) {
    jrpc_seal_form form = seal->config->form;
    uint8_t *packet = (uint8_t *)message;
    bool is_packet = jrpc_seal_is_packet(form, message, size);
    if (is_packet && form != JRPC_SEAL_BINARY) {
        while (message[size - 1] == ' ') size--; /* Tuya's cloud drops what equals the last value */
        size = form == JRPC_SEAL_BASE85 ? jrpc_base85_decode(packet, size, message + 1, size - 1)
                                        : jrpc_base64_decode(packet, size, message + 1, size - 1);
        is_packet = size != JRPC_NO_BYTES;
    }
    if (is_packet && size >= JRPC_SEAL_OVERHEAD && packet[0] == DATA) {
        return take_data(seal, packet, size, now);
    }
    if (is_packet && size == HELLO_SIZE && packet[0] == HELLO && packet[1] == VERSION) {
        return take_hello(seal, packet, now);
    }
    seal->counts.dropped++;
    return false;
}

int jrpc_seal_key(const jrpc_seal *seal) { return seal->current ? seal->current->key_index : -1; }

bool jrpc_seal_init(jrpc_seal *seal, const jrpc_seal_config *config) {
    if (config->session_count < 3 || config->buffer_size < JRPC_SEAL_SMALLEST) return false;
    memset(seal, 0, sizeof *seal);
    seal->config = config;
    jrpc_wipe(config->sessions, config->session_count * sizeof *config->sessions);
    return true;
}
