// Memory that is freed all at once, text that grows in it, and the reason why a step failed.

#ifndef MEMORY_H
#define MEMORY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct arena arena;

arena *arena_new(void);
// Never NULL: the program ends when there is no memory.
void *arena_alloc(arena *from, size_t size);
void arena_free(arena *from);

// Bytes that grow. `bytes` ends with a NUL that `len` does not count.
typedef struct text {
  arena *from;
  char *bytes;
  size_t len, room;
} text;

text text_new(arena *from);
void text_put(text *to, const char *bytes, size_t len);
void text_puts(text *to, const char *string);
void text_printf(text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Puts a string of JSON, with its quotes.
void text_put_json(text *to, const char *bytes, size_t len);

// Why something failed: the last reason given.
typedef struct failure {
  char why[1000];
} failure;

// Notes the reason and returns false.
bool fail(failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Puts words in front of the reason, and returns false.
bool fail_in(failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
