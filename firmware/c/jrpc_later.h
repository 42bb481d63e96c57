/* Requests that are answered later, and results that are streamed.
 *
 * Both need an entry of `config.pending` while they last; streams on lossy channels keep theirs for
 * 30 s more, or until another one needs it. */
#ifndef JRPC_LATER_H
#define JRPC_LATER_H

#include "jrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef JRPC_ID_BYTES
#define JRPC_ID_BYTES 40 /* of the id of such a request: a UUID fits */
#endif
#if JRPC_ID_BYTES > 255
#error "JRPC_ID_BYTES is at most 255"
#endif

/* Answer later: returns a token for `jrpc_resume`. 0: there is nothing to answer (a notification),
 * or it is a copy of one that waits already, whose answer will do for both, or the caller has been told
 * that it is not possible: no entry is free, the id is too long, or the request is part of a batch. */
uint32_t jrpc_answer_later(jrpc_call *call);

/* Make the call again, to be answered with any of the functions of jrpc.h; its params are gone.
 * False: nobody waits any more, since the caller has cancelled or its time is over, which has been
 * answered. Ask now and then while the work goes on, and stop it then. */
bool jrpc_resume(jrpc *rpc, uint32_t token, jrpc_call *call);

typedef struct jrpc_pending {
    uint32_t token;   /* 0: free */
    jrpc_items items; /* NULL: answered by `jrpc_resume` */
    void *context;
    struct jrpc_remembered *entry;
    uint32_t digest[2]; /* on lossy channels, to know a copy of it */
    uint32_t since, timeout_ms;
    uint32_t heard_at;   /* when the reader gave credit last, or the stream ended */
    uint32_t next, upto; /* items */
    int32_t code;        /* of the error that it has ended with */
    bool is_jsonrpc2, is_over;
    uint8_t id_size;
    char id[JRPC_ID_BYTES];
} jrpc_pending;

extern const struct jrpc_later_part jrpc_later;

#ifdef __cplusplus
}
#endif

#endif
