/* What `jrpc_files` and `jrpc_firmware` need of flash memory, and how they keep things there so that
 * the power may go at any moment: a record that changes at once or not at all, and bytes that arrive
 * piece by piece. */
#ifndef JRPC_FLASH_H
#define JRPC_FLASH_H

#include "jrpc.h"
#include "jrpc_sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Flash memory, as the author gives it. The functions return false where the flash has failed. */
typedef struct {
    uint32_t sector; /* bytes that are erased at once */
    uint32_t unit;   /* bytes that are written at once: a power of two, at most 32 */
    bool (*read)(void *context, uint32_t at, void *bytes, size_t size);
    /* Whole units, each once between two erasures. */
    bool (*write)(void *context, uint32_t at, const void *bytes, size_t size);
    bool (*erase)(void *context, uint32_t at); /* the sector that begins there: all bytes are FF */
    void *context;
} jrpc_flash;

/* ---- A record, in two sectors of its own ---- */

/* The fields belong to the library. */
typedef struct {
    const jrpc_flash *flash;
    uint32_t at, next, sequence;
    size_t size;
} jrpc_journal;

/* Begin: put the newest record there into `record`, which stays as it was where there is none.
 * Returns false if it does not fit a sector, or the flash fails. */
bool jrpc_journal_begin(jrpc_journal *journal, const jrpc_flash *flash, uint32_t at, void *record,
                        size_t size);

/* Put a record in the place of the one before. */
bool jrpc_journal_save(jrpc_journal *journal, const void *record);

/* ---- Bytes that arrive: within a record ---- */

typedef struct {
    uint32_t id;     /* names the transfer; above 0 */
    uint32_t size;   /* of the whole */
    uint32_t offset; /* bytes that are there for good: whole sectors, or all */
    uint8_t sha256[JRPC_SHA256_SIZE];
} jrpc_arrival;

typedef struct {
    const jrpc_flash *flash;
    uint32_t base; /* where the bytes go; the beginning of a sector */
    char *buffer;  /* at least 128 bytes: one write, as text */
    size_t buffer_size;
} jrpc_landing;

/* Bytes that one write may hold; and the answer to one read, which has nothing beside them if it is
 * bare, else size and digest. */
uint32_t jrpc_write_room(const jrpc_call *call, const jrpc_landing *landing);
uint32_t jrpc_read_room(const jrpc_call *call, bool is_bare);

/* Answer `begin`, with the offset `there` to go on from. */
void jrpc_return_begun(jrpc_call *call, const jrpc_landing *landing, uint32_t id, uint32_t there,
                       uint32_t window);

/* Take the bytes of a `write`, which is answered. `there` is how many there are, and is moved.
 * Says what has become of them; unless it is JRPC_ANSWERED, answer with `jrpc_return_offset`. */
typedef enum {
    JRPC_ANSWERED,  /* it was refused, and has been answered */
    JRPC_UNCHANGED, /* the bytes were others than the next ones */
    JRPC_WRITTEN,   /* they are there */
    JRPC_TO_BE_KEPT /* they are there, and the record is to be saved, as `offset` has moved */
} jrpc_taking;

jrpc_taking jrpc_take_bytes(jrpc_call *call, const jrpc_landing *landing, jrpc_arrival *arrival,
                            uint32_t *there);
void jrpc_return_offset(jrpc_call *call, uint32_t there);

/* The digest of bytes in the flash. */
bool jrpc_flash_hash(const jrpc_flash *flash, uint32_t at, uint32_t size,
                     uint8_t digest[JRPC_SHA256_SIZE]);

/* A param that is a digest in hex; answers with -32602 where it is none. */
bool jrpc_digest_param(jrpc_call *call, const char *name, uint8_t digest[JRPC_SHA256_SIZE]);
/* A param that is a size or an offset. */
bool jrpc_size_param(jrpc_call *call, const char *name, uint32_t *value);
void jrpc_put_hex(jrpc_out *out, const uint8_t *bytes, size_t size);

/* Error `code` with `data: {key: value}`, and -32602 for a transfer of which bytes are missing. */
void jrpc_fail_with(jrpc_call *call, int32_t code, const char *message, const char *key,
                    uint32_t value);
void jrpc_fail_unfinished(jrpc_call *call, uint32_t there, uint32_t size);
void jrpc_fail_flash(jrpc_call *call);

#ifdef __cplusplus
}
#endif

#endif
