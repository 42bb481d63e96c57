/* JSON for a device: a strict check, readers that copy nothing, and writers that need no buffer.
 *
 * C99 without malloc or recursion. A slice is a piece of somebody else's text, without a zero at
 * its end. The readers trust their text: give them only what `jrpc_check` has found good, as the
 * params of every call are. */
#ifndef JRPC_JSON_H
#define JRPC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef JRPC_MAX_DEPTH
#define JRPC_MAX_DEPTH 64 /* levels of arrays and objects in one message */
#endif
#if JRPC_MAX_DEPTH > 64
#error "JRPC_MAX_DEPTH is at most 64"
#endif

typedef struct {
    const char *at;
    size_t size; /* bytes; 0: it is not there */
} jrpc_slice;

/* Whether it is exactly one JSON value: RFC 8259 without exceptions. Invalid UTF-8, a lone
 * surrogate, NaN, an integer of more than 4,300 digits and what follows the value are refused. */
bool jrpc_check(jrpc_slice text);

/* The members of an object, or the elements of an array, whose keys are empty:
 *
 *     jrpc_each each = jrpc_begin(value);
 *     while (jrpc_next(&each)) { ... each.key ... each.value ... }
 *
 * Of any other value there are none. */
typedef struct {
    jrpc_slice key, value;
    const char *at, *end;
    bool is_object;
} jrpc_each;

jrpc_each jrpc_begin(jrpc_slice value);
bool jrpc_next(jrpc_each *each);

/* A member of an object, by its name. Of several of one name the last counts. */
jrpc_slice jrpc_member(jrpc_slice object, const char *name);

/* Whether it is a string with that text; escapes are understood. */
bool jrpc_is(jrpc_slice string, const char *text);

/* Whether it is this word or number, letter by letter: `true`, `null`, `7`. */
bool jrpc_equals(jrpc_slice value, const char *word);

/* The text of a string, without quotes and escapes and with a zero at its end. Returns its size in
 * bytes, zeros inside included, or SIZE_MAX: it is no string, or with its end it does not fit. */
size_t jrpc_decode(jrpc_slice string, char *text, size_t room);

typedef enum {
    JRPC_EXACT,     /* it is that number */
    JRPC_CUT,       /* digits behind the last decimal were cut off */
    JRPC_TOO_BIG,   /* the value has been set to the nearest that there is */
    JRPC_NO_NUMBER  /* the value has not been touched */
} jrpc_precision;

/* A number times 10 to the power of `decimals`: 21.5 with 2 decimals is 2150. */
jrpc_precision jrpc_decimal(jrpc_slice number, int decimals, int32_t *value);

/* Whether it is a number that is no integer by its looks and that no double holds, as 1e400. */
bool jrpc_is_beyond_doubles(jrpc_slice number);

/* Where a message is written to; the fields belong to the library. Whatever writes a part of a
 * message is called a writer. It is called more than once, first to learn the size, and must write the
 * same each time; it must not send or answer anything. */
typedef struct jrpc_out {
    char *bytes;    /* NULL: only count */
    size_t room;    /* of `bytes` */
    size_t used;    /* bytes that wait to leave */
    size_t count;   /* bytes of the message so far */
    size_t total;   /* bytes of the whole message; SIZE_MAX: not known yet */
    bool is_broken; /* something was written that has no form in JSON */
    const char *before; /* goes out before what is written next, if anything is */
    void (*leave)(struct jrpc_out *out, size_t rest); /* NULL: what does not fit is lost */
    void *context;
} jrpc_out;

typedef void (*jrpc_writer)(jrpc_out *out, void *context);

void jrpc_put(jrpc_out *out, const char *json); /* as it is: brackets, names, commas, literals */
void jrpc_put_slice(jrpc_out *out, jrpc_slice json);
void jrpc_put_int(jrpc_out *out, int32_t value);
void jrpc_put_unsigned(jrpc_out *out, uint32_t value);
void jrpc_put_bool(jrpc_out *out, bool value);
/* A string, with quotes and escapes. Text that is no UTF-8 breaks the message: the call is answered
 * with an internal error. */
void jrpc_put_text(jrpc_out *out, const char *text);
/* A number with decimals: 2150 with 2 of them is 21.50. */
void jrpc_put_decimal(jrpc_out *out, int32_t value, unsigned decimals);

/* A writer whose context is JSON as a C string. */
void jrpc_write_json(jrpc_out *out, void *json);

#ifdef __cplusplus
}
#endif

#endif
