/* Links that nobody else can read or change: packets sealed with a shared key. The bytes are those of
 * docs/protocol.md; this is the server's end.
 *
 * It stands between a `jrpc` and what carries its messages:
 *
 *     arrives:  your link  ->  jrpc_seal_receive  ->  config.receive, such as `jrpc_receive`
 *     leaves:   jrpc, framing JRPC_FRAME  ->  jrpc_seal_send  ->  config.send
 *
 * One client at a time is spoken to: the one that spoke last. What it does not prove is not let
 * through, so a `jrpc` behind it needs no further check. Needs jrpc_noise.c, jrpc_sha256.c and
 * jrpc_base.c, and four functions of a library of cryptography: adapters/ has them for some. */
#ifndef JRPC_SEAL_H
#define JRPC_SEAL_H

#include "jrpc.h"
#include "jrpc_noise.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef JRPC_SEAL_WINDOW
#define JRPC_SEAL_WINDOW 1024 /* packets that may come late, a multiple of 32; takes so many bits */
#endif

#define JRPC_SEAL_OVERHEAD 25 /* bytes of a packet beside its message */
#define JRPC_SEAL_SMALLEST 70 /* bytes of the largest packet that has no message */

/* How a packet travels. */
typedef enum {
    JRPC_SEAL_BINARY, /* as it is: UDP, frames on a serial line, GATT */
    JRPC_SEAL_BASE85, /* `!` and Base85: Tuya's DataPoints, which are text */
    JRPC_SEAL_BASE64  /* `!` and Base64, a line each, none lost or doubled: TCP, pipes */
} jrpc_seal_form;

typedef struct jrpc_seal_session jrpc_seal_session;

typedef struct {
    const jrpc_crypto *crypto;
    const uint8_t (*keys)[JRPC_KEY_SIZE]; /* any of them opens */
    size_t key_count;
    jrpc_seal_form form;
    /* At least 3: the one in use, the one before it whose packets may be late, and a handshake. */
    jrpc_seal_session *sessions;
    size_t session_count;
    /* One packet that leaves, as bytes: JRPC_SEAL_OVERHEAD more than the largest message, and at
     * least JRPC_SEAL_SMALLEST. */
    uint8_t *buffer;
    size_t buffer_size;
    jrpc_send send; /* takes one packet, in pieces where the form is text */
    void *send_context;
    void (*receive)(void *context, const char *message, size_t size, uint32_t now_ms);
    void *receive_context;
} jrpc_seal_config;

typedef struct {
    uint32_t wrong_key; /* hellos of somebody without one of the keys */
    uint32_t dropped;   /* packets that did not open, or came again, or are none */
    uint32_t unknown;   /* packets of sessions that are not known */
    uint32_t unsent;    /* messages that were too large, or for nobody */
} jrpc_seal_counts;

/* A link; set it to zero, then begin. The fields belong to the library, but `counts`. */
typedef struct {
    const jrpc_seal_config *config;
    jrpc_seal_counts counts;
    jrpc_seal_session *current;
    uint32_t order;
    size_t used; /* of a message that is being sent */
    bool is_skipping;
} jrpc_seal;

/* Returns false when it cannot work: fewer than 3 sessions, or a buffer that is too small. */
bool jrpc_seal_init(jrpc_seal *seal, const jrpc_seal_config *config);

/* Take one packet, which is deciphered where it is. Returns false where it counts for nothing; with
 * JRPC_SEAL_BASE64 close the connection then. */
bool jrpc_seal_receive(jrpc_seal *seal, char *packet, size_t size, uint32_t now_ms);

/* Send a message, in pieces; is a `jrpc_send` whose context is the seal. */
void jrpc_seal_send(void *seal, const char *bytes, size_t size, size_t rest);

/* Forget what is too old; at least once an hour. A connection that has ended: `jrpc_seal_init`. */
void jrpc_seal_poll(jrpc_seal *seal, uint32_t now_ms);

/* Which key the other end has, as an index into `config->keys`; -1: nobody has proved anything. So
 * a handler can allow more to one than to another. */
int jrpc_seal_key(const jrpc_seal *seal);

/* Whether a message is meant to be a packet. No other begins so: plain and sealed ends can share a
 * link, each served by a `jrpc` of its own. */
bool jrpc_seal_is_packet(jrpc_seal_form form, const char *message, size_t size);

struct jrpc_seal_session {
    uint8_t state, key_index;
    bool is_old; /* a newer one of the same client counts */
    uint8_t number[4], theirs[4], instance[8];
    uint8_t sends[JRPC_KEY_SIZE], receives[JRPC_KEY_SIZE];
    uint32_t order, since, heard_at, old_since; /* milliseconds but for the first */
    uint32_t sent, next; /* packet numbers: the next one to send, and above all that have come */
    uint32_t seen[JRPC_SEAL_WINDOW / 32];
    uint8_t hello[32]; /* its digest */
    uint8_t welcome[57];
};

#ifdef __cplusplus
}
#endif

#endif
