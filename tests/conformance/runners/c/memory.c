#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct block {
  struct block *next;
  // The bytes of the caller follow, aligned as malloc aligns.
  max_align_t start[];
} block;

struct arena {
  block *blocks;
};

static void *need(void *memory) {
  if (memory == NULL) {
    fputs("out of memory\n", stderr);
    abort();
  }
  return memory;
}

arena *arena_new(void) { return need(calloc(1, sizeof(arena))); }

void *arena_alloc(arena *from, size_t size) {
  block *made = need(malloc(sizeof(block) + size + 1));
  made->next = from->blocks;
  from->blocks = made;
  return memset(made->start, 0, size + 1);
}

void arena_free(arena *from) {
  while (from->blocks != NULL) {
    block *next = from->blocks->next;
    free(from->blocks);
    from->blocks = next;
  }
  free(from);
}

text text_new(arena *from) {
  text made = {from, arena_alloc(from, 64), 0, 64};
  return made;
}

void text_put(text *to, const char *bytes, size_t len) {
  if (len > to->room - to->len) {
    to->room = 2 * (to->len + len);
    char *larger = arena_alloc(to->from, to->room);
    memcpy(larger, to->bytes, to->len);
    to->bytes = larger;
  }
  if (len > 0) {
    memcpy(to->bytes + to->len, bytes, len);
  }
  to->len += len;
  to->bytes[to->len] = '\0';
}

void text_puts(text *to, const char *string) { text_put(to, string, strlen(string)); }

void text_printf(text *to, const char *format, ...) {
  char line[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text_puts(to, line);
}

// How many bytes the character at the start of `bytes` has; 0 when it is not UTF-8.
static size_t utf8_len(const unsigned char *bytes, size_t len) {
  size_t want = *bytes < 0x80 ? 1 : *bytes >= 0xc2 && *bytes < 0xe0 ? 2 : (*bytes & 0xf0) == 0xe0 ? 3 : 4;
  if (want > len || *bytes > 0xf4 || (*bytes >= 0x80 && *bytes < 0xc2)) {
    return 0;
  }
  for (size_t i = 1; i < want; i++) {
    if ((bytes[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  return want;
}

void text_put_json(text *to, const char *bytes, size_t len) {
  text_puts(to, "\"");
  for (size_t i = 0; i < len;) {
    unsigned char c = (unsigned char)bytes[i];
    size_t one = utf8_len((const unsigned char *)bytes + i, len - i);
    if (one == 0) {
      text_puts(to, "\\ufffd");
    } else if (c == '"' || c == '\\') {
      text_printf(to, "\\%c", c);
    } else if (c < 0x20) {
      text_printf(to, "\\u%04x", c);
    } else {
      text_put(to, &bytes[i], one);
    }
    i += one == 0 ? 1 : one;
  }
  text_puts(to, "\"");
}

bool fail(failure *f, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(f->why, sizeof f->why, format, arguments);
  va_end(arguments);
  return false;
}

bool fail_in(failure *f, const char *format, ...) {
  char before[sizeof f->why];
  memcpy(before, f->why, sizeof before);
  va_list arguments;
  va_start(arguments, format);
  int len = vsnprintf(f->why, sizeof f->why, format, arguments);
  va_end(arguments);
  if (len >= 0 && (size_t)len < sizeof f->why) {
    size_t room = sizeof f->why - (size_t)len - 1;
    size_t rest = strnlen(before, room);
    memcpy(f->why + len, before, rest);
    f->why[(size_t)len + rest] = '\0';
  }
  return false;
}
