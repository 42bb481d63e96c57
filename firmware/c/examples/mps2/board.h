/* What a program needs of the board: bytes of its UART, and a clock. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds since the start; wraps after 49 days. */
uint32_t board_ms(void);

/* Take the next byte that the UART has received; false: there is none. */
bool board_read(uint8_t *byte);

/* Send bytes; returns once the UART has the last of them. */
void board_write(const void *bytes, size_t size);

/* Start anew; does not return. */
void board_restart(void);

/* Sleep until a byte comes, or the next millisecond. */
void board_wait(void);

#endif
