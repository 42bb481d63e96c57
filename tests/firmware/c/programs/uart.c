/* A UART for firmware/c/examples/uart.c: the device that the environment names as LINE. */
#define _DEFAULT_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

size_t uart_read(uint8_t *bytes, size_t room);
void uart_write(void *context, const uint8_t *bytes, size_t size);
uint32_t millis(void);

static int line(void) {
    static int file = -1;
    struct termios settings;
    if (file >= 0) return file;
    file = open(getenv("LINE"), O_RDWR | O_NOCTTY);
    if (file < 0 || tcgetattr(file, &settings) < 0) exit(1);
    cfmakeraw(&settings);
    tcsetattr(file, TCSANOW, &settings);
    puts("ready");
    fflush(stdout);
    return file;
}

size_t uart_read(uint8_t *bytes, size_t room) {
    struct pollfd readable = {line(), POLLIN, 0};
    if (poll(&readable, 1, 20) == 0) return 0;
    ssize_t size = read(line(), bytes, room);
    if (size <= 0) exit(0); /* unplugged */
    return (size_t)size;
}

void uart_write(void *context, const uint8_t *bytes, size_t size) {
    (void)context;
    while (size > 0) {
        ssize_t written = write(line(), bytes, size);
        if (written < 0) exit(1);
        bytes += written;
        size -= (size_t)written;
    }
}

uint32_t millis(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000 + (uint32_t)(now.tv_nsec / 1000000);
}
