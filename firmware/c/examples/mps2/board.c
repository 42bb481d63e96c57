/* The least that a Cortex-M3 needs to run C, with one UART (CMSDK) and a clock of milliseconds.
 *
 * The board is Arm's MPS2 with image AN385, which qemu has too: qemu-system-arm -M mps2-an385. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART 0x40004000u
enum { DATA = 0, STATE = 4, CONTROL = 8, CLEAR = 12, BAUD = 16 };
enum { TRANSMITTER_FULL = 1, RECEIVER_FULL = 2 };
enum { SEND = 1, RECEIVE = 2, INTERRUPT_ON_RECEIVE = 8 };
enum { RECEIVED = 2 };

#define SYSTICK_CONTROL 0xE000E010u
#define SYSTICK_RELOAD 0xE000E014u
#define SYSTICK_NOW 0xE000E018u
#define INTERRUPTS_ENABLED 0xE000E100u
#define RESET_CONTROL 0xE000ED0Cu
#define CLOCK_HZ 25000000u

#define RING 4096u /* bytes; a power of two */

extern uint32_t data_at, data_from, data_to, bss_from, bss_to, stack_top; /* mps2.ld */
int main(void);

static volatile uint32_t ticks, written, taken;
static volatile uint8_t ring[RING];

static void tick(void) { ticks++; }

static void received(void) {
    REGISTER(UART + CLEAR) = RECEIVED;
    while (REGISTER(UART + STATE) & RECEIVER_FULL) {
        uint8_t byte = (uint8_t)REGISTER(UART + DATA);
        if (written - taken < RING) ring[written++ % RING] = byte;
    }
}

static void halt(void) {
    for (;;) board_wait();
}

void start(void);
void start(void) {
    uint32_t *from = &data_at;
    for (uint32_t *to = &data_from; to < &data_to;) *to++ = *from++;
    for (uint32_t *to = &bss_from; to < &bss_to;) *to++ = 0;
    REGISTER(UART + BAUD) = CLOCK_HZ / 115200u;
    REGISTER(UART + CONTROL) = SEND | RECEIVE | INTERRUPT_ON_RECEIVE;
    REGISTER(INTERRUPTS_ENABLED) = 1; /* number 0: the UART has received */
    REGISTER(SYSTICK_RELOAD) = CLOCK_HZ / 1000u - 1u;
    REGISTER(SYSTICK_NOW) = 0;
    REGISTER(SYSTICK_CONTROL) = 7; /* the processor's clock, interrupts, on */
    main();
    halt();
}

/* Where the stack begins, where the program does, then exceptions 2 to 15 and interrupt 0. */
typedef union {
    void (*run)(void);
    const uint32_t *stack;
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[17] = {
    {.stack = &stack_top}, {start}, {halt}, {halt}, {halt}, {halt}, {halt}, {0}, {0},
    {0},                   {0},     {halt}, {halt}, {0},    {halt}, {tick}, {received},
};

uint32_t board_ms(void) { return ticks; }

bool board_read(uint8_t *byte) {
    if (taken == written) return false;
    *byte = ring[taken % RING];
    taken++;
    return true;
}

void board_write(const void *bytes, size_t size) {
    const uint8_t *next = bytes;
    for (; size; size--) {
        while (REGISTER(UART + STATE) & TRANSMITTER_FULL) {}
        REGISTER(UART + DATA) = *next++;
    }
}

void board_restart(void) {
    REGISTER(RESET_CONTROL) = 0x05FA0004u; /* the key, and the request */
    halt();
}

void board_wait(void) { __asm__ volatile("wfi"); }
