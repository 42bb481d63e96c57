#include "jrpc_firmware.h"

#include <string.h>

#include "jrpc_base.h"
#include "jrpc_files.h"

enum { CONFIRMED, TESTING, PENDING };
enum { SMALL_MESSAGE = 1024, LEAST_BUFFER = 192, SIGNED_TEXT = 21 + 2 * JRPC_VERSION_BYTES + 66 };

#define LEAVING_MS 500u /* in which the answer to `install` gets away */
#define PROGRESS_MS 500u
#define YIELD_MS 30000u

static const char *const states[] = {"\"confirmed\"", "\"testing\"", "\"pending\""};

/* ---- What is kept ---- */

static int other_of(const jrpc_firmware *firmware) { return firmware->record.running ? 0 : 1; }

static bool save(jrpc_firmware *firmware) {
    return jrpc_journal_save(&firmware->journal, &firmware->record);
}

bool jrpc_firmware_init(jrpc_firmware *firmware, const jrpc_firmware_config *config, uint32_t now) {
    memset(firmware, 0, sizeof *firmware);
    firmware->config = config;
    firmware->since = firmware->heard_at = firmware->told_at = now;
    strncpy(firmware->record.images[0].version, config->version, JRPC_VERSION_BYTES - 1);
    if (config->size % config->flash->sector != 0 || config->buffer_size < LEAST_BUFFER) return false;
    if (!jrpc_journal_begin(&firmware->journal, config->flash, config->record_at, &firmware->record,
                            sizeof firmware->record)) {
        return false;
    }
    firmware->there = firmware->record.arrival.offset;
    firmware->is_due = firmware->record.state == PENDING;
    return true;
}

/* What has been changed in memory alone is undone. */
static void read_again(jrpc_firmware *firmware) {
    jrpc_firmware_init(firmware, firmware->config, firmware->heard_at);
}

static bool save_or_fail(jrpc_call *call, jrpc_firmware *firmware) {
    if (save(firmware)) return true;
    read_again(firmware);
    jrpc_fail_flash(call);
    return false;
}

static bool is_whole(const jrpc_firmware *firmware, int place) {
    uint8_t digest[JRPC_SHA256_SIZE];
    uint32_t size = firmware->record.images[place].size;
    if (size == 0) return false;
    return jrpc_flash_hash(firmware->config->flash, firmware->config->image_at[place], size, digest) &&
           memcmp(digest, firmware->record.images[place].sha256, sizeof digest) == 0;
}

int jrpc_firmware_boot(jrpc_firmware *firmware) {
    jrpc_firmware_record *record = &firmware->record;
    int before = record->running, other = other_of(firmware);
    if (record->state == CONFIRMED) return before;
    bool is_first = record->state == PENDING, is_good = !is_first || is_whole(firmware, other);
    /* Tested, or else back to the one before, or not begun with, as it is damaged. */
    record->state = is_first && is_good ? TESTING : CONFIRMED;
    record->has_other = is_first && is_good;
    if (is_good) record->running = (uint8_t)other;
    memset(&record->arrival, 0, sizeof record->arrival); /* it is no longer in the other place */
    firmware->there = 0;
    firmware->is_due = false;
    if (save(firmware)) return record->running;
    /* An image that cannot be noted as tested would be tested for ever: the old one runs. */
    read_again(firmware);
    return is_first ? before : other;
}

/* ---- Telling ---- */

static const char *version_of(const jrpc_firmware *firmware, int place) {
    return firmware->record.images[place].version;
}

static void write_status(jrpc_out *out, void *context) {
    const jrpc_firmware *firmware = context;
    const jrpc_firmware_record *record = &firmware->record;
    jrpc_put(out, "{\"version\":");
    jrpc_put_text(out, version_of(firmware, record->running));
    jrpc_put(out, record->running ? ",\"slot\":\"b\",\"state\":" : ",\"slot\":\"a\",\"state\":");
    jrpc_put(out, states[record->state]);
    if (record->has_other) {
        jrpc_put(out, record->state == PENDING ? ",\"next\":" : ",\"previous\":");
        jrpc_put_text(out, version_of(firmware, other_of(firmware)));
    }
    jrpc_put(out, "}");
}

static void write_progress(jrpc_out *out, void *context) {
    const jrpc_firmware *firmware = context;
    jrpc_put(out, "{\"offset\":");
    jrpc_put_unsigned(out, firmware->there);
    jrpc_put(out, ",\"size\":");
    jrpc_put_unsigned(out, firmware->record.arrival.size);
    jrpc_put(out, "}");
}

static void tell_progress(jrpc_call *call, jrpc_firmware *firmware) {
    uint32_t now = call->rpc->now;
    bool is_all = firmware->there == firmware->record.arrival.size;
    if (!is_all && now - firmware->told_at < PROGRESS_MS) return;
    firmware->told_at = now;
    jrpc_notify(call->rpc, "firmware.progress", write_progress, firmware);
}

static void tell_state(jrpc_call *call, jrpc_firmware *firmware) {
    jrpc_notify(call->rpc, "firmware.state", write_status, firmware);
}

/* ---- Params ---- */

static jrpc_firmware *firmware_of(jrpc_call *call) {
    jrpc_firmware *firmware = call->rpc->config->firmware;
    if (!firmware->config->may || firmware->config->may(call)) return firmware;
    jrpc_fail(call, JRPC_FORBIDDEN, "Forbidden", NULL);
    return NULL;
}

static bool read_word(jrpc_call *call, const char *name, char word[JRPC_VERSION_BYTES]) {
    if (!jrpc_text(call, name, word, JRPC_VERSION_BYTES)) return false;
    bool is_good = *word != '\0';
    for (const char *at = word; *at; at++) is_good = is_good && (unsigned char)*at >= ' ' && *at != 127;
    if (!is_good) jrpc_refuse(call, name, "a word");
    return is_good;
}

static bool read_transfer(jrpc_call *call, const jrpc_firmware *firmware) {
    uint32_t id;
    if (!jrpc_size_param(call, "transfer", &id)) return false;
    bool is_it = id > 0 && id == firmware->record.arrival.id;
    if (!is_it) jrpc_refuse(call, "transfer", "the number of the transfer");
    return is_it;
}

static jrpc_landing landing_of(const jrpc_firmware *firmware) {
    const jrpc_firmware_config *config = firmware->config;
    uint32_t base = config->image_at[other_of(firmware)];
    return (jrpc_landing){config->flash, base, config->buffer, config->buffer_size};
}

/* The text that is signed: four lines. */
static size_t write_signed(const jrpc_firmware_record *about, char text[SIGNED_TEXT]) {
    static const char digits[] = "0123456789abcdef";
    const char *const lines[] = {"jsonrpc-iot firmware", about->version, about->target};
    size_t used = 0;
    for (size_t line = 0; line < 3; line++) {
        size_t size = strlen(lines[line]);
        memcpy(text + used, lines[line], size);
        used += size;
        text[used++] = '\n';
    }
    for (size_t at = 0; at < JRPC_SHA256_SIZE; at++) {
        text[used++] = digits[about->arrival.sha256[at] >> 4];
        text[used++] = digits[about->arrival.sha256[at] & 15];
    }
    text[used++] = '\n';
    return used;
}

/* Look at the param `signature`, where one is demanded; answers where it is wrong, and where it is
 * missing but for `may_come_later`. */
static bool check_signature(jrpc_call *call, const jrpc_firmware *firmware,
                            jrpc_firmware_record *about, bool may_come_later) {
    const jrpc_firmware_config *config = firmware->config;
    uint8_t *signature = (uint8_t *)config->buffer;
    char text[SIGNED_TEXT];
    if (!config->verify || about->is_signed) return true;
    if (!jrpc_has(call, "signature")) {
        if (!may_come_later) jrpc_fail(call, JRPC_WRONG_SIGNATURE, "Signature is missing", NULL);
        return may_come_later;
    }
    if (!jrpc_text(call, "signature", config->buffer, config->buffer_size)) return false;
    size_t size = jrpc_base64_decode(signature, config->buffer_size, config->buffer,
                                     strlen(config->buffer));
    about->is_signed = size == JRPC_SIGNATURE_SIZE &&
                       config->verify(signature, text, write_signed(about, text));
    if (!about->is_signed) jrpc_fail(call, JRPC_WRONG_SIGNATURE, "Signature is wrong", NULL);
    return about->is_signed;
}

/* ---- Methods ---- */

void jrpc_firmware_status(jrpc_call *call) {
    jrpc_firmware *firmware = firmware_of(call);
    if (firmware) jrpc_return(call, write_status, firmware);
}

static void write_target(jrpc_out *out, void *context) { jrpc_put_text(out, context); }

static bool is_for_this_device(jrpc_call *call, const jrpc_firmware *firmware, const char *target) {
    char data[2 * JRPC_VERSION_BYTES + 16];
    const char *mine = firmware->config->target;
    if (!mine || *target == '\0' || strcmp(target, mine) == 0) return true;
    jrpc_out out = {.bytes = data, .room = sizeof data - 1, .total = SIZE_MAX};
    jrpc_put(&out, "{\"target\":");
    write_target(&out, (char *)mine);
    jrpc_put(&out, "}");
    data[out.used] = '\0';
    jrpc_fail(call, JRPC_NOT_FOR_THIS_DEVICE, "Not for this device", data);
    return false;
}

/* Whether the arrival of `wanted` is that which is under way. */
static bool is_same(const jrpc_firmware_record *one, const jrpc_firmware_record *wanted) {
    return one->arrival.id > 0 && one->arrival.size == wanted->arrival.size &&
           memcmp(one->arrival.sha256, wanted->arrival.sha256, JRPC_SHA256_SIZE) == 0 &&
           strcmp(one->version, wanted->version) == 0 && strcmp(one->target, wanted->target) == 0;
}

static bool may_begin(jrpc_call *call, const jrpc_firmware *firmware,
                      const jrpc_firmware_record *wanted) {
    uint32_t silence = call->rpc->now - firmware->heard_at;
    if (wanted->arrival.size > firmware->config->size) {
        jrpc_fail_with(call, JRPC_NO_ROOM, "No room", "free", firmware->config->size);
    } else if (firmware->record.state == TESTING) {
        jrpc_fail(call, JRPC_IN_USE, "The image that runs is not confirmed", NULL);
    } else if (firmware->record.arrival.id > 0 && !is_same(&firmware->record, wanted) &&
               silence < YIELD_MS) {
        jrpc_fail_with(call, JRPC_IN_USE, "Busy", "retry_after", (YIELD_MS - silence) / 1000 + 1);
    } else {
        return true;
    }
    return false;
}

/* The record with a new arrival, for whose image there is no other in its place any more. */
static void begin_new(jrpc_firmware *firmware, const jrpc_firmware_record *wanted) {
    jrpc_firmware_record *record = &firmware->record;
    int other = other_of(firmware);
    record->state = CONFIRMED;
    record->has_other = false;
    memset(&record->images[other], 0, sizeof record->images[other]);
    record->arrival = wanted->arrival;
    record->arrival.id = (firmware->journal.sequence + 1) & INT32_MAX;
    memcpy(record->version, wanted->version, sizeof record->version);
    memcpy(record->target, wanted->target, sizeof record->target);
    firmware->there = 0;
    firmware->is_due = false;
}

void jrpc_firmware_begin(jrpc_call *call) {
    jrpc_firmware *firmware = firmware_of(call);
    jrpc_firmware_record wanted = {0};
    if (!firmware || !jrpc_size_param(call, "size", &wanted.arrival.size)) return;
    if (wanted.arrival.size == 0) {
        jrpc_refuse(call, "size", "a positive int");
        return;
    }
    if (!jrpc_digest_param(call, "sha256", wanted.arrival.sha256)) return;
    if (!read_word(call, "version", wanted.version)) return;
    if (jrpc_has(call, "target") && !read_word(call, "target", wanted.target)) return;
    if (!is_for_this_device(call, firmware, wanted.target)) return;
    bool is_known = is_same(&firmware->record, &wanted);
    if (is_known) wanted.is_signed = firmware->record.is_signed;
    bool is_small = call->rpc->config->max_message < SMALL_MESSAGE;
    if (!check_signature(call, firmware, &wanted, is_small)) return;
    if (!may_begin(call, firmware, &wanted)) return;
    if (!is_known || firmware->record.is_signed != wanted.is_signed) {
        if (!is_known) begin_new(firmware, &wanted);
        firmware->record.is_signed = wanted.is_signed;
        if (!save_or_fail(call, firmware)) return;
    }
    firmware->heard_at = call->rpc->now;
    const jrpc_landing landing = landing_of(firmware);
    jrpc_return_begun(call, &landing, firmware->record.arrival.id, firmware->there,
                      firmware->config->window);
}

void jrpc_firmware_write(jrpc_call *call) {
    jrpc_firmware *firmware = firmware_of(call);
    if (!firmware || !read_transfer(call, firmware)) return;
    const jrpc_landing landing = landing_of(firmware);
    jrpc_taking taking =
        jrpc_take_bytes(call, &landing, &firmware->record.arrival, &firmware->there);
    if (taking == JRPC_ANSWERED) return;
    if (taking == JRPC_TO_BE_KEPT && !save_or_fail(call, firmware)) return;
    if (taking != JRPC_UNCHANGED) {
        firmware->heard_at = call->rpc->now;
        tell_progress(call, firmware);
    }
    jrpc_return_offset(call, firmware->there);
}

void jrpc_firmware_abort(jrpc_call *call) {
    jrpc_firmware *firmware = firmware_of(call);
    uint32_t id;
    if (!firmware || !jrpc_size_param(call, "transfer", &id)) return;
    if (id > 0 && id == firmware->record.arrival.id && firmware->record.state != PENDING) {
        memset(&firmware->record.arrival, 0, sizeof firmware->record.arrival);
        if (!save_or_fail(call, firmware)) return;
    }
    jrpc_return_null(call);
}

/* Whether what has arrived is what was announced; answers where it is not, and forgets it. */
static bool is_right(jrpc_call *call, jrpc_firmware *firmware) {
    const jrpc_landing landing = landing_of(firmware);
    jrpc_arrival *arrival = &firmware->record.arrival;
    uint8_t digest[JRPC_SHA256_SIZE];
    if (firmware->there < arrival->size || arrival->size == 0) {
        jrpc_fail_unfinished(call, firmware->there, arrival->size);
    } else if (!jrpc_flash_hash(landing.flash, landing.base, arrival->size, digest)) {
        jrpc_fail_flash(call);
    } else if (memcmp(digest, arrival->sha256, sizeof digest) != 0) {
        memset(arrival, 0, sizeof *arrival);
        if (save_or_fail(call, firmware)) jrpc_fail(call, JRPC_WRONG_HASH, "Hash is wrong", NULL);
    } else {
        return true;
    }
    return false;
}

static void install(jrpc_firmware *firmware) {
    jrpc_firmware_record *record = &firmware->record;
    int other = other_of(firmware);
    memcpy(record->images[other].version, record->version, sizeof record->version);
    memcpy(record->images[other].sha256, record->arrival.sha256, JRPC_SHA256_SIZE);
    record->images[other].size = record->arrival.size;
    record->state = PENDING;
    record->has_other = true;
}

void jrpc_firmware_install(jrpc_call *call) {
    jrpc_firmware *firmware = firmware_of(call);
    if (!firmware || !read_transfer(call, firmware)) return;
    if (firmware->record.state != PENDING) { /* else the answer was lost */
        if (!is_right(call, firmware)) return;
        if (!check_signature(call, firmware, &firmware->record, false)) return;
        install(firmware);
        if (!save_or_fail(call, firmware)) return;
        firmware->since = call->rpc->now;
        firmware->is_due = true;
        tell_state(call, firmware);
    }
    jrpc_return_json(call, "{\"state\":\"pending\"}");
}

bool jrpc_firmware_keep(jrpc_firmware *firmware) {
    if (firmware->record.state != TESTING) return firmware->record.state == CONFIRMED;
    firmware->record.state = CONFIRMED;
    memset(&firmware->record.arrival, 0, sizeof firmware->record.arrival);
    if (save(firmware)) return true;
    read_again(firmware);
    return false;
}

void jrpc_firmware_confirm(jrpc_call *call) {
    jrpc_firmware *firmware = firmware_of(call);
    if (!firmware) return;
    bool was_testing = firmware->record.state == TESTING;
    if (firmware->record.state == PENDING) {
        jrpc_fail(call, JRPC_NOT_ALLOWED, "The new image does not run yet", NULL);
    } else if (!jrpc_firmware_keep(firmware)) {
        jrpc_fail_flash(call);
    } else {
        if (was_testing) tell_state(call, firmware);
        jrpc_return_null(call);
    }
}

void jrpc_firmware_poll(jrpc_firmware *firmware, uint32_t now) {
    const jrpc_firmware_config *config = firmware->config;
    bool is_late = firmware->record.state == TESTING && config->confirm_ms > 0 &&
                   now - firmware->since >= config->confirm_ms;
    bool is_due = firmware->is_due && now - firmware->since >= LEAVING_MS;
    if ((is_late || is_due) && config->restart) config->restart(config->context);
}
