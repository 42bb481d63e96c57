/* Files and firmware on flash in memory, whose power a test cuts; it drives this line by line.
 *
 * The first argument is how many bytes the flash writes at once.
 *
 *     start TIME          the device starts; says `boot PLACE`
 *     take TIME BYTES     a message arrives
 *     poll TIME           says `restart` where that is due
 *     power UNITS         the power goes while so many more units are written or sectors erased; 0: never
 *     room BYTES          of a message
 *     signed              images have to be, from the next start on
 *     image PLACE SIZE    says `image SHA256` of what is there
 *     spoil PLACE         changes a byte there
 *
 * Answers: `sent BYTES`, `cut`, and `verify SIGNATURE TEXT`, which takes a line `yes` or `no`; an empty
 * line at last. Bytes are in hexadecimal, times in milliseconds. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jrpc_files.h"
#include "jrpc_firmware.h"
#include "jrpc_later.h"

#define EPOCH (0u - 500u) /* what is time 0 here, so that the clock wraps within many a test */

enum { SECTOR = 1024, SECTORS = 24, PLACE = 2 * SECTOR };
enum { FILES_RECORD = 0, FILES = 2 * SECTOR, FIRMWARE_RECORD = 10 * SECTOR, IMAGES = 12 * SECTOR };

static uint32_t unit = 8; /* bytes that are written at once */
static uint8_t memory[SECTORS * SECTOR];
static unsigned long power; /* 0: for ever */
static jmp_buf out_of_power;
static uint32_t dice = 1;

static uint8_t random_byte(void) { return (uint8_t)((dice = dice * 1664525u + 1013904223u) >> 24); }

/* Whether the power goes just now. */
static bool goes(void) { return power > 0 && --power == 0; }

static bool flash_read(void *context, uint32_t at, void *bytes, size_t size) {
    (void)context;
    if (at > sizeof memory || size > sizeof memory - at) abort();
    memcpy(bytes, memory + at, size);
    return true;
}

static bool flash_write(void *context, uint32_t at, const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    (void)context;
    if (at % unit || size % unit || at > sizeof memory || size > sizeof memory - at) abort();
    for (size_t start = 0; start < size; start += unit) {
        bool is_cut = goes();
        for (size_t byte = start; byte < start + unit; byte++) {
            if (memory[at + byte] != 0xFF) abort(); /* written twice */
            memory[at + byte] = is_cut ? from[byte] | random_byte() : from[byte];
        }
        if (is_cut) longjmp(out_of_power, 1);
    }
    return true;
}

static bool flash_erase(void *context, uint32_t at) {
    (void)context;
    if (at % SECTOR || at >= sizeof memory) abort();
    bool is_cut = goes();
    for (size_t byte = 0; byte < SECTOR; byte++) {
        memory[at + byte] = is_cut && random_byte() & 1 ? memory[at + byte] : 0xFF;
    }
    if (is_cut) longjmp(out_of_power, 1);
    return true;
}

static jrpc_flash flash = {SECTOR, 8, flash_read, flash_write, flash_erase, NULL};

static void print(const char *word, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    printf("%s ", word);
    while (size--) printf("%02x", *at++);
    putchar('\n');
}

static bool verify(const uint8_t signature[JRPC_SIGNATURE_SIZE], const char *text, size_t size) {
    char line[16] = "";
    print("verify", signature, JRPC_SIGNATURE_SIZE);
    print("text", text, size);
    puts("");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && line[0] == 'y';
}

static bool has_to_restart;

static void restart(void *context) {
    (void)context;
    has_to_restart = true;
}

/* ---- The device ---- */

static char sent[4096], work[1024], buffer[1024];
static size_t sent_size;
static jrpc rpc;
static jrpc_files files;
static jrpc_firmware firmware;
static jrpc_pending pending[2];
static const jrpc_method methods[] = {JRPC_FILES_METHODS, JRPC_FIRMWARE_METHODS};
static jrpc_config config;

static void send_piece(void *context, const char *bytes, size_t size, size_t rest) {
    (void)context;
    if (size > sizeof sent - sent_size) abort();
    memcpy(sent + sent_size, bytes, size);
    sent_size += size;
    if (rest) return;
    print("sent", sent, sent_size);
    sent_size = 0;
}

static const jrpc_files_config files_config = {
    .flash = &flash, .record_at = FILES_RECORD, .data_at = FILES, .size = PLACE, .count = 4,
    .buffer = work, .buffer_size = sizeof work, .window = 2,
};
static jrpc_firmware_config firmware_config = {
    .flash = &flash, .record_at = FIRMWARE_RECORD, .image_at = {IMAGES, IMAGES + 6 * SECTOR},
    .size = 6 * SECTOR, .version = "1.0.0", .target = "lamp", .buffer = work,
    .buffer_size = sizeof work, .window = 2, .restart = restart, .confirm_ms = 60000,
};

static void start(uint32_t now) {
    memset(pending, 0, sizeof pending);
    config.methods = methods;
    config.method_count = sizeof methods / sizeof *methods;
    config.send = send_piece;
    config.framing = JRPC_FRAME;
    config.buffer = buffer;
    config.buffer_size = sizeof buffer;
    config.files = &files;
    config.firmware = &firmware;
    config.later = &jrpc_later;
    config.pending = pending;
    config.pending_count = 2;
    if (!jrpc_firmware_init(&firmware, &firmware_config, now)) abort();
    printf("boot %d\n", jrpc_firmware_boot(&firmware));
    if (!jrpc_files_init(&files, &files_config, now)) abort();
    if (!jrpc_init(&rpc, &config, now)) abort();
}

static void take(const char *text, uint32_t now) {
    static char message[4096];
    size_t size = 0;
    for (unsigned byte; sscanf(text + 2 * size, "%2x", &byte) == 1; size++) message[size] = (char)byte;
    jrpc_receive(&rpc, message, size, now);
}

static void print_image(unsigned place, uint32_t size) {
    uint8_t digest[JRPC_SHA256_SIZE];
    if (!jrpc_flash_hash(&flash, firmware_config.image_at[place], size, digest)) abort();
    print("image", digest, sizeof digest);
}

static void obey(char *line) {
    const char *word = strtok(line, " \n"), *first = strtok(NULL, " \n"), *second = strtok(NULL, " \n");
    unsigned long number = first ? strtoul(first, NULL, 10) : 0;
    sent_size = 0;
    if (setjmp(out_of_power)) {
        puts("cut");
    } else if (strcmp(word, "start") == 0) {
        start(EPOCH + (uint32_t)number);
    } else if (strcmp(word, "take") == 0) {
        take(second, EPOCH + (uint32_t)number);
    } else if (strcmp(word, "power") == 0) {
        power = number;
    } else if (strcmp(word, "room") == 0) {
        config.max_message = number;
    } else if (strcmp(word, "signed") == 0) {
        firmware_config.verify = verify;
    } else if (strcmp(word, "image") == 0) {
        print_image((unsigned)number, (uint32_t)strtoul(second, NULL, 10));
    } else if (strcmp(word, "spoil") == 0) {
        memory[firmware_config.image_at[number] + 7] ^= 1;
    } else {
        has_to_restart = false;
        jrpc_poll(&rpc, EPOCH + (uint32_t)number);
        jrpc_firmware_poll(&firmware, EPOCH + (uint32_t)number);
        if (has_to_restart) puts("restart");
    }
    puts("");
    fflush(stdout);
}

int main(int count, char **arguments) {
    static char line[10000];
    if (count > 1) flash.unit = unit = (uint32_t)strtoul(arguments[1], NULL, 10);
    memset(memory, 0xFF, sizeof memory);
    config.max_message = 1024;
    while (fgets(line, sizeof line, stdin)) obey(line);
    return 0;
}
