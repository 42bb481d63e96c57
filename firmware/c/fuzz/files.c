/* Requests to the services for files and firmware, as records; before an empty one the power goes. What
 * is in the flash was left there by others: at first it is the second half of the data. */
#include "fuzz.h"
#include "jrpc_files.h"
#include "jrpc_firmware.h"

enum { SECTOR = 512, SECTORS = 12, UNIT = 4 };

static uint8_t memory[SECTOR * SECTORS];
static fuzz_message message;

static bool flash_read(void *context, uint32_t at, void *bytes, size_t size) {
    (void)context;
    REQUIRE(at <= sizeof memory && size <= sizeof memory - at);
    memcpy(bytes, memory + at, size);
    return true;
}

/* Flash that others have written may fail here, as a byte was written already. */
static bool flash_write(void *context, uint32_t at, const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    (void)context;
    REQUIRE(at % UNIT == 0 && size % UNIT == 0 && at <= sizeof memory && size <= sizeof memory - at);
    for (size_t byte = 0; byte < size; byte++) {
        if (memory[at + byte] != 0xFF) return false;
        memory[at + byte] = from[byte];
    }
    return true;
}

static bool flash_erase(void *context, uint32_t at) {
    (void)context;
    REQUIRE(at % SECTOR == 0 && at < sizeof memory);
    memset(memory + at, 0xFF, SECTOR);
    return true;
}

static void sends(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context;
    if (!fuzz_collect(&message, bytes, size, rest)) return;
    REQUIRE(jrpc_check((jrpc_slice){message.bytes, message.used}));
    message.used = 0;
}

static bool verify(const uint8_t signature[JRPC_SIGNATURE_SIZE], const char *text, size_t size) {
    return signature[0] == 0 && size > 0 && text[size - 1] == '\n';
}

static const jrpc_flash flash = {SECTOR, UNIT, flash_read, flash_write, flash_erase, NULL};
static const jrpc_method methods[] = {JRPC_FILES_METHODS, JRPC_FIRMWARE_METHODS};
static char work[256];
static const jrpc_files_config files_config = {
    .flash = &flash, .record_at = 0, .data_at = 4 * SECTOR, .size = SECTOR, .count = 4,
    .buffer = work, .buffer_size = sizeof work,
};
static const jrpc_firmware_config firmware_config = {
    .flash = &flash, .record_at = 2 * SECTOR, .image_at = {8 * SECTOR, 10 * SECTOR},
    .size = 2 * SECTOR, .version = "1", .target = "lamp", .buffer = work,
    .buffer_size = sizeof work, .verify = verify,
};

void fuzz_files(const uint8_t *data, size_t size) {
    static jrpc_files files;
    static jrpc_firmware firmware;
    static jrpc rpc;
    static char buffer[512];
    jrpc_config config = {.methods = methods, .method_count = sizeof methods / sizeof *methods,
                          .send = sends, .framing = JRPC_FRAME, .buffer = buffer,
                          .buffer_size = sizeof buffer, .files = &files, .firmware = &firmware};
    uint32_t now = 0;
    size_t record_size;
    char *record;
    if (size < 2) return;
    config.max_message = *data & 1 ? 244 : 512;
    message = (fuzz_message){.most = config.max_message, .is_counted = true};
    memset(memory, 0xFF, sizeof memory);
    for (size_t at = 0; *data & 2 && at < size / 2; at++) {
        memory[at * 37 % sizeof memory] = data[size - 1 - at];
    }
    REQUIRE(jrpc_init(&rpc, &config, now));
    REQUIRE(jrpc_files_init(&files, &files_config, now));
    REQUIRE(jrpc_firmware_init(&firmware, &firmware_config, now));
    data++, size--;
    while ((record = fuzz_record(&data, &size, &record_size))) {
        if (record_size == 0) {
            REQUIRE(jrpc_firmware_init(&firmware, &firmware_config, now));
            (void)jrpc_firmware_boot(&firmware);
            REQUIRE(jrpc_files_init(&files, &files_config, now));
        }
        jrpc_receive(&rpc, record, record_size, now += 1000);
        jrpc_firmware_poll(&firmware, now);
        free(record);
    }
}
