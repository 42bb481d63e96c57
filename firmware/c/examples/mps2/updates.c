/* A device that keeps files, and is updated: `jsonrpc-iot put`, `get`, `ls` and `update` work on it.
 *
 * The board of qemu has no flash of its own; memory that a restart leaves as it is stands in for it. So
 * there is nothing to jump to either: the same program runs, whichever image is chosen. */
#include <string.h>

#include "board.h"
#include "jrpc_files.h"
#include "jrpc_firmware.h"
#include "jrpc_later.h"
#include "jrpc_lossy.h"
#include "jrpc_tuya.h"

enum { MAX_MESSAGE = 1024 };

/* ---- The flash: 80 KB. Yours are the functions of your chip's flash ---- */

enum { SECTOR = 4096, FILES_RECORD = 0, FIRMWARE_RECORD = 2 * SECTOR, FILES = 4 * SECTOR };
enum { IMAGES = 12 * SECTOR, FLASH = 20 * SECTOR };

__attribute__((section(".noinit"))) static uint8_t memory[FLASH];
__attribute__((section(".noinit"))) static uint32_t is_new[2];

static bool flash_read(void *context, uint32_t at, void *bytes, size_t size) {
    (void)context;
    memcpy(bytes, memory + at, size);
    return true;
}

static bool flash_write(void *context, uint32_t at, const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    (void)context;
    while (size--) memory[at++] &= *from++; /* flash only ever clears bits */
    return true;
}

static bool flash_erase(void *context, uint32_t at) {
    (void)context;
    memset(memory + at, 0xFF, SECTOR);
    return true;
}

static const jrpc_flash flash = {SECTOR, 4, flash_read, flash_write, flash_erase, NULL};

static void begin_flash(void) {
    if (is_new[0] == 0x600DF1A5 && is_new[1] == ~is_new[0]) return;
    memset(memory, 0xFF, sizeof memory);
    is_new[0] = 0x600DF1A5;
    is_new[1] = ~is_new[0];
}

/* ---- The services ---- */

static char work[MAX_MESSAGE]; /* one request at a time, so both may have it */
static jrpc_files files;
static const jrpc_files_config files_config = {
    .flash = &flash, .record_at = FILES_RECORD, .data_at = FILES, .size = 2 * SECTOR, .count = 4,
    .buffer = work, .buffer_size = sizeof work, .window = 2,
};

static void restart(void *context) {
    (void)context;
    board_restart();
}

static jrpc_firmware firmware;
static const jrpc_firmware_config firmware_config = {
    .flash = &flash, .record_at = FIRMWARE_RECORD,
    .image_at = {IMAGES, IMAGES + 4 * SECTOR}, .size = 4 * SECTOR,
    .version = "1.0.0", .target = "mps2", .buffer = work, .buffer_size = sizeof work, .window = 2,
    .restart = restart, .confirm_ms = 60000,
};

static const jrpc_method methods[] = {JRPC_FILES_METHODS, JRPC_FIRMWARE_METHODS};

/* ---- The line ---- */

static void write_uart(void *context, const uint8_t *bytes, size_t size) {
    (void)context;
    board_write(bytes, size);
}

static jrpc rpc;
static uint8_t received[JRPC_TUYA_ROOM(MAX_MESSAGE)];
static jrpc_tuya line = {
    .rpc = &rpc, .bytes = received, .room = sizeof received, .write = write_uart,
};
static char buffer[256];
static jrpc_remembered remembered[8];
static jrpc_pending pending[1];
static const jrpc_config config = {
    .methods = methods, .method_count = sizeof methods / sizeof *methods,
    .send = jrpc_tuya_send, .send_context = &line, .framing = JRPC_FRAME,
    .buffer = buffer, .buffer_size = sizeof buffer, .max_message = MAX_MESSAGE,
    .is_lossy = true, .is_shared = true,
    .lossy = &jrpc_lossy, .remembered = remembered, .remembered_count = 8,
    .later = &jrpc_later, .pending = pending, .pending_count = 1,
    .files = &files, .firmware = &firmware,
};

int main(void) {
    begin_flash();
    if (!jrpc_firmware_init(&firmware, &firmware_config, board_ms())) return 1;
    (void)jrpc_firmware_boot(&firmware); /* a boot loader would jump to this image */
    if (!jrpc_files_init(&files, &files_config, board_ms())) return 1;
    if (!jrpc_init(&rpc, &config, board_ms())) return 1;
    for (;;) {
        uint8_t byte;
        uint32_t now = board_ms();
        if (board_read(&byte)) {
            jrpc_tuya_feed(&line, &byte, 1, now);
        } else {
            jrpc_tuya_poll(&line, now);
            jrpc_poll(&rpc, now);
            jrpc_firmware_poll(&firmware, now);
            board_wait();
        }
    }
}
