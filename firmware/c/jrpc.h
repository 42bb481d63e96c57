/* JSON-RPC for a device: a peer that serves methods, calls the other end, and streams.
 *
 * C99 without malloc, and of the C library only string.h. All memory is yours: what a `jrpc` uses is
 * in its config. A `jrpc` is one peer on one channel; where several are served (UDP), each has its
 * own, and they may share a table of methods.
 *
 *     static void set(jrpc_call *call) {
 *         int32_t level;
 *         if (!jrpc_int(call, "level", &level)) return;     // has been answered
 *         jrpc_return_bool(call, lamp_set(level));
 *     }
 *     static const jrpc_method methods[] = {{"lamp.set", set, "level", JRPC_IDEMPOTENT}};
 *
 * Give what arrives to `jrpc_receive`, a message at a time (a serial line and a stream of bytes have
 * `jrpc_tuya.h` and `jrpc_stream.h` for that), and call `jrpc_poll` every 20 ms or so. All is done
 * within these calls, on their stack; nothing here is safe to be called from an interrupt.
 *
 * The clock is in milliseconds and may wrap. The protocol is on the protocol page of the docs. */
#ifndef JRPC_H
#define JRPC_H

#include "jrpc_json.h"

/* Error codes. Yours may be any others. */
enum {
    JRPC_PARSE_ERROR = -32700,
    JRPC_INVALID_REQUEST = -32600,
    JRPC_METHOD_NOT_FOUND = -32601,
    JRPC_INVALID_PARAMS = -32602,
    JRPC_INTERNAL_ERROR = -32603,
    JRPC_SERVER_ERROR = -32000,
    JRPC_TOO_LARGE = -32001,
    JRPC_DEADLINE_EXCEEDED = -32002,
    JRPC_CANCELLED = -32003,
    JRPC_BUSY = -32004,
    JRPC_UNAUTHORIZED = -32005,
    JRPC_FORBIDDEN = -32006,
    JRPC_OUTCOME_UNKNOWN = -32011 /* not known whether it ran */
};

#ifndef JRPC_REPLY_BYTES
#define JRPC_REPLY_BYTES 32 /* of a result or an error that is kept for a repeated request */
#endif
#ifndef JRPC_ID_BYTES
#define JRPC_ID_BYTES 40 /* of the id of a request that is answered later; a UUID fits */
#endif
#ifndef JRPC_MAX_BATCH
#define JRPC_MAX_BATCH 256 /* messages in one array */
#endif

typedef struct jrpc jrpc;
typedef struct jrpc_call jrpc_call;
typedef struct jrpc_remembered jrpc_remembered;
typedef struct jrpc_pending jrpc_pending;
typedef struct jrpc_open jrpc_open;

/* ---- Methods ---- */

enum {
    JRPC_IDEMPOTENT = 1 /* running it twice does no harm: it is not remembered on lossy channels */
};

typedef struct {
    const char *name;
    /* Answers with one of the functions below, or not at all: then the result is null. */
    void (*run)(jrpc_call *call);
    /* Their names, in order, with spaces between: "level fade". Others are refused. NULL: `run` looks
     * at `call->params` itself. */
    const char *params;
    unsigned flags;
} jrpc_method;

/* One request or notification while its handler runs. You may read the first three. */
struct jrpc_call {
    jrpc *rpc;
    jrpc_slice params; /* size 0: there are none */
    jrpc_slice id;     /* size 0: a notification, which nobody answers; answering does nothing then */
    jrpc_slice name;
    const jrpc_method *method;
    jrpc_remembered *entry;
    jrpc_pending *pending;
    uint32_t timeout_ms; /* UINT32_MAX: the caller says nothing */
    bool is_jsonrpc2, is_retry, is_extended, wants_stream, is_answered;
};

/* Params, by name or by place. Each answers with -32602, says which one and what was expected, and
 * returns false where it is missing or something else: return at once then. */
bool jrpc_int(jrpc_call *call, const char *name, int32_t *value);
bool jrpc_int_within(jrpc_call *call, const char *name, int32_t least, int32_t most, int32_t *value);
bool jrpc_bool(jrpc_call *call, const char *name, bool *value);
/* A number times 10 to the power of `decimals`: 21.5 with 2 decimals is 2150. */
bool jrpc_fixed(jrpc_call *call, const char *name, int decimals, int32_t *value);
/* A string, decoded into `text` with a zero at its end; one that does not fit is refused, too. */
bool jrpc_text(jrpc_call *call, const char *name, char *text, size_t room);
/* Any value, as it was sent, to be read with `jrpc_json.h`. */
bool jrpc_any(jrpc_call *call, const char *name, jrpc_slice *value);
/* Whether it is there at all, and not null. */
bool jrpc_has(const jrpc_call *call, const char *name);

/* ---- Answers ---- */

/* The first one counts. A result that does not fit a message becomes error -32001. */
void jrpc_return_null(jrpc_call *call);
void jrpc_return_bool(jrpc_call *call, bool value);
void jrpc_return_int(jrpc_call *call, int32_t value);
void jrpc_return_text(jrpc_call *call, const char *text);
void jrpc_return_json(jrpc_call *call, const char *json);
/* A result written piece by piece: it is never in memory as a whole. */
void jrpc_return(jrpc_call *call, jrpc_writer write, void *context);

/* Error `code`. `data` is JSON, NULL for none. */
void jrpc_fail(jrpc_call *call, int32_t code, const char *message, const char *data);
/* Error -32602 about a param: what was expected, such as "a time of day". */
void jrpc_refuse(jrpc_call *call, const char *name, const char *expected);

/* A list. It is streamed, item by item as the caller has room, where the caller wants that and a
 * pending call is free, and else is one array. `write` writes the item with that index, and returns
 * false, having written nothing, when there is none. On lossy channels it is asked for items again, up
 * to 30 s after the last one: so it and `context` must stay good, and an index stand for one item. */
typedef bool (*jrpc_items)(jrpc_out *out, void *context, uint32_t index);
void jrpc_return_items(jrpc_call *call, jrpc_items write, void *context);

/* Answer later. Returns a token for `jrpc_resume`, which makes the call again, to be answered with
 * any of the functions above (its params are gone). 0: there is nothing to answer, or there was no
 * room, which the caller has been told. `jrpc_resume` returns false when nobody waits any more: the
 * caller has cancelled, or its time is over; both have been answered. Ask it now and then while the
 * work goes on, and stop that. */
typedef uint32_t jrpc_token;
jrpc_token jrpc_later(jrpc_call *call);
bool jrpc_resume(jrpc *rpc, jrpc_token token, jrpc_call *call);

/* ---- Calls to the other end ---- */

/* What came of a call: a result, or else an error, either as the other end sent it or our own
 * (JRPC_DEADLINE_EXCEEDED: no answer came in time). All of it is gone when the function returns. */
typedef struct {
    jrpc_slice result; /* size 0: an error */
    int32_t code;
    jrpc_slice message, data; /* JSON; may be missing */
} jrpc_outcome;

typedef void (*jrpc_on_reply)(void *context, const jrpc_outcome *outcome);

/* A call. The texts and `params_context` must stay good until the reply: they are used again for
 * each copy that is sent. */
typedef struct {
    const char *method;
    jrpc_writer params; /* NULL: none. For a constant: `jrpc_write_json` with the JSON as its context */
    void *params_context;
    jrpc_on_reply on_reply; /* NULL: the answer does not matter */
    void *context;
    uint32_t timeout_ms; /* at most 24 days */
    bool is_idempotent;  /* repeat it on lossy channels, whatever the other end knows */
} jrpc_request;

/* Returns false when it cannot be sent: all open calls are in use, it is too large, or a batch is
 * being answered, or a message written. The outcome comes from within `jrpc_receive` and `jrpc_poll`. */
bool jrpc_send_request(jrpc *rpc, const jrpc_request *request);
bool jrpc_notify(jrpc *rpc, const char *method, jrpc_writer params, void *params_context);

/* ---- Setting up ---- */

/* Send a piece of a message. `rest` is how many bytes of the same message follow in other pieces: 0
 * with the last one, SIZE_MAX while that is not known. */
typedef void (*jrpc_send)(void *context, const char *bytes, size_t size, size_t rest);

typedef enum {
    JRPC_DATAGRAM, /* each message leaves in one piece */
    JRPC_FRAME,    /* in any number of pieces, but its size must be known before */
    JRPC_STREAM    /* in any number of pieces */
} jrpc_framing;

typedef struct {
    const jrpc_method *methods;
    size_t method_count;
    jrpc_send send;
    void *send_context;
    jrpc_framing framing;
    /* Pieces are put together here: of at least 16 bytes, and for JRPC_DATAGRAM of a whole message.
     * A batch is answered in one message, which with JRPC_FRAME has to fit here, too. */
    char *buffer;
    size_t buffer_size;
    size_t max_message; /* bytes sent at most in one message */
    bool is_lossy;      /* messages get lost, doubled and late: UDP, serial lines, GATT */
    bool is_shared;     /* others may call on the same line: an error without id is for nobody */
    bool is_jsonrpc2;   /* speak JSON-RPC 2.0 until the other end has spoken */
    uint32_t first_retry_ms; /* 500 for UDP, 1000 for GATT; a serial line needs its time to send too */
    /* Any 32 random bits: for the ids of calls, and so that nobody can guess how requests are told
     * apart. NULL: both are the same after each start. */
    uint32_t (*random)(void);
    /* Requests of the last 30 s on a lossy channel; when all are in use, new ones are refused as
     * busy. Without any, nothing is remembered, so a doubled packet runs twice. */
    jrpc_remembered *remembered;
    size_t remembered_count;
    jrpc_pending *pending; /* requests that are answered later, and streams */
    size_t pending_count;
    jrpc_open *open; /* calls of ours */
    size_t open_count;
    void *user; /* yours: `call->rpc->config->user` */
} jrpc_config;

/* Begin. The config must stay as it is. Returns false when it cannot work: no `send`, or a buffer
 * or `max_message` too small for the shortest error (64 bytes). */
bool jrpc_init(jrpc *rpc, const jrpc_config *config, uint32_t now_ms);

/* Take one message that arrived. It must stay as it is until this returns. */
void jrpc_receive(jrpc *rpc, const char *message, size_t size, uint32_t now_ms);

/* Do what is due: repeat calls, end those whose time is over. At least once in 20 s. */
void jrpc_poll(jrpc *rpc, uint32_t now_ms);

/* Answer what cannot be read as a message at all: for framings, and for layers below. */
void jrpc_reject(jrpc *rpc, int32_t code, uint32_t now_ms);

/* ---- State: how large it is concerns you, the fields do not, but `counts` ---- */

typedef struct {
    uint32_t unreadable; /* messages that were no JSON or no message */
    uint32_t unanswered; /* of those: not answered, so that two ends do not answer errors for ever */
    uint32_t dropped;    /* responses to no call, and errors that did not fit a message */
    uint32_t repeated;   /* requests that came again, and did not run for that */
    uint32_t echoes;     /* requests of our own that came back */
    uint32_t busy;       /* requests for which there was no room */
} jrpc_counts;

struct jrpc_remembered {
    uint64_t digest; /* of id, method and params */
    uint32_t at;     /* when it was answered */
    uint8_t state;
    bool is_extended;
    uint16_t size; /* of what is kept */
    char reply[JRPC_REPLY_BYTES];
};

struct jrpc_pending {
    jrpc_token token; /* 0: free */
    jrpc_items items; /* NULL: answered by `jrpc_resume` */
    void *context;
    jrpc_remembered *entry;
    uint32_t since, timeout_ms;
    uint32_t next, upto; /* items */
    uint8_t id_size;
    bool is_jsonrpc2, is_over;
    char id[JRPC_ID_BYTES];
};

struct jrpc_open {
    jrpc_request request;
    uint64_t digest; /* of what was sent, to know it when it comes back */
    uint32_t id;
    uint32_t sent_at, closed_at; /* milliseconds */
    uint32_t due_in, tried_at;   /* of the next copy */
    uint8_t state;
};

struct jrpc {
    const jrpc_config *config;
    jrpc_counts counts;
    jrpc_out *batch; /* the answer to the batch that is being handled */
    uint64_t key[2];
    uint32_t now, since; /* milliseconds */
    uint32_t next_id;
    jrpc_token next_token;
    uint32_t refused_at; /* when the last unreadable message was answered */
    uint32_t budget_at;
    uint8_t budget;
    uint8_t knows; /* whether the other end knows extensions */
    bool has_refused, is_writing, has_heard, is_jsonrpc2;
};

#endif
