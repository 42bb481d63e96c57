/* What the files of the library share. Nothing in here is for you. */
#ifndef JRPC_PARTS_H
#define JRPC_PARTS_H

#include "jrpc.h"

/* ---- jrpc_json.c, jrpc_check.c ---- */

bool jrpc_is_space(int letter);
bool jrpc_is_digit(int letter);
int jrpc_hex(int letter); /* the value of a hexadecimal digit, -1: it is none */

/* The bytes that the letter at the start takes in UTF-8, 0: it is none. `left` is above 0. */
size_t jrpc_utf8_size(const char *text, size_t left);

/* Whether it is a string with that text, which has no zero at its end. */
bool jrpc_is_sized(jrpc_slice string, const char *text, size_t size);

/* ---- jrpc_answer.c ---- */

/* What a response says beside its id. */
typedef struct {
    bool is_error;
    int32_t code;
    const char *message;
    jrpc_writer write; /* the result, or the data of an error; NULL: null, or none */
    void *context;
} jrpc_body;

void jrpc_respond(jrpc_call *call, const jrpc_body *body);

/* Send a message of our own: false, nothing has left: it is too large, broken, or it is not the time. */
bool jrpc_emit(jrpc *rpc, jrpc_writer write, void *context);

/* The start of a message up to its next member: `{"jsonrpc":"2.0",` or `{`. */
void jrpc_put_start(jrpc_out *out, bool is_jsonrpc2);

/* Begin the answer to a batch, which takes the responses from then on, and send it, if there is any. */
void jrpc_begin_batch(jrpc *rpc, jrpc_out *out);
void jrpc_end_batch(jrpc *rpc);

/* ---- jrpc_params.c ---- */

/* Whether all params are among those that the method has; else it has been said. */
bool jrpc_check_params(jrpc_call *call);

/* ---- jrpc_methods.c ---- */

/* The method of that name, NULL: there is none. */
const jrpc_method *jrpc_find_method(const jrpc *rpc, jrpc_slice name);

enum { JRPC_NOTIFICATION = 0x80 }; /* a flag of methods that no request may call */

#endif
