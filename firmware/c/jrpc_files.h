/* Files on a device: the service `files`, in places of one size in flash memory. What has arrived
 * survives a restart, and a file takes its place when it is whole and right, all at once, whenever the
 * power goes. docs/files.md has the service.
 *
 * Put JRPC_FILES_METHODS into your table of methods, and a `jrpc_files` into `config.files`. To
 * replace a file takes a free place. Needs jrpc_flash.c, jrpc_sha256.c and jrpc_base.c. */
#ifndef JRPC_FILES_H
#define JRPC_FILES_H

#include "jrpc_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef JRPC_FILE_NAME_BYTES
#define JRPC_FILE_NAME_BYTES 32 /* bytes of a name, with a zero at its end */
#endif
#ifndef JRPC_FILES_MOST
#define JRPC_FILES_MOST 4 /* places */
#endif

enum {
    JRPC_NO_SUCH_FILE = 3001,
    JRPC_FILE_EXISTS = 3002,
    JRPC_NO_ROOM = 3003,
    JRPC_NOT_ALLOWED = 3004,
    JRPC_IN_USE = 3005,
    JRPC_WRONG_HASH = 3101
};

typedef struct {
    const jrpc_flash *flash;
    uint32_t record_at; /* two sectors, for what is where */
    uint32_t data_at;   /* `count` times `size` bytes */
    uint32_t size;      /* of a place: whole sectors */
    size_t count;       /* at most JRPC_FILES_MOST */
    char *buffer;       /* one write as text: at least 128 bytes, best as much as a message may have */
    size_t buffer_size;
    uint32_t window; /* writes that may be open at once, as far as your receive buffer has room: 1 */
    /* Whether the caller may; NULL: everybody may. */
    bool (*may)(const jrpc_call *call);
} jrpc_files_config;

typedef struct {
    char name[JRPC_FILE_NAME_BYTES];
    jrpc_arrival bytes;
    uint8_t state, may_replace, unused[2];
} jrpc_file;

/* The fields belong to the library. */
typedef struct jrpc_files {
    const jrpc_files_config *config;
    jrpc_journal journal;
    jrpc_file files[JRPC_FILES_MOST];
    uint32_t there[JRPC_FILES_MOST], heard_at[JRPC_FILES_MOST];
} jrpc_files;

/* Find out what is there. Returns false if it cannot work. */
bool jrpc_files_init(jrpc_files *files, const jrpc_files_config *config, uint32_t now_ms);

/* For your own code: read up to `size` bytes of a file; returns how many, 0 where there are none. */
size_t jrpc_files_read(const jrpc_files *files, const char *name, uint32_t offset, void *bytes,
                       size_t size);

void jrpc_files_list(jrpc_call *call);
void jrpc_files_stat(jrpc_call *call);
void jrpc_files_delete(jrpc_call *call);
void jrpc_files_begin(jrpc_call *call);
void jrpc_files_write(jrpc_call *call);
void jrpc_files_commit(jrpc_call *call);
void jrpc_files_abort(jrpc_call *call);
void jrpc_files_piece(jrpc_call *call);

/* clang-format off */
#define JRPC_FILES_METHODS \
    {"files.abort", jrpc_files_abort, "transfer", JRPC_IDEMPOTENT}, \
    {"files.begin", jrpc_files_begin, "name size sha256 replace", JRPC_IDEMPOTENT}, \
    {"files.commit", jrpc_files_commit, "transfer", JRPC_IDEMPOTENT}, \
    {"files.delete", jrpc_files_delete, "name", 0}, \
    {"files.list", jrpc_files_list, "path", JRPC_IDEMPOTENT}, \
    {"files.read", jrpc_files_piece, "name offset length", JRPC_IDEMPOTENT}, \
    {"files.stat", jrpc_files_stat, "name", JRPC_IDEMPOTENT}, \
    {"files.write", jrpc_files_write, "transfer offset data", JRPC_IDEMPOTENT}
/* clang-format on */

#ifdef __cplusplus
}
#endif

#endif
