#include "jrpc_flash.h"

#include <string.h>

#include "jrpc_base.h"
#include "jrpc_parts.h"

enum { HEAD = 8, PIECE = 32 }; /* sequence and check; what is written and read at once */
enum { WRITE_ROUND = 140, LEAST_BUFFER = 128 }; /* bytes of a message beside its data */

static uint32_t rounded(uint32_t size, uint32_t unit) { return (size + unit - 1) / unit * unit; }

/* ---- The record: entries one behind the other, in one sector until that is full ---- */

static uint32_t check_of(uint32_t check, const void *bytes, size_t size) {
    const uint8_t *at = bytes; /* CRC-32 */
    while (size--) {
        check ^= *at++;
        for (unsigned bit = 0; bit < 8; bit++) check = check >> 1 ^ (0xEDB88320u & (0u - (check & 1)));
    }
    return check;
}

static uint32_t stride(const jrpc_journal *journal) {
    return rounded((uint32_t)(HEAD + journal->size), journal->flash->unit);
}

typedef enum { GOOD, BLANK, TORN, FAILED } finding;

/* What is in the place of an entry. */
static finding look(const jrpc_journal *journal, uint32_t at, uint32_t *sequence) {
    const jrpc_flash *flash = journal->flash;
    uint32_t head[2], check;
    uint8_t piece[PIECE];
    bool is_blank = true;
    if (!flash->read(flash->context, at, head, sizeof head)) return FAILED;
    check = check_of(UINT32_MAX, &head[0], sizeof head[0]);
    is_blank = head[0] == UINT32_MAX && head[1] == UINT32_MAX;
    for (size_t done = 0; done < journal->size; done += PIECE) {
        size_t left = journal->size - done, size = left < PIECE ? left : PIECE;
        if (!flash->read(flash->context, at + (uint32_t)(HEAD + done), piece, size)) return FAILED;
        check = check_of(check, piece, size);
        for (size_t byte = 0; byte < size; byte++) is_blank = is_blank && piece[byte] == 0xFF;
    }
    *sequence = head[0];
    return is_blank ? BLANK : check == head[1] ? GOOD : TORN;
}

static uint32_t sector_of(const jrpc_journal *journal, uint32_t at) {
    return (at - journal->at) / journal->flash->sector;
}

/* The newest good entry; UINT32_MAX: there is none. */
static bool find_newest(jrpc_journal *journal, uint32_t *newest) {
    uint32_t sector = journal->flash->sector, step = stride(journal), sequence;
    *newest = UINT32_MAX;
    for (uint32_t start = journal->at; start - journal->at < 2 * sector; start += sector) {
        for (uint32_t at = start; at + step <= start + sector; at += step) {
            finding found = look(journal, at, &sequence);
            if (found == FAILED) return false;
            if (found != GOOD) continue;
            if (*newest != UINT32_MAX && sequence - journal->sequence > INT32_MAX) continue;
            *newest = at;
            journal->sequence = sequence;
        }
    }
    return true;
}

bool jrpc_journal_begin(jrpc_journal *journal, const jrpc_flash *flash, uint32_t at, void *record,
                        size_t size) {
    uint32_t newest, sequence;
    *journal = (jrpc_journal){.flash = flash, .at = at, .size = size};
    if (flash->unit > PIECE || stride(journal) > flash->sector) return false;
    if (!find_newest(journal, &newest)) return false;
    journal->next = at + 2 * flash->sector; /* no place: the first sector is to be erased */
    if (newest == UINT32_MAX) return true;
    uint32_t end = at + (sector_of(journal, newest) + 1) * flash->sector;
    journal->next = newest + stride(journal);
    while (journal->next + stride(journal) <= end && look(journal, journal->next, &sequence) != BLANK) {
        journal->next += stride(journal); /* torn when the power went */
    }
    return flash->read(flash->context, newest + HEAD, record, size);
}

/* Write an entry, unit by unit. */
static bool write_entry(const jrpc_journal *journal, uint32_t at, const uint8_t *record) {
    const jrpc_flash *flash = journal->flash;
    uint32_t head[2] = {journal->sequence, 0};
    uint8_t piece[PIECE];
    head[1] = check_of(check_of(UINT32_MAX, &head[0], sizeof head[0]), record, journal->size);
    size_t total = HEAD + journal->size;
    for (size_t done = 0; done < total; done += PIECE) {
        size_t size = total - done < PIECE ? total - done : PIECE;
        memset(piece, 0xFF, sizeof piece);
        for (size_t byte = 0; byte < size; byte++) {
            size_t place = done + byte;
            piece[byte] = place < HEAD ? ((const uint8_t *)head)[place] : record[place - HEAD];
        }
        uint32_t whole = rounded((uint32_t)size, flash->unit);
        if (!flash->write(flash->context, at + (uint32_t)done, piece, whole)) return false;
    }
    return true;
}

bool jrpc_journal_save(jrpc_journal *journal, const void *record) {
    const jrpc_flash *flash = journal->flash;
    uint32_t step = stride(journal), last = sector_of(journal, journal->next - 1);
    if (journal->next + step > journal->at + (last + 1) * flash->sector) {
        uint32_t other = journal->at + (last == 0 ? flash->sector : 0);
        if (!flash->erase(flash->context, other)) return false;
        journal->next = other;
    }
    uint32_t at = journal->next;
    journal->next += step; /* also where it fails: nothing is written twice */
    journal->sequence++;
    return write_entry(journal, at, record);
}

/* ---- Bytes that arrive ---- */

uint32_t jrpc_write_room(const jrpc_call *call, const jrpc_landing *landing) {
    size_t text = call->rpc->config->max_message, room = landing->buffer_size - 1;
    text = text > WRITE_ROUND ? text - WRITE_ROUND : 0;
    uint32_t bytes = (uint32_t)((text < room ? text : room) / 4 * 3), unit = landing->flash->unit;
    return bytes > unit ? bytes / unit * unit : unit;
}

/* No less than a caller reckons with, which would have to ask for the rest of each piece. */
uint32_t jrpc_read_room(const jrpc_call *call, bool is_bare) {
    static const char bare[] = "{'jsonrpc':'2.0','id':,'result':{'data':''}}";
    static const char whole[] = "{'jsonrpc':'2.0','id':,'result':{'data':'','size':4294967295,'sha256':''}}";
    size_t most = call->rpc->config->max_message;
    size_t round = is_bare ? sizeof bare - 1 : sizeof whole - 3 + 2 * JRPC_SHA256_SIZE;
    round += call->of[JRPC_ID].size;
    return most > round + 4 ? (uint32_t)((most - round) / 4 * 3) : 3;
}

typedef struct {
    uint32_t id, there, chunk, window;
} begun;

static void write_begun(jrpc_out *out, void *context) {
    const begun *about = context;
    jrpc_put(out, "{\"transfer\":");
    if (about->id == 0) {
        jrpc_put(out, "null");
    } else {
        jrpc_put_unsigned(out, about->id);
    }
    jrpc_put(out, ",\"offset\":");
    jrpc_put_unsigned(out, about->there);
    jrpc_put(out, ",\"chunk\":");
    jrpc_put_unsigned(out, about->chunk);
    jrpc_put(out, ",\"window\":");
    jrpc_put_unsigned(out, about->window);
    jrpc_put(out, "}");
}

void jrpc_return_begun(jrpc_call *call, const jrpc_landing *landing, uint32_t id, uint32_t there,
                       uint32_t window) {
    begun about = {id, there, jrpc_write_room(call, landing), window ? window : 1};
    jrpc_return(call, write_begun, &about);
}

static void write_offset(jrpc_out *out, void *context) {
    jrpc_put(out, "{\"offset\":");
    jrpc_put_unsigned(out, *(const uint32_t *)context);
    jrpc_put(out, "}");
}

void jrpc_return_offset(jrpc_call *call, uint32_t there) { jrpc_return(call, write_offset, &there); }

/* Write at `offset`, where all is blank but for what a cut of the power has left: each sector is
 * erased when its first byte comes. `size` is whole units. */
static bool store(const jrpc_landing *landing, uint32_t offset, const char *bytes, uint32_t size) {
    const jrpc_flash *flash = landing->flash;
    while (size > 0) {
        uint32_t left = flash->sector - offset % flash->sector, piece = size < left ? size : left;
        if (left == flash->sector && !flash->erase(flash->context, landing->base + offset)) return false;
        if (!flash->write(flash->context, landing->base + offset, bytes, piece)) return false;
        offset += piece;
        bytes += piece;
        size -= piece;
    }
    return true;
}

jrpc_taking jrpc_take_bytes(jrpc_call *call, const jrpc_landing *landing, jrpc_arrival *arrival,
                            uint32_t *there) {
    uint32_t offset, unit = landing->flash->unit, sector = landing->flash->sector;
    char *buffer = landing->buffer;
    if (landing->buffer_size < LEAST_BUFFER) return jrpc_fail_flash(call), JRPC_ANSWERED;
    if (!jrpc_size_param(call, "offset", &offset)) return JRPC_ANSWERED;
    if (!jrpc_text(call, "data", buffer, landing->buffer_size)) return JRPC_ANSWERED;
    size_t found = jrpc_base64_decode((uint8_t *)buffer, landing->buffer_size, buffer, strlen(buffer));
    if (found == JRPC_NO_BYTES) return jrpc_refuse(call, "data", "Base64"), JRPC_ANSWERED;
    if (offset != *there) return JRPC_UNCHANGED;
    uint32_t size = (uint32_t)found, left = arrival->size - offset;
    if (size > left) return jrpc_refuse(call, "data", "no more than the size"), JRPC_ANSWERED;
    uint32_t whole = rounded(size, unit);
    if (size < left) {
        size = whole = size / unit * unit; /* the rest comes again */
        if (size == 0 && found > 0) return jrpc_refuse(call, "data", "a whole unit"), JRPC_ANSWERED;
    } else {
        memset(buffer + size, 0xFF, whole - size);
    }
    if (!store(landing, offset, buffer, whole)) return jrpc_fail_flash(call), JRPC_ANSWERED;
    *there = offset + size;
    uint32_t kept = *there == arrival->size ? *there : *there / sector * sector;
    if (kept == arrival->offset) return JRPC_WRITTEN;
    arrival->offset = kept;
    return JRPC_TO_BE_KEPT;
}

/* ---- Params, results, errors ---- */

bool jrpc_flash_hash(const jrpc_flash *flash, uint32_t at, uint32_t size,
                     uint8_t digest[JRPC_SHA256_SIZE]) {
    jrpc_sha256 hash;
    uint8_t piece[64];
    jrpc_sha256_begin(&hash);
    while (size > 0) {
        uint32_t count = size < sizeof piece ? size : (uint32_t)sizeof piece;
        if (!flash->read(flash->context, at, piece, count)) return false;
        jrpc_sha256_add(&hash, piece, count);
        at += count;
        size -= count;
    }
    jrpc_sha256_end(&hash, digest);
    return true;
}

bool jrpc_digest_param(jrpc_call *call, const char *name, uint8_t digest[JRPC_SHA256_SIZE]) {
    char text[2 * JRPC_SHA256_SIZE + 1];
    if (!jrpc_text(call, name, text, sizeof text)) return false;
    bool is_good = strlen(text) == 2 * JRPC_SHA256_SIZE;
    for (size_t at = 0; is_good && at < JRPC_SHA256_SIZE; at++) {
        int high = jrpc_hex(text[2 * at]), low = jrpc_hex(text[2 * at + 1]);
        is_good = high >= 0 && low >= 0;
        digest[at] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    if (!is_good) jrpc_refuse(call, name, "64 hexadecimal digits");
    return is_good;
}

bool jrpc_size_param(jrpc_call *call, const char *name, uint32_t *value) {
    int32_t number;
    if (!jrpc_int_within(call, name, 0, INT32_MAX, &number)) return false;
    *value = (uint32_t)number;
    return true;
}

void jrpc_put_hex(jrpc_out *out, const uint8_t *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    jrpc_put(out, "\"");
    for (; size > 0; size--, bytes++) {
        const char pair[] = {digits[*bytes >> 4], digits[*bytes & 15]};
        jrpc_put_slice(out, (jrpc_slice){pair, sizeof pair});
    }
    jrpc_put(out, "\"");
}

static void end_text(const jrpc_out *out) { out->bytes[out->used] = '\0'; }

void jrpc_fail_with(jrpc_call *call, int32_t code, const char *message, const char *key,
                    uint32_t value) {
    char data[40];
    jrpc_out out = {.bytes = data, .room = sizeof data - 1, .total = SIZE_MAX};
    jrpc_put(&out, "{\"");
    jrpc_put(&out, key);
    jrpc_put(&out, "\":");
    jrpc_put_unsigned(&out, value);
    jrpc_put(&out, "}");
    end_text(&out);
    jrpc_fail(call, code, message, data);
}

void jrpc_fail_unfinished(jrpc_call *call, uint32_t there, uint32_t size) {
    char data[112];
    jrpc_out out = {.bytes = data, .room = sizeof data - 1, .total = SIZE_MAX};
    jrpc_put(&out, "{\"path\":\"$.transfer\",\"message\":\"bytes are missing\",\"offset\":");
    jrpc_put_unsigned(&out, there);
    jrpc_put(&out, ",\"size\":");
    jrpc_put_unsigned(&out, size);
    jrpc_put(&out, "}");
    end_text(&out);
    jrpc_fail(call, JRPC_INVALID_PARAMS, "Invalid params", data);
}

void jrpc_fail_flash(jrpc_call *call) {
    jrpc_fail(call, JRPC_INTERNAL_ERROR, "The flash does not work", NULL);
}
