/* Updates of a device: the service `firmware`, with two places for images in flash memory. An image
 * arrives in the place that does not run, and what runs is decided by one record: so whenever the
 * power goes, the old image runs or the new one. docs/files.md has the service.
 *
 * Put JRPC_FIRMWARE_METHODS into your table of methods, and a `jrpc_firmware` into `config.firmware`.
 * What starts first on your device (a boot loader) calls `jrpc_firmware_boot` and jumps to the image
 * that it names. Needs jrpc_flash.c, jrpc_sha256.c and jrpc_base.c. */
#ifndef JRPC_FIRMWARE_H
#define JRPC_FIRMWARE_H

#include "jrpc_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef JRPC_VERSION_BYTES
#define JRPC_VERSION_BYTES 32 /* bytes of a version, with a zero at its end */
#endif

enum { JRPC_SIGNATURE_SIZE = 64 };
enum { JRPC_WRONG_SIGNATURE = 3102, JRPC_NOT_FOR_THIS_DEVICE = 3103 };

typedef struct {
    const jrpc_flash *flash;
    uint32_t record_at;   /* two sectors, for what is decided */
    uint32_t image_at[2]; /* where the images are; the first one is the factory's */
    uint32_t size;        /* of a place: whole sectors */
    const char *version;  /* of the factory's image */
    const char *target;   /* the kind of device this is; NULL: any image will do */
    char *buffer;         /* one write as text: at least 192 bytes, best as much as a message may have */
    size_t buffer_size;
    uint32_t window; /* writes that may be open at once, as far as your receive buffer has room: 1 */
    /* Ed25519 with your public key; NULL: no signature is demanded. */
    bool (*verify)(const uint8_t signature[JRPC_SIGNATURE_SIZE], const char *text, size_t size);
    /* Whether the caller may; NULL: everybody may. */
    bool (*may)(const jrpc_call *call);
    /* Restart the device: it is due. From within `jrpc_firmware_poll`. */
    void (*restart)(void *context);
    void *context;
    uint32_t confirm_ms; /* how long an image may run unconfirmed; 0: until the next restart */
} jrpc_firmware_config;

/* What is kept. */
typedef struct {
    uint8_t running, state, has_other, is_signed;
    struct {
        char version[JRPC_VERSION_BYTES];
        uint32_t size; /* 0: the factory's, or none */
        uint8_t sha256[JRPC_SHA256_SIZE];
    } images[2];
    jrpc_arrival arrival; /* `id` 0: none */
    char version[JRPC_VERSION_BYTES], target[JRPC_VERSION_BYTES];
} jrpc_firmware_record;

/* The fields belong to the library. */
typedef struct jrpc_firmware {
    const jrpc_firmware_config *config;
    jrpc_journal journal;
    jrpc_firmware_record record;
    uint32_t there, heard_at, told_at, since;
    bool is_due;
} jrpc_firmware;

/* Find out what is there. Returns false if it cannot work. */
bool jrpc_firmware_init(jrpc_firmware *firmware, const jrpc_firmware_config *config,
                        uint32_t now_ms);

/* Decide which image runs, once at each start: 0 or 1. */
int jrpc_firmware_boot(jrpc_firmware *firmware);

/* Restart the device where that is due: after an image was installed, or was not confirmed in time. */
void jrpc_firmware_poll(jrpc_firmware *firmware, uint32_t now_ms);

/* For your own code: have the image that runs stay, as it has shown that it works. */
bool jrpc_firmware_keep(jrpc_firmware *firmware);

void jrpc_firmware_status(jrpc_call *call);
void jrpc_firmware_begin(jrpc_call *call);
void jrpc_firmware_write(jrpc_call *call);
void jrpc_firmware_abort(jrpc_call *call);
void jrpc_firmware_install(jrpc_call *call);
void jrpc_firmware_confirm(jrpc_call *call);

/* clang-format off */
#define JRPC_FIRMWARE_METHODS \
    {"firmware.abort", jrpc_firmware_abort, "transfer", JRPC_IDEMPOTENT}, \
    {"firmware.begin", jrpc_firmware_begin, "size sha256 version target signature", JRPC_IDEMPOTENT}, \
    {"firmware.confirm", jrpc_firmware_confirm, "", JRPC_IDEMPOTENT}, \
    {"firmware.install", jrpc_firmware_install, "transfer signature", JRPC_IDEMPOTENT}, \
    {"firmware.status", jrpc_firmware_status, "", JRPC_IDEMPOTENT}, \
    {"firmware.write", jrpc_firmware_write, "transfer offset data", JRPC_IDEMPOTENT}
/* clang-format on */

#ifdef __cplusplus
}
#endif

#endif
