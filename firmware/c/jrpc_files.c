#include "jrpc_files.h"

#include <string.h>

#include "jrpc_base.h"

enum { FREE, ARRIVING, THERE };
enum { SMALL_MESSAGE = 1024, PIECE = 48 }; /* bytes; the second is whole groups of Base64 */

#define YIELD_MS 30000u
#define IDLE_MS 3600000u

/* ---- What is where ---- */

/* The files of a call; NULL: the caller may not, which has been answered. */
static jrpc_files *files_of(jrpc_call *call) {
    jrpc_files *files = call->rpc->config->files;
    if (!files->config->may || files->config->may(call)) return files;
    jrpc_fail(call, JRPC_FORBIDDEN, "Forbidden", NULL);
    return NULL;
}

static size_t place_of(const jrpc_files *files, const jrpc_file *file) {
    return (size_t)(file - files->files);
}

static jrpc_landing landing_of(const jrpc_files *files, const jrpc_file *file) {
    const jrpc_files_config *config = files->config;
    uint32_t base = config->data_at + (uint32_t)place_of(files, file) * config->size;
    return (jrpc_landing){config->flash, base, config->buffer, config->buffer_size};
}

static const jrpc_file *find(const jrpc_files *files, const char *name, uint8_t state) {
    for (size_t at = 0; at < files->config->count; at++) {
        const jrpc_file *file = &files->files[at];
        if (file->state == state && strcmp(file->name, name) == 0) return file;
    }
    return NULL;
}

static jrpc_file *find_transfer(jrpc_files *files, uint32_t id) {
    for (size_t at = 0; at < files->config->count; at++) {
        jrpc_file *file = &files->files[at];
        if (file->state != FREE && file->bytes.id == id) return file;
    }
    return NULL;
}

/* Keep what has changed; false: it was not possible, which has been answered. What the flash has is
 * then taken for true again. */
static bool save(jrpc_call *call, jrpc_files *files) {
    if (jrpc_journal_save(&files->journal, files->files)) return true;
    jrpc_files_init(files, files->config, call->rpc->now);
    jrpc_fail_flash(call);
    return false;
}

bool jrpc_files_init(jrpc_files *files, const jrpc_files_config *config, uint32_t now) {
    memset(files, 0, sizeof *files);
    files->config = config;
    if (config->count > JRPC_FILES_MOST || config->size % config->flash->sector != 0) return false;
    if (!jrpc_journal_begin(&files->journal, config->flash, config->record_at, files->files,
                            sizeof files->files)) {
        return false;
    }
    for (size_t at = 0; at < config->count; at++) {
        files->there[at] = files->files[at].bytes.offset;
        files->heard_at[at] = now;
    }
    return true;
}

/* ---- Params ---- */

static const char *problem(const char *name) {
    char before = '/';
    for (const char *at = name;; before = *at++) {
        bool is_end = *at == '/' || *at == '\0';
        if (is_end && before == '/') return "\"it has an empty part\"";
        if (before == '/' && (*at == '.' || *at == ' ')) return "\"a part begins with a dot or a space\"";
        if (is_end && (before == '.' || before == ' ')) return "\"a part ends with a dot or a space\"";
        if (*at == '\0') return NULL;
        if ((unsigned char)*at < ' ' || strchr("\\:*?\"<>|\x7f", *at)) {
            return "\"it has a character that names cannot have everywhere\"";
        }
    }
}

/* The param `name` or `path`; answers where it is none that a file may have. */
static bool read_name(jrpc_call *call, const char *param, char name[JRPC_FILE_NAME_BYTES]) {
    jrpc_slice value;
    if (!jrpc_any(call, param, &value)) return false;
    if (*value.at != '"') return jrpc_refuse(call, param, "a str"), false;
    size_t size = jrpc_decode(value, name, JRPC_FILE_NAME_BYTES);
    const char *why = size == SIZE_MAX || strlen(name) != size ? "\"it is too long\"" : problem(name);
    if (why) jrpc_fail(call, JRPC_NOT_ALLOWED, "Not allowed", why);
    return !why;
}

static bool read_file(jrpc_call *call, const jrpc_files *files, const jrpc_file **file) {
    char name[JRPC_FILE_NAME_BYTES];
    if (!read_name(call, "name", name)) return false;
    *file = find(files, name, THERE);
    if (!*file) jrpc_fail(call, JRPC_NO_SUCH_FILE, "No such file", NULL);
    return *file;
}

static bool read_transfer(jrpc_call *call, jrpc_files *files, jrpc_file **file) {
    uint32_t id;
    if (!jrpc_size_param(call, "transfer", &id)) return false;
    *file = find_transfer(files, id);
    if (!*file) jrpc_refuse(call, "transfer", "the number of a transfer");
    return *file;
}

/* ---- Reading ---- */

static void put_info(jrpc_out *out, const jrpc_file *file) {
    jrpc_put(out, "{\"name\":");
    jrpc_put_text(out, file->name);
    jrpc_put(out, ",\"size\":");
    jrpc_put_unsigned(out, file->bytes.size);
    jrpc_put(out, ",\"sha256\":");
    jrpc_put_hex(out, file->bytes.sha256, sizeof file->bytes.sha256);
    jrpc_put(out, "}");
}

static void write_info(jrpc_out *out, void *context) { put_info(out, context); }

static bool write_entry(jrpc_out *out, void *context, uint32_t index) {
    const jrpc_files *files = context;
    for (size_t at = 0; at < files->config->count; at++) {
        if (files->files[at].state != THERE || index-- > 0) continue;
        put_info(out, &files->files[at]);
        return true;
    }
    return false;
}

typedef struct {
    const jrpc_files *files;
    const char *folder;
} listing;

static void write_folder(jrpc_out *out, void *context) {
    const listing *list = context;
    size_t size = strlen(list->folder);
    bool is_first = true;
    jrpc_put(out, "[");
    for (size_t at = 0; at < list->files->config->count; at++) {
        const jrpc_file *file = &list->files->files[at];
        if (file->state != THERE || strncmp(file->name, list->folder, size) != 0) continue;
        if (file->name[size] != '/') continue;
        if (!is_first) jrpc_put(out, ",");
        is_first = false;
        put_info(out, file);
    }
    jrpc_put(out, "]");
}

void jrpc_files_list(jrpc_call *call) {
    jrpc_files *files = files_of(call);
    char folder[JRPC_FILE_NAME_BYTES];
    jrpc_slice path = {0};
    if (!files) return;
    if (jrpc_has(call, "path") && !jrpc_any(call, "path", &path)) return;
    if (path.size == 0 || jrpc_is(path, "")) {
        jrpc_return_items(call, write_entry, files);
    } else if (read_name(call, "path", folder)) {
        listing list = {files, folder};
        jrpc_return(call, write_folder, &list);
    }
}

void jrpc_files_stat(jrpc_call *call) {
    const jrpc_files *files = files_of(call);
    const jrpc_file *file;
    if (!files || !read_file(call, files, &file)) return;
    jrpc_file about = *file;
    jrpc_return(call, write_info, &about);
}

typedef struct {
    const jrpc_files *files;
    const jrpc_file *file;
    uint32_t offset, size;
    bool is_bare;
} reading;

static void write_piece(jrpc_out *out, void *context) {
    const reading *piece = context;
    const jrpc_landing landing = landing_of(piece->files, piece->file);
    uint8_t bytes[PIECE];
    char text[JRPC_BASE64_SIZE(PIECE)];
    jrpc_put(out, "{\"data\":\"");
    for (uint32_t done = 0; done < piece->size; done += PIECE) {
        uint32_t size = piece->size - done < PIECE ? piece->size - done : PIECE;
        uint32_t at = landing.base + piece->offset + done;
        if (!landing.flash->read(landing.flash->context, at, bytes, size)) out->is_broken = true;
        jrpc_put_slice(out, (jrpc_slice){text, jrpc_base64_encode(text, bytes, size)});
    }
    jrpc_put(out, "\"");
    if (!piece->is_bare) {
        jrpc_put(out, ",\"size\":");
        jrpc_put_unsigned(out, piece->file->bytes.size);
        jrpc_put(out, ",\"sha256\":");
        jrpc_put_hex(out, piece->file->bytes.sha256, sizeof piece->file->bytes.sha256);
    }
    jrpc_put(out, "}");
}

void jrpc_files_piece(jrpc_call *call) {
    reading piece = {.files = files_of(call)};
    uint32_t length;
    if (!piece.files || !read_file(call, piece.files, &piece.file)) return;
    if (!jrpc_size_param(call, "offset", &piece.offset)) return;
    if (!jrpc_size_param(call, "length", &length)) return;
    uint32_t all = piece.file->bytes.size;
    uint32_t left = piece.offset < all ? all - piece.offset : 0;
    piece.is_bare = piece.offset > 0 && call->rpc->config->max_message < SMALL_MESSAGE;
    uint32_t room = jrpc_read_room(call, piece.is_bare);
    piece.size = length < left ? length : left;
    if (piece.size > room) piece.size = room;
    jrpc_return(call, write_piece, &piece);
}

size_t jrpc_files_read(const jrpc_files *files, const char *name, uint32_t offset, void *bytes,
                       size_t size) {
    const jrpc_file *file = find(files, name, THERE);
    if (!file || offset >= file->bytes.size) return 0;
    const jrpc_landing landing = landing_of(files, file);
    uint32_t left = file->bytes.size - offset;
    if (size > left) size = left;
    return landing.flash->read(landing.flash->context, landing.base + offset, bytes, size) ? size : 0;
}

/* ---- Writing ---- */

static uint32_t silence(const jrpc_files *files, const jrpc_file *file, uint32_t now) {
    return now - files->heard_at[place_of(files, file)];
}

/* A free place, made by forgetting what nobody goes on with; NULL: there is none. */
static jrpc_file *find_place(jrpc_files *files, uint32_t now) {
    for (size_t at = 0; at < files->config->count; at++) {
        jrpc_file *file = &files->files[at];
        if (file->state == ARRIVING && silence(files, file, now) > IDLE_MS) file->state = FREE;
        if (file->state == FREE) return file;
    }
    return NULL;
}

static void fail_busy(jrpc_call *call, uint32_t wait_ms) {
    jrpc_fail_with(call, JRPC_IN_USE, "Busy", "retry_after", wait_ms / 1000 + 1);
}

/* No place: a file may be deleted, or a transfer end. */
static void fail_full(jrpc_call *call, const jrpc_files *files) {
    for (size_t at = 0; at < files->config->count; at++) {
        const jrpc_file *file = &files->files[at];
        if (file->state != ARRIVING) continue;
        fail_busy(call, IDLE_MS - silence(files, file, call->rpc->now));
        return;
    }
    jrpc_fail_with(call, JRPC_NO_ROOM, "No room", "free", 0);
}

static bool is_same(const jrpc_file *one, const jrpc_file *other) {
    return one->bytes.size == other->bytes.size &&
           memcmp(one->bytes.sha256, other->bytes.sha256, sizeof one->bytes.sha256) == 0;
}

/* Whether a transfer for `wanted` may begin: it answers where it may not, or is not to. */
static bool may_begin(jrpc_call *call, jrpc_files *files, const jrpc_file *wanted) {
    const jrpc_file *old = find(files, wanted->name, THERE);
    const jrpc_landing landing = landing_of(files, files->files);
    if (old && is_same(old, wanted)) {
        jrpc_return_begun(call, &landing, 0, wanted->bytes.size, files->config->window);
    } else if (old && !wanted->may_replace) {
        jrpc_fail(call, JRPC_FILE_EXISTS, "File exists", NULL);
    } else if (wanted->bytes.size > files->config->size) {
        jrpc_fail_with(call, JRPC_NO_ROOM, "No room", "free", files->config->size);
    } else {
        return true;
    }
    return false;
}

/* The place of the transfer that wants the same, or of a new one; NULL: there is none, which has been
 * answered. */
static jrpc_file *begin_or_go_on(jrpc_call *call, jrpc_files *files, const jrpc_file *wanted) {
    uint32_t now = call->rpc->now;
    const jrpc_file *found = find(files, wanted->name, ARRIVING);
    jrpc_file *file = found ? &files->files[place_of(files, found)] : NULL;
    if (file && is_same(file, wanted)) {
        bool is_changed = file->may_replace != wanted->may_replace;
        file->may_replace = wanted->may_replace;
        return !is_changed || save(call, files) ? file : NULL;
    }
    if (file && silence(files, file, now) < YIELD_MS) {
        fail_busy(call, YIELD_MS - silence(files, file, now));
        return NULL;
    }
    if (file) file->state = FREE;
    file = find_place(files, now);
    if (!file) {
        fail_full(call, files);
        return NULL;
    }
    *file = *wanted;
    file->bytes.id = (files->journal.sequence + 1) & INT32_MAX;
    files->there[place_of(files, file)] = 0;
    return save(call, files) ? file : NULL;
}

void jrpc_files_begin(jrpc_call *call) {
    jrpc_files *files = files_of(call);
    jrpc_file wanted = {.state = ARRIVING};
    bool may_replace = false;
    if (!files || !read_name(call, "name", wanted.name)) return;
    if (!jrpc_size_param(call, "size", &wanted.bytes.size)) return;
    if (!jrpc_digest_param(call, "sha256", wanted.bytes.sha256)) return;
    if (jrpc_has(call, "replace") && !jrpc_bool(call, "replace", &may_replace)) return;
    wanted.may_replace = may_replace;
    if (!may_begin(call, files, &wanted)) return;
    jrpc_file *file = begin_or_go_on(call, files, &wanted);
    if (!file) return;
    size_t place = place_of(files, file);
    const jrpc_landing landing = landing_of(files, file);
    files->heard_at[place] = call->rpc->now;
    jrpc_return_begun(call, &landing, file->bytes.id, files->there[place], files->config->window);
}

void jrpc_files_write(jrpc_call *call) {
    jrpc_files *files = files_of(call);
    jrpc_file *file;
    if (!files || !read_transfer(call, files, &file)) return;
    size_t place = place_of(files, file);
    const jrpc_landing landing = landing_of(files, file);
    jrpc_taking taking = jrpc_take_bytes(call, &landing, &file->bytes, &files->there[place]);
    if (taking == JRPC_ANSWERED) return;
    if (taking != JRPC_UNCHANGED) files->heard_at[place] = call->rpc->now;
    if (taking == JRPC_TO_BE_KEPT && !save(call, files)) return;
    jrpc_return_offset(call, files->there[place]);
}

static void write_committed(jrpc_out *out, void *context) {
    jrpc_put(out, "{\"sha256\":");
    jrpc_put_hex(out, context, JRPC_SHA256_SIZE);
    jrpc_put(out, "}");
}

/* Give a file its name, and take it from the one before, in one record. */
static bool take_place(jrpc_call *call, jrpc_files *files, jrpc_file *file) {
    const jrpc_file *found = find(files, file->name, THERE);
    if (found && !file->may_replace) return jrpc_fail(call, JRPC_FILE_EXISTS, "File exists", NULL), false;
    if (found) files->files[place_of(files, found)].state = FREE;
    file->state = THERE;
    return save(call, files);
}

void jrpc_files_commit(jrpc_call *call) {
    jrpc_files *files = files_of(call);
    jrpc_file *file;
    uint8_t digest[JRPC_SHA256_SIZE];
    if (!files || !read_transfer(call, files, &file)) return;
    const jrpc_landing landing = landing_of(files, file);
    uint32_t there = files->there[place_of(files, file)];
    if (there < file->bytes.size) {
        jrpc_fail_unfinished(call, there, file->bytes.size);
        return;
    }
    if (file->state == ARRIVING) { /* else the answer was lost */
        if (!jrpc_flash_hash(landing.flash, landing.base, file->bytes.size, digest)) {
            jrpc_fail_flash(call);
            return;
        }
        if (memcmp(digest, file->bytes.sha256, sizeof digest) != 0) {
            file->state = FREE;
            if (save(call, files)) jrpc_fail(call, JRPC_WRONG_HASH, "Hash is wrong", NULL);
            return;
        }
        if (!take_place(call, files, file)) return;
    }
    memcpy(digest, file->bytes.sha256, sizeof digest);
    jrpc_return(call, write_committed, digest);
}

void jrpc_files_abort(jrpc_call *call) {
    jrpc_files *files = files_of(call);
    uint32_t id;
    if (!files || !jrpc_size_param(call, "transfer", &id)) return;
    jrpc_file *file = find_transfer(files, id);
    if (file && file->state == ARRIVING) {
        file->state = FREE;
        if (!save(call, files)) return;
    }
    jrpc_return_null(call);
}

void jrpc_files_delete(jrpc_call *call) {
    jrpc_files *files = files_of(call);
    const jrpc_file *file;
    if (!files || !read_file(call, files, &file)) return;
    files->files[place_of(files, file)].state = FREE;
    if (save(call, files)) jrpc_return_null(call);
}
