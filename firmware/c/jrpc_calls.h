/* Calls to the other end.
 *
 * On lossy channels a request is repeated until it is answered: to an end that knows the extensions of
 * the protocol, which is asked by `rpc.ping` when the first answer does not come; or where the call is
 * idempotent. `config.first_retry_ms` is the first wait, which doubles each time: 500 for UDP and where
 * it is 0, 1000 for GATT; for a serial line 250 and the time that the longest request and response take
 * on it. */
#ifndef JRPC_CALLS_H
#define JRPC_CALLS_H

#include "jrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What came of a call. All of it is gone when the function that is told has returned. */
typedef struct {
    jrpc_slice result; /* JSON; size 0: it is an error */
    /* As the other end sent it, or our own: JRPC_DEADLINE_EXCEEDED when nothing came in time,
     * JRPC_INTERNAL_ERROR without a message when the response was none. */
    int32_t code;
    jrpc_slice message, data; /* JSON; may be missing */
} jrpc_outcome;

typedef void (*jrpc_on_reply)(void *context, const jrpc_outcome *outcome);

/* A call. The texts and `params_context` must stay good until the outcome: they are used again for
 * each copy that is sent. */
typedef struct {
    const char *method;
    jrpc_writer params; /* NULL: none. For a constant: `jrpc_write_json` with the JSON as its context */
    void *params_context;
    jrpc_on_reply on_reply; /* NULL: the outcome does not matter */
    void *context;
    uint32_t timeout_ms; /* at most 24 days */
    bool is_idempotent;  /* repeat it on lossy channels, whatever the other end knows */
} jrpc_request;

/* Begin a call: `on_reply` is told of the outcome from within `jrpc_receive` or `jrpc_poll`. Returns
 * false when it cannot be sent: all of `config.open` are in use, it is too large, or a batch is being
 * answered, or a message written. */
bool jrpc_send_request(jrpc *rpc, const jrpc_request *request);

/* End all calls as JRPC_CANCELLED: the connection is gone. */
void jrpc_end_calls(jrpc *rpc);

typedef struct jrpc_open {
    jrpc_request request;
    uint32_t digest[2]; /* of what was sent, to know it when it comes back */
    uint32_t id;
    uint32_t begun_at, sent_at; /* the call; the first copy with this id; or when it was closed */
    uint32_t tried_at, due_in;  /* the last copy, and how long after it the next one is due */
    uint8_t state;
    bool waits_for_probe;
} jrpc_open;

extern const struct jrpc_calls_part jrpc_calls;

#ifdef __cplusplus
}
#endif

#endif
