/* What the files of the library share. Nothing in here is for you. */
#ifndef JRPC_PARTS_H
#define JRPC_PARTS_H

#include "jrpc.h"

/* ---- jrpc_json.c, jrpc_check.c ---- */

static inline bool jrpc_is_digit(int letter) {
    return (unsigned)letter - '0' < 10;
}

int jrpc_hex(int letter); /* the value of a hexadecimal digit, -1: it is none */

const char *jrpc_skip_space(const char *at, const char *end);

/* Where the value ends that begins there, or behind space; NULL: there is none. */
const char *jrpc_scan(const char *at, const char *end);

/* The bytes that the letter at the start takes in UTF-8, 0: it is none. `left` is above 0. */
size_t jrpc_utf8_size(const char *text, size_t left);

/* The next letter of a string, decoded into `to`, whose size is returned; 0: it is wrong. */
size_t jrpc_take_letter(const char **from, const char *end, char to[4]);

static inline bool jrpc_is_string(jrpc_slice value) {
    return value.size > 0 && *value.at == '"';
}

/* Whether it is a string with that text, which has no zero at its end. */
bool jrpc_is_sized(jrpc_slice string, const char *text, size_t size);

/* ---- jrpc_answer.c ---- */

/* What a response says beside its id. */
typedef struct {
    int32_t code;
    const char *message; /* of an error; NULL: it is a result */
    jrpc_writer write; /* the result, or the data of an error; NULL: null, or none */
    void *context;
} jrpc_body;

void jrpc_respond(jrpc_call *call, const jrpc_body *body);

/* Send a message of our own: false, nothing has left: it is too large, broken, or it is not the time. */
bool jrpc_emit(jrpc *rpc, jrpc_writer write, void *context);

/* The start of a message up to its next member: `{"jsonrpc":"2.0",` or `{`. */
void jrpc_put_start(jrpc_out *out, bool is_jsonrpc2);

/* The start of a request of ours, up to its method, without a comma behind it. */
void jrpc_put_method(jrpc_out *out, const jrpc *rpc, const char *method);

/* Its params, with a comma before them, if there are any. */
void jrpc_put_params(jrpc_out *out, jrpc_writer params, void *context);

/* Begin the answer to a batch, which takes the responses from then on, and send it, if there is any. */
void jrpc_begin_batch(jrpc *rpc, jrpc_out *out);
void jrpc_end_batch(jrpc *rpc);

/* ---- jrpc_params.c ---- */

/* A param, by name or by place; size 0: it is not there. */
jrpc_slice jrpc_param(const jrpc_call *call, const char *name);

/* Answer that a param is not what was expected; `bounds` are the least and the most of an int. */
void jrpc_refuse_param(jrpc_call *call, jrpc_slice name, const char *expected, const int32_t *bounds);

/* Whether all params are among those that the method has; else it has been said. */
bool jrpc_check_params(jrpc_call *call);

/* ---- jrpc_methods.c ---- */

/* The method of that name, NULL: there is none. */
const jrpc_method *jrpc_find_method(const jrpc *rpc, jrpc_slice name);

/* ---- jrpc.c ---- */

#define JRPC_BUDGET 20u /* errors for messages that cannot be read, when they come one after the other */

/* The milliseconds that the caller still waits; UINT32_MAX: it says nothing. */
uint32_t jrpc_patience(const jrpc_call *call);

#define JRPC_BIT(member) (1u << (member))
#define JRPC_EXTENSIONS (JRPC_BIT(JRPC_TIMEOUT) | JRPC_BIT(JRPC_STREAM_WISH) | JRPC_BIT(JRPC_RETRY))

static inline bool jrpc_is_extended(const jrpc_call *call) {
    return call->present & JRPC_EXTENSIONS;
}

/* Whether that member is true. */
static inline bool jrpc_wants(const jrpc_call *call, int member) {
    return call->of[member].size > 0 && *call->of[member].at == 't';
}

/* ---- jrpc_digest.c ---- */

/* A keyed digest of what is written to `out`, of which nobody can make two texts with the same. */
typedef struct {
    jrpc_out out;
    uint32_t v[4], last[2];
    char block[4];
} jrpc_digest;

void jrpc_begin_digest(jrpc_digest *digest, const jrpc *rpc);
void jrpc_end_digest(jrpc_digest *digest, uint32_t value[2]);

/* That of a request, as it came. */
void jrpc_digest_call(const jrpc_call *call, uint32_t value[2]);

/* ---- The parts, as the core sees them ---- */

struct jrpc_lossy_part {
    bool (*admit)(jrpc_call *call); /* whether it shall run; else it has been answered */
    void (*keep)(jrpc_call *call, const jrpc_body *body);
    void (*cancel)(jrpc *rpc, jrpc_slice id); /* a request that has not come yet */
    void (*digest)(const jrpc_call *call, uint32_t value[2]);
    void (*poll)(jrpc *rpc);
};

struct jrpc_later_part {
    bool (*stream)(jrpc_call *call, jrpc_items write, void *context); /* whether it does */
    void (*release)(jrpc_call *call);                                 /* it has been answered */
    void (*poll)(jrpc *rpc);
    const jrpc_method *methods; /* rpc.cancel, rpc.more */
    size_t method_count;
};

struct jrpc_calls_part {
    bool (*hear)(const jrpc_call *message); /* whether it belongs to a call */
    bool (*is_echo)(const jrpc_call *call);
    void (*poll)(jrpc *rpc);
};

/* What the other end knows of the extensions of the protocol. */
enum { JRPC_UNKNOWN, JRPC_KNOWS, JRPC_KNOWS_NOT };

#endif
