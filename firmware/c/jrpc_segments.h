/* Messages longer than a packet, in segments: `?segment=1` at the other end. The bytes are those of
 * docs/protocol.md.
 *
 * It stands between a `jrpc` and what carries its messages, or the seal:
 *
 *     arrives:  packets  ->  jrpc_segments_receive  ->  config.receive, such as `jrpc_receive`
 *     leaves:   jrpc, framing JRPC_FRAME  ->  jrpc_segments_send  ->  config.send
 *
 * Messages that fit a packet go through as they are. One long message arrives at a time, and one
 * leaves; the other end sends again what there was no room for. What leaves waits here until the other
 * end has it. */
#ifndef JRPC_SEGMENTS_H
#define JRPC_SEGMENTS_H

#include "jrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JRPC_SEGMENT_HEADER 9 /* bytes before a chunk */
#define JRPC_SEGMENTS_MOST 4095 /* of one message */

enum { JRPC_SEGMENTS_REMEMBERED = 16 }; /* messages whose late copies are known */

/* Bytes that `arriving` needs for messages of so many bytes in packets of at most `packet` bytes: where
 * chunks end with whole letters they may be 3 bytes short. */
#define JRPC_SEGMENTS_ROOM(message, packet) \
    (((message) / ((packet) - JRPC_SEGMENT_HEADER - 3) + 1) * \
     ((packet) - JRPC_SEGMENT_HEADER + sizeof(uint16_t)))

typedef struct {
    size_t max_packet; /* bytes of the largest packet that leaves; at least 32 */
    /* Of the largest that arrives, as the other end has it: 255 in a DataPoint. 0: the same. */
    size_t max_arriving;
    char *arriving;    /* one long message: see JRPC_SEGMENTS_ROOM */
    size_t arriving_size;
    char *leaving; /* long messages, one behind the other, each with 4 bytes more */
    size_t leaving_size;
    uint32_t retry_ms; /* when to ask for a report: 250, on slow links the time that 32 packets take */
    jrpc_send send;    /* takes one packet, in pieces */
    void *send_context;
    void (*receive)(void *context, const char *message, size_t size, uint32_t now_ms);
    void *receive_context;
} jrpc_segments_config;

typedef struct {
    uint32_t dropped;   /* packets that made no sense, or for which there was no room */
    uint32_t abandoned; /* long messages that have not arrived as a whole */
    uint32_t given_up;  /* long messages that the other end has not taken */
    uint32_t unsent;    /* messages for which there was no room */
} jrpc_segments_counts;

/* Both directions of a channel; the fields belong to the library, but `counts`. */
typedef struct {
    const jrpc_segments_config *config;
    jrpc_segments_counts counts;
    struct { /* the message that arrives */
        bool is_on, has_gap;
        uint8_t number;
        uint16_t count, prefix, top, fresh; /* segments: all below `prefix` are there, none from `top` on */
        uint32_t heard_at, new_at, gap_at;  /* milliseconds */
    } in;
    struct { /* messages that have arrived */
        uint8_t number;
        uint16_t count; /* 0: none */
        uint32_t first, last; /* digests of two chunks */
        uint32_t at;
    } finished[JRPC_SEGMENTS_REMEMBERED];
    uint8_t next_finished;
    struct { /* the message that leaves */
        bool is_on;
        uint8_t number;
        uint16_t count, prefix, next;
        uint32_t again, repeated; /* bits, of segments from `prefix` on: to be sent again, were */
        uint32_t delay, quiet_since, progress_at, repeated_at; /* milliseconds */
    } out;
    size_t used;   /* of `leaving`: whole messages */
    size_t taking; /* bytes of the one that is being written behind them */
    uint8_t state;
} jrpc_segments;

/* Returns false when it cannot work: a packet below 32 bytes, or no room for a message. */
bool jrpc_segments_init(jrpc_segments *segments, const jrpc_segments_config *config);

/* Take one packet. */
void jrpc_segments_receive(jrpc_segments *segments, const char *packet, size_t size,
                           uint32_t now_ms);

/* Send a message, in pieces; is a `jrpc_send` whose context is the segments. Its first piece must
 * know the size of the whole. A long one waits for `jrpc_segments_poll`. */
void jrpc_segments_send(void *segments, const char *bytes, size_t size, size_t rest);

/* Send what is due, a packet at most. Returns whether there is more: read what has arrived, then call
 * it again. At least every 50 ms, since the other end waits for reports. */
bool jrpc_segments_poll(jrpc_segments *segments, uint32_t now_ms);

#ifdef __cplusplus
}
#endif

#endif
