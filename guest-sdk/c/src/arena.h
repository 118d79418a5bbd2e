/* Between the SDK's own files: see memory.c. */
#ifndef WEIR_ARENA_H
#define WEIR_ARENA_H
#include "weir_sdk.h"

void weir_arena_begin(void); /* frees what hooks before left behind */
void weir_arena_end(void);   /* the hook is over; what it answers is read before the next one begins */
void *weir_arena_grow(void *ptr, size_t len, size_t item);
weir_string_t weir_formatted(const char *format, va_list arguments);
#endif
