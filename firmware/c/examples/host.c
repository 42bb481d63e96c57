/* The lamp as a program on a computer with Linux, to try it without a board:
 *
 *     cc -std=c99 -I.. -o lamp host.c lamp.c ../jrpc*.c
 *     ./lamp tcp 8805           (or udp; 0: any free port)
 *     ./lamp uart /dev/ttyUSB0  (or dp: DataPoint 232; any terminal, such as /dev/pts/7)
 *
 * On a board, what is here becomes your UART's or your network's. */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "jrpc_calls.h"
#include "jrpc_later.h"
#include "jrpc_lossy.h"
#include "jrpc_stream.h"
#include "jrpc_tuya.h"
#include "lamp.h"

#define PEERS 8
#define ROOM 65536
#define SILENT_MS 60000u /* then another peer may have the place of one on UDP */

enum { SERIAL_MESSAGE = 1024, DATAPOINT_MESSAGE = 254, DATAGRAM_MESSAGE = 1400, STREAM_MESSAGE = ROOM };

/* Everything that one peer needs. A board has one of them, and smaller buffers. */
typedef struct {
    jrpc rpc;
    jrpc_config config;
    jrpc_remembered remembered[64];
    jrpc_pending pending[4];
    jrpc_open open[4];
    char buffer[DATAGRAM_MESSAGE], received[ROOM];
    jrpc_tuya tuya;
    jrpc_stream stream;
    struct sockaddr_in address;
    uint32_t heard_at;
    int file; /* -1: this place is free */
} peer;

static peer peers[PEERS];

static uint32_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint32_t)time.tv_sec * 1000 + (uint32_t)(time.tv_nsec / 1000000);
}

static uint32_t random_bits(void) {
    static FILE *source;
    uint32_t bits = 0;
    if (source == NULL) source = fopen("/dev/urandom", "rb");
    if (source == NULL || fread(&bits, sizeof bits, 1, source) != 1) abort();
    return bits;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void write_all(void *context, const uint8_t *bytes, size_t size) {
    const peer *to = context;
    while (size > 0) {
        ssize_t written = write(to->file, bytes, size);
        if (written < 0) return; /* the other end is gone, which reading will tell */
        bytes += written;
        size -= (size_t)written;
    }
}

static void write_text(void *context, const char *bytes, size_t size) {
    write_all(context, (const uint8_t *)bytes, size);
}

static void send_datagram(void *context, const char *bytes, size_t size, size_t rest) {
    const peer *to = context;
    (void)rest; /* always 0 */
    sendto(to->file, bytes, size, 0, (const struct sockaddr *)&to->address, sizeof to->address);
}

/* Begin with a peer; what differs between the ways to reach it is set already. */
static void begin(peer *new, bool is_lossy, size_t max_message, jrpc_framing framing) {
    jrpc_config *config = &new->config;
    config->methods = lamp_methods;
    config->method_count = lamp_method_count;
    config->framing = framing;
    config->buffer = new->buffer;
    config->buffer_size = sizeof new->buffer;
    config->max_message = max_message;
    config->random = random_bits;
    config->later = &jrpc_later;
    config->pending = new->pending;
    config->pending_count = sizeof new->pending / sizeof *new->pending;
    config->calls = &jrpc_calls;
    config->open = new->open;
    config->open_count = sizeof new->open / sizeof *new->open;
    config->first_retry_ms = 500;
    if (is_lossy) {
        config->is_lossy = true;
        config->lossy = &jrpc_lossy;
        config->remembered = new->remembered;
        config->remembered_count = sizeof new->remembered / sizeof *new->remembered;
    }
    if (!jrpc_init(&new->rpc, config, now())) abort();
}

/* A place for a new peer; NULL: all are in use. */
static peer *find_place(void) {
    for (peer *each = peers; each < peers + PEERS; each++) {
        if (each->file >= 0) continue;
        memset(each, 0, sizeof *each);
        return each;
    }
    return NULL;
}

/* ---- A serial line ---- */

static int open_terminal(const char *path) {
    struct termios settings;
    int file = open(path, O_RDWR | O_NOCTTY);
    if (file < 0 || tcgetattr(file, &settings) < 0) fail(path);
    cfmakeraw(&settings);
    cfsetspeed(&settings, B115200);
    tcsetattr(file, TCSANOW, &settings);
    return file;
}

/* A module asks for signs of life, and what the device is. */
static void answer_module(void *context, uint8_t command, const uint8_t *data, size_t size) {
    static const char product[] = "{\"p\":\"lamp\",\"v\":\"1.0.0\",\"m\":0}";
    static uint8_t has_run;
    peer *line = context;
    (void)data, (void)size;
    if (command == JRPC_TUYA_HEARTBEAT) {
        jrpc_tuya_write(&line->tuya, command, &has_run, 1);
        has_run = 1;
    } else if (command == JRPC_TUYA_PRODUCT) {
        jrpc_tuya_write(&line->tuya, command, (const uint8_t *)product, sizeof product - 1);
    }
}

static void begin_line(const char *path, bool is_datapoint) {
    peer *line = find_place();
    line->file = open_terminal(path);
    line->tuya = (jrpc_tuya){
        .rpc = is_datapoint ? NULL : &line->rpc, .datapoint_rpc = is_datapoint ? &line->rpc : NULL,
        .bytes = (uint8_t *)line->received, .room = JRPC_TUYA_ROOM(SERIAL_MESSAGE),
        .write = write_all, .on_frame = answer_module, .context = line,
    };
    line->config.send = is_datapoint ? jrpc_tuya_send_datapoint : jrpc_tuya_send;
    line->config.send_context = &line->tuya;
    line->config.is_shared = true;
    begin(line, true, is_datapoint ? DATAPOINT_MESSAGE : SERIAL_MESSAGE, JRPC_FRAME);
    printf("listening %s\n", path);
}

static void read_line(peer *line) {
    uint8_t bytes[256];
    ssize_t size = read(line->file, bytes, sizeof bytes);
    if (size <= 0) exit(0); /* unplugged */
    jrpc_tuya_feed(&line->tuya, bytes, (size_t)size, now());
}

/* ---- TCP and UDP ---- */

static int open_socket(int type, const char *scheme, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1, file = socket(AF_INET, type, 0);
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (file < 0 || bind(file, (struct sockaddr *)&address, sizeof address) < 0) fail(scheme);
    if (type == SOCK_STREAM && listen(file, PEERS) < 0) fail(scheme);
    getsockname(file, (struct sockaddr *)&address, &size);
    printf("listening %s://127.0.0.1:%d\n", scheme, ntohs(address.sin_port));
    return file;
}

static void accept_connection(int listener) {
    int on = 1, file = accept(listener, NULL, NULL);
    peer *new = file < 0 ? NULL : find_place();
    if (new == NULL) {
        if (file >= 0) close(file);
        return;
    }
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    new->file = file;
    new->stream = (jrpc_stream){.rpc = &new->rpc, .bytes = new->received, .room = sizeof new->received,
                                .write = write_text, .context = new};
    new->config.send = jrpc_stream_send;
    new->config.send_context = &new->stream;
    begin(new, false, STREAM_MESSAGE, JRPC_STREAM);
}

static void end_connection(peer *gone) {
    jrpc_end_calls(&gone->rpc);
    close(gone->file);
    gone->file = -1;
}

static void read_connection(peer *from) {
    char bytes[4096];
    ssize_t size = read(from->file, bytes, sizeof bytes);
    if (size <= 0 || !jrpc_stream_feed(&from->stream, bytes, (size_t)size, now())) end_connection(from);
}

/* Whom a datagram is from: each address is a peer of its own. NULL: there is no room for another. */
static peer *find_sender(int file, const struct sockaddr_in *address) {
    for (peer *each = peers; each < peers + PEERS; each++) {
        if (each->file >= 0 && each->address.sin_port == address->sin_port &&
            each->address.sin_addr.s_addr == address->sin_addr.s_addr) {
            return each;
        }
    }
    peer *new = find_place();
    if (new == NULL) return NULL;
    new->file = file;
    new->address = *address;
    new->config.send = send_datagram;
    new->config.send_context = new;
    begin(new, true, DATAGRAM_MESSAGE, JRPC_DATAGRAM);
    return new;
}

static void read_datagram(int file) {
    static char bytes[ROOM];
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    ssize_t size = recvfrom(file, bytes, sizeof bytes, 0, (struct sockaddr *)&address, &length);
    peer *from = size < 0 ? NULL : find_sender(file, &address);
    if (from == NULL) return;
    from->heard_at = now();
    jrpc_receive(&from->rpc, bytes, (size_t)size, from->heard_at);
}

/* ---- The loop ---- */

static void poll_peer(peer *each, bool is_datagram) {
    uint32_t time = now();
    jrpc_poll(&each->rpc, time);
    if (each->tuya.bytes != NULL) {
        jrpc_tuya_poll(&each->tuya, time);
    } else if (is_datagram) {
        if (time - each->heard_at <= SILENT_MS) return;
        jrpc_end_calls(&each->rpc);
        each->file = -1;
    } else if (!jrpc_stream_poll(&each->stream, time)) {
        end_connection(each);
    }
}

static void run(int socket, bool is_datagram) {
    for (;;) {
        struct pollfd files[PEERS + 1] = {{socket, POLLIN, 0}};
        for (int i = 0; i < PEERS; i++) {
            files[i + 1] = (struct pollfd){is_datagram ? -1 : peers[i].file, POLLIN, 0};
        }
        int ready = poll(files, PEERS + 1, 20);
        for (int i = 0; i < PEERS && ready > 0; i++) {
            if (files[i + 1].revents == 0) continue;
            if (peers[i].tuya.bytes != NULL) read_line(&peers[i]);
            else read_connection(&peers[i]);
        }
        if (files[0].revents != 0) {
            if (is_datagram) read_datagram(socket);
            else accept_connection(socket);
        }
        for (int i = 0; i < PEERS; i++) {
            /* What waits to be read may be the rest of a frame: it is read first. */
            if (peers[i].file >= 0 && files[i + 1].revents == 0) poll_peer(&peers[i], is_datagram);
        }
        lamp_poll(now());
    }
}

int main(int count, char **arguments) {
    int socket = -1;
    const char *way = count == 3 ? arguments[1] : "";
    for (int i = 0; i < PEERS; i++) peers[i].file = -1;
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(way, "tcp") == 0) {
        socket = open_socket(SOCK_STREAM, way, arguments[2]);
    } else if (strcmp(way, "udp") == 0) {
        socket = open_socket(SOCK_DGRAM, way, arguments[2]);
    } else if (strcmp(way, "uart") == 0 || strcmp(way, "dp") == 0) {
        begin_line(arguments[2], way[0] == 'd');
    } else {
        fprintf(stderr, "usage: %s tcp|udp PORT, or %s uart|dp DEVICE\n", arguments[0], arguments[0]);
        return 2;
    }
    fflush(stdout);
    run(socket, strcmp(way, "udp") == 0);
}
