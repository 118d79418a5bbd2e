/* Memory that lives until a hook returns, and text. Never frees one piece: all of it at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "weir_sdk.h"

#define FIRST_BYTES 16384
#define ALIGN 16

typedef struct block {
  struct block *before;
  size_t used, size;
  _Alignas(ALIGN) unsigned char bytes[];
} block_t;

static _Alignas(ALIGN) unsigned char first[FIRST_BYTES];
static size_t first_used;
static block_t *blocks;
static bool finished;

void weir_arena_begin(void) {
  if (!finished) return;
  while (blocks) {
    block_t *before = blocks->before;
    free(blocks);
    blocks = before;
  }
  first_used = 0;
  finished = false;
}

void weir_arena_end(void) { finished = true; }

static void *take(size_t bytes) {
  /* The host asks for the arguments of the next hook before that hook is called. */
  weir_arena_begin();
  if (bytes > SIZE_MAX / 2) abort();
  bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
  if (bytes <= FIRST_BYTES - first_used) {
    first_used += bytes;
    return first + first_used - bytes;
  }
  if (!blocks || blocks->size - blocks->used < bytes) {
    size_t size = bytes > 4 * FIRST_BYTES ? bytes : 4 * FIRST_BYTES;
    block_t *made = malloc(sizeof *made + size);
    if (!made) abort();
    made->before = blocks, made->used = 0, made->size = size;
    blocks = made;
  }
  blocks->used += bytes;
  return blocks->bytes + blocks->used - bytes;
}

void *weir_alloc(size_t bytes) { return memset(take(bytes), 0, bytes); }

void *weir_keep(size_t bytes) {
  void *made = calloc(1, bytes ? bytes : 1);
  if (!made) abort();
  return made;
}

void *weir_arena_malloc(size_t bytes) { return take(bytes); }
void weir_arena_free(void *ptr) { (void)ptr; }
void *weir_arena_realloc(void *ptr, size_t bytes) {
  /* The bindings only ever make new pieces. */
  if (ptr) abort();
  return take(bytes);
}

void *weir_arena_grow(void *ptr, size_t len, size_t item) {
  /* Room doubles where the length is a power of two, so that no capacity has to be kept. */
  if (len & (len - 1)) return ptr;
  void *made = weir_alloc((len ? 2 * len : 1) * item);
  return len ? memcpy(made, ptr, len * item) : made;
}

#ifdef __wasm__
/* In place of the bindings' own, which is weak and could not tell whose turn it is. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size) {
  if (new_size == 0) return (void *)align;
  void *made = take(new_size);
  return old_size ? memcpy(made, ptr, old_size < new_size ? old_size : new_size) : made;
}
#endif

weir_string_t weir_text(const char *text) { return (weir_string_t){(uint8_t *)text, strlen(text)}; }

weir_string_t weir_formatted(const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  int len = vsnprintf(NULL, 0, format, arguments);
  if (len < 0) abort();
  char *made = weir_alloc((size_t)len + 1);
  vsnprintf(made, (size_t)len + 1, format, again);
  va_end(again);
  return (weir_string_t){(uint8_t *)made, (size_t)len};
}

weir_string_t weir_format(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  weir_string_t made = weir_formatted(format, arguments);
  va_end(arguments);
  return made;
}

bool weir_same(weir_string_t a, weir_string_t b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }
bool weir_is(weir_string_t text, const char *other) { return weir_same(text, weir_text(other)); }

bool weir_starts_with(weir_string_t text, weir_string_t prefix) {
  return text.len >= prefix.len && weir_same((weir_string_t){text.ptr, prefix.len}, prefix);
}

bool weir_matches(weir_string_t pattern, weir_string_t text) {
  size_t at = 0, in = 0, star = SIZE_MAX, from = 0;
  while (in < text.len) {
    if (at < pattern.len && pattern.ptr[at] == '*') star = at++, from = in;
    else if (at < pattern.len && pattern.ptr[at] == text.ptr[in]) at++, in++;
    else if (star != SIZE_MAX) at = star + 1, in = ++from;
    else return false;
  }
  while (at < pattern.len && pattern.ptr[at] == '*') at++;
  return at == pattern.len;
}

weir_string_t weir_replace(weir_string_t text, weir_string_t what, weir_string_t by) {
  size_t count = 0;
  if (what.len == 0) return text;
  for (size_t at = 0; at + what.len <= text.len;)
    if (memcmp(text.ptr + at, what.ptr, what.len) == 0) count++, at += what.len;
    else at++;
  if (count == 0) return text;
  weir_string_t made = {weir_alloc(text.len - count * what.len + count * by.len + 1), 0};
  for (size_t at = 0; at < text.len;) {
    if (at + what.len <= text.len && memcmp(text.ptr + at, what.ptr, what.len) == 0) {
      memcpy(made.ptr + made.len, by.ptr, by.len);
      made.len += by.len, at += what.len;
    } else made.ptr[made.len++] = text.ptr[at++];
  }
  return made;
}
