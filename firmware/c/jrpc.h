/* JSON-RPC for a device: a peer that serves methods and sends notifications.
 *
 * C99 without malloc, and of the C library only string.h. All memory is yours: what a `jrpc` uses is
 * in its config. A `jrpc` is one peer on one channel; where several are served (UDP), each has its
 * own, and they may share a table of methods. Parts that you may add: `jrpc_lossy.h` where messages
 * get lost and doubled, `jrpc_later.h` for streams and slow methods, `jrpc_calls.h` to call the other
 * end.
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

#ifdef __cplusplus
extern "C" {
#endif

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

#ifndef JRPC_MAX_BATCH
#define JRPC_MAX_BATCH 256 /* messages in one array */
#endif

typedef struct jrpc jrpc;
typedef struct jrpc_call jrpc_call;

/* ---- Methods ---- */

enum {
    JRPC_IDEMPOTENT = 1,  /* running it twice does no harm: it is not remembered on lossy channels */
    JRPC_NOTIFICATION = 2 /* it is not to be called, but notified */
};

typedef struct {
    const char *name;
    /* Answers with one of the functions below, or not at all: then the result is null. */
    void (*run)(jrpc_call *call);
    /* Their names, in order, with spaces between: "level fade". Others are refused. NULL: `run` looks
     * at `call->of[JRPC_PARAMS]` itself. */
    const char *params;
    unsigned flags;
} jrpc_method;

/* The members of a message. */
enum {
    JRPC_ID, JRPC_METHOD, JRPC_PARAMS, JRPC_VERSION, JRPC_RESULT, JRPC_ERROR, JRPC_TIMEOUT,
    JRPC_STREAM_WISH, JRPC_RETRY, JRPC_MEMBERS
};

/* One request or notification while its handler runs. You may read the first two. */
struct jrpc_call {
    jrpc *rpc;
    /* As they came; size 0: not there. A notification has no id, and is not answered: to answer it
     * does nothing. The params may be null. */
    jrpc_slice of[JRPC_MEMBERS];
    const jrpc_method *method;
    struct jrpc_remembered *entry;
    struct jrpc_pending *pending;
    uint32_t present, wrong; /* a bit for each member that is there, or is not what it has to be */
    bool is_jsonrpc2, is_answered;
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

/* A list, of which `write` writes the item with that index, or returns false, having written nothing,
 * when there is none. With the part `jrpc_later.h` it is streamed where the caller wants that: item by
 * item, as the caller has room. Then `write` is also called after this has returned, and on lossy
 * channels for the same item again, up to 30 s after the last one: so it and `context` must stay good,
 * and an index stand for one item. Elsewhere the list is one array. */
typedef bool (*jrpc_items)(jrpc_out *out, void *context, uint32_t index);
void jrpc_return_items(jrpc_call *call, jrpc_items write, void *context);

/* ---- Notifications to the other end ---- */

/* `params` writes an object or an array; NULL: there are none. For a constant use `jrpc_write_json`,
 * with the JSON as its context. Returns false when it cannot be sent: it is too large, or a batch is
 * being answered, or a message written. */
bool jrpc_notify(jrpc *rpc, const char *method, jrpc_writer params, void *context);

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
    /* Any 32 random bits: for the ids of calls, and so that nobody can guess how requests are told
     * apart. NULL: both are the same after each start. */
    uint32_t (*random)(void);
    /* The parts that you use, and their memory, which is zero at first. What is left out is not linked
     * either. */
    const struct jrpc_lossy_part *lossy; /* &jrpc_lossy, of jrpc_lossy.h */
    struct jrpc_remembered *remembered;
    size_t remembered_count;
    const struct jrpc_later_part *later; /* &jrpc_later, of jrpc_later.h */
    struct jrpc_pending *pending;
    size_t pending_count;
    const struct jrpc_calls_part *calls; /* &jrpc_calls, of jrpc_calls.h */
    struct jrpc_open *open;
    size_t open_count;
    uint32_t first_retry_ms; /* see jrpc_calls.h */
    struct jrpc_files *files; /* of jrpc_files.h */
    struct jrpc_firmware *firmware; /* of jrpc_firmware.h */
    void *user; /* yours: `call->rpc->config->user` */
} jrpc_config;

/* Begin. The config must stay as it is. Returns false when it cannot work, and then nothing else may
 * be called: no `send`, a `max_message` below 64 bytes, which the shortest error needs, or a `buffer`
 * below 16, with JRPC_DATAGRAM below 64. */
bool jrpc_init(jrpc *rpc, const jrpc_config *config, uint32_t now_ms);

/* Take one message that arrived. It must stay as it is until this returns. */
void jrpc_receive(jrpc *rpc, const char *message, size_t size, uint32_t now_ms);

/* Do what is due: repeat calls, end those whose time is over. At least once in 20 s. */
void jrpc_poll(jrpc *rpc, uint32_t now_ms);

/* Answer what cannot be read as a message at all: for framings, and for layers below. */
void jrpc_reject(jrpc *rpc, int32_t code, const char *text, uint32_t now_ms);

/* ---- State: how large it is concerns you, the fields do not, but `counts` ---- */

typedef struct {
    uint32_t unreadable; /* messages that were no JSON or no message */
    uint32_t unanswered; /* of those: not answered, so that two ends do not answer errors for ever */
    uint32_t dropped;    /* responses to no call, and errors that did not fit a message */
    uint32_t repeated;   /* requests that came again, and did not run for that */
    uint32_t echoes;     /* requests of our own that came back */
    uint32_t busy;       /* requests for which there was no room */
} jrpc_counts;

struct jrpc {
    const jrpc_config *config;
    jrpc_counts counts;
    jrpc_out *batch; /* the answer to the batch that is being handled */
    uint32_t key[2];
    uint32_t now, since;       /* milliseconds */
    uint32_t next_id, next_token;
    uint32_t probe_id;         /* of the `rpc.ping` that asks what the other end knows; 0: none is open */
    uint32_t refused_at, budget_at;
    uint8_t budget, knowledge; /* errors that may be sent; whether the other end knows extensions */
    bool has_refused, has_heard, has_settled, is_writing, is_jsonrpc2;
};

#ifdef __cplusplus
}
#endif

#endif
