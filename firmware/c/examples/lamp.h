/* A lamp: what can be asked of it. How it is reached is the business of host.c, or of your board. */
#ifndef LAMP_H
#define LAMP_H

#include "jrpc.h"

extern const jrpc_method lamp_methods[];
extern const size_t lamp_method_count;

/* To be called every few milliseconds: does what takes time. */
void lamp_poll(uint32_t now_ms);

#endif
