/* Serial lines: messages in Tuya frames of command FE, and in DataPoint 232 behind a Tuya module.
 *
 * A frame is 55 AA, a version, a command, the length of the data (2 bytes, big end first), the data,
 * and the sum of all bytes before it, modulo 256. A message in a DataPoint is a unit of type string in
 * a frame of command 06 (to this MCU) or 07 (from it). One line may carry both, for a `jrpc` each, and
 * what is Tuya's own besides.
 *
 *     static uint8_t frame[JRPC_TUYA_ROOM(1024)];
 *     static jrpc_tuya line = {.rpc = &rpc, .bytes = frame, .room = sizeof frame, .write = uart_write};
 *
 * with `jrpc_tuya_send` and `&line` as the `send` and `send_context` of the config of `rpc`, whose
 * framing is JRPC_FRAME, and which `is_lossy`. */
#ifndef JRPC_TUYA_H
#define JRPC_TUYA_H

#include "jrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JRPC_TUYA_OVERHEAD 7u       /* of a frame */
#define JRPC_TUYA_UNIT_OVERHEAD 4u  /* of a DataPoint in it */
#define JRPC_TUYA_DPID 232u
#define JRPC_TUYA_ROOM(most) ((most) + JRPC_TUYA_OVERHEAD + JRPC_TUYA_UNIT_OVERHEAD)

enum {
    JRPC_TUYA_HEARTBEAT = 0x00,
    JRPC_TUYA_PRODUCT = 0x01,
    JRPC_TUYA_SET_DATAPOINTS = 0x06,
    JRPC_TUYA_REPORT_DATAPOINTS = 0x07,
    JRPC_TUYA_QUERY_DATAPOINTS = 0x08,
    JRPC_TUYA_RPC = 0xFE
};

enum { JRPC_TUYA_RAW, JRPC_TUYA_BOOL, JRPC_TUYA_VALUE, JRPC_TUYA_STRING, JRPC_TUYA_ENUM };

/* A line. Set what is above the line before its first use, and the rest to zero. */
typedef struct {
    jrpc *rpc;           /* takes the messages in frames of command FE; NULL: nobody does */
    jrpc *datapoint_rpc; /* takes those in DataPoint 232 */
    uint8_t *bytes;      /* what has been received: room for the longest frame */
    size_t room;
    void (*write)(void *context, const uint8_t *bytes, size_t size); /* to the UART */
    /* Other frames, and other DataPoints that the module sets; NULL: they are ignored. */
    void (*on_frame)(void *context, uint8_t command, const uint8_t *data, size_t size);
    void (*on_datapoint)(void *context, uint8_t id, uint8_t type, const uint8_t *value, size_t size);
    void *context; /* of these functions */
    /* ---- */
    size_t count;
    uint32_t dropped;            /* bytes that belonged to no frame */
    uint32_t heard_at, begun_at; /* milliseconds */
    uint8_t sum;                 /* of the frame that is being sent */
    bool is_sending, has_space, adds_space;
} jrpc_tuya;

/* Take what the line has brought. */
void jrpc_tuya_feed(jrpc_tuya *line, const uint8_t *bytes, size_t size, uint32_t now_ms);

/* To be called when there is nothing to read, every 20 ms or so: gives up a frame whose rest does not
 * come, after 400 ms of silence or a second of pauses. */
void jrpc_tuya_poll(jrpc_tuya *line, uint32_t now_ms);

/* The `send` of a `jrpc` for frames of command FE, and of one for DataPoint 232: with up to 1024 bytes
 * and up to 254; or 249 and 244, where the other end has a buffer of 256. `line` is a jrpc_tuya. */
void jrpc_tuya_send(void *line, const char *bytes, size_t size, size_t rest);
void jrpc_tuya_send_datapoint(void *line, const char *bytes, size_t size, size_t rest);

/* Send a frame of your own, such as the answer to a heartbeat. */
void jrpc_tuya_write(jrpc_tuya *line, uint8_t command, const uint8_t *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
