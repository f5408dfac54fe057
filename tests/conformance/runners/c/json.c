#include "json.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
  arena *from;
  const char *at, *end;
  failure *f;
} reader;

static bool value(reader *r, json *into);

static void space(reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL && *r->at != '\0') {
    r->at++;
  }
}

static bool wrong(reader *r, const char *what) {
  return fail(r->f, "wrong JSON, %s, at: %.40s", what, r->at < r->end ? r->at : "its end");
}

static bool take(reader *r, char c) {
  if (r->at < r->end && *r->at == c) {
    r->at++;
    return true;
  }
  return false;
}

static bool literal(reader *r, json *into, const char *word, json_kind kind) {
  size_t len = strlen(word);
  if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) {
    return wrong(r, "unknown word");
  }
  r->at += len;
  into->kind = kind;
  return true;
}

static bool number(reader *r, json *into) {
  // The corpus is checked by stricter readers, and what is stored by the library: here only where it ends matters.
  size_t digits = 0;
  while (r->at < r->end && *r->at != '\0' && strchr("+-.eE0123456789", *r->at) != NULL) {
    digits += *r->at >= '0' && *r->at <= '9';
    r->at++;
  }
  into->kind = JSON_NUMBER;
  return digits > 0 || wrong(r, "no value");
}

static bool hex4(reader *r, uint32_t *code) {
  if (r->end - r->at < 4) {
    return wrong(r, "short escape");
  }
  char digits[5] = {r->at[0], r->at[1], r->at[2], r->at[3], 0};
  char *end;
  *code = (uint32_t)strtoul(digits, &end, 16);
  if (end != digits + 4) {
    return wrong(r, "wrong escape");
  }
  r->at += 4;
  return true;
}

static void put_utf8(text *to, uint32_t code) {
  char bytes[4];
  size_t len;
  if (code < 0x80) {
    bytes[0] = (char)code;
    len = 1;
  } else if (code < 0x800) {
    bytes[0] = (char)(0xc0 | code >> 6);
    len = 2;
  } else if (code < 0x10000) {
    bytes[0] = (char)(0xe0 | code >> 12);
    len = 3;
  } else {
    bytes[0] = (char)(0xf0 | code >> 18);
    len = 4;
  }
  for (size_t i = 1; i < len; i++) {
    bytes[i] = (char)(0x80 | (code >> 6 * (len - 1 - i) & 0x3f));
  }
  text_put(to, bytes, len);
}

static bool escape(reader *r, text *to) {
  static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
  char c = r->at < r->end ? *r->at++ : '\0';
  const char *name = c != '\0' ? strchr(names, c) : NULL;
  if (name != NULL) {
    text_put(to, &means[name - names], 1);
    return true;
  }
  uint32_t code, low;
  if (c != 'u' || !hex4(r, &code)) {
    return wrong(r, "wrong escape");
  }
  if (code >= 0xd800 && code < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
    const char *before = r->at;
    r->at += 2;
    if (!hex4(r, &low)) {
      return false;
    }
    if (low >= 0xdc00 && low < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else {
      r->at = before;
    }
  }
  put_utf8(to, code);
  return true;
}

static bool string(reader *r, json *into) {
  const char *start = r->at;
  text bytes = text_new(r->from);
  if (!take(r, '"')) {
    return wrong(r, "no string");
  }
  while (!take(r, '"')) {
    const char *plain = r->at;
    while (r->at < r->end && *r->at != '"' && *r->at != '\\') {
      r->at++;
    }
    text_put(&bytes, plain, (size_t)(r->at - plain));
    if (r->at == r->end) {
      return wrong(r, "a string without an end");
    }
    if (take(r, '\\') && !escape(r, &bytes)) {
      return false;
    }
  }
  into->kind = JSON_TEXT;
  into->source = start;
  into->source_len = (size_t)(r->at - start);
  into->bytes = bytes.bytes;
  into->len = bytes.len;
  return true;
}

// Makes room for one more value.
static void grow(reader *r, json *into, size_t *room) {
  if (into->count < *room) {
    return;
  }
  *room = *room == 0 ? 4 : 2 * *room;
  json *items = arena_alloc(r->from, *room * sizeof(json)), *names = arena_alloc(r->from, *room * sizeof(json));
  if (into->count > 0) {
    memcpy(items, into->items, into->count * sizeof(json));
    memcpy(names, into->names, into->count * sizeof(json));
  }
  into->items = items;
  into->names = names;
}

static bool container(reader *r, json *into, char close, json_kind kind) {
  size_t room = 0;
  r->at++;
  into->kind = kind;
  space(r);
  if (take(r, close)) {
    return true;
  }
  for (;;) {
    grow(r, into, &room);
    space(r);
    if (kind == JSON_OBJECT) {
      if (!string(r, &into->names[into->count])) {
        return false;
      }
      space(r);
      if (!take(r, ':')) {
        return wrong(r, "no colon");
      }
    }
    if (!value(r, &into->items[into->count])) {
      return false;
    }
    into->count++;
    space(r);
    if (take(r, close)) {
      return true;
    }
    if (!take(r, ',')) {
      return wrong(r, "no comma");
    }
  }
}

static bool value(reader *r, json *into) {
  space(r);
  const char *start = r->at;
  bool done;
  switch (r->at < r->end ? *r->at : '\0') {
  case '{':
    done = container(r, into, '}', JSON_OBJECT);
    break;
  case '[':
    done = container(r, into, ']', JSON_LIST);
    break;
  case '"':
    done = string(r, into);
    break;
  case 'n':
    done = literal(r, into, "null", JSON_NULL);
    break;
  case 't':
    done = literal(r, into, "true", JSON_BOOL);
    break;
  case 'f':
    done = literal(r, into, "false", JSON_BOOL);
    break;
  default:
    done = number(r, into);
  }
  into->source = start;
  into->source_len = (size_t)(r->at - start);
  return done;
}

const json *json_parse(arena *from, const char *source, size_t len, failure *f) {
  reader r = {from, source, source + len, f};
  json *read = arena_alloc(from, sizeof(json));
  if (!value(&r, read)) {
    return NULL;
  }
  space(&r);
  if (r.at != r.end) {
    wrong(&r, "something follows");
    return NULL;
  }
  return read;
}

const json *json_field(const json *object, const char *name) {
  for (size_t i = 0; object != NULL && object->kind == JSON_OBJECT && i < object->count; i++) {
    if (json_is(&object->names[i], name)) {
      return &object->items[i];
    }
  }
  return NULL;
}

bool json_is(const json *value, const char *string) {
  size_t len = strlen(string);
  return value != NULL && value->kind == JSON_TEXT && value->len == len && memcmp(value->bytes, string, len) == 0;
}

bool json_true(const json *value) { return value != NULL && value->kind == JSON_BOOL && *value->source == 't'; }

static bool is_whole(const json *number) {
  return memchr(number->source, '.', number->source_len) == NULL &&
         memchr(number->source, 'e', number->source_len) == NULL &&
         memchr(number->source, 'E', number->source_len) == NULL;
}

// The text of a number for strtod and its like.
static void copy_number(const json *number, char *into, size_t room) {
  size_t len = number->source_len < room ? number->source_len : room - 1;
  memcpy(into, number->source, len);
  into[len] = '\0';
}

bool json_count(const json *value, size_t *count) {
  if (value == NULL || value->kind != JSON_NUMBER || !is_whole(value) || *value->source == '-' ||
      value->source_len > 18) {
    return false;
  }
  char digits[32];
  copy_number(value, digits, sizeof digits);
  *count = (size_t)strtoull(digits, NULL, 10);
  return true;
}

// The digits of a whole number, that of a double included; false for a double that is not whole.
static bool whole_digits(const json *number, char *into, size_t room) {
  copy_number(number, into, room);
  if (!is_whole(number)) {
    double exact = strtod(into, NULL);
    int len = snprintf(into, room, "%.0f", exact);
    if (len < 0 || (size_t)len >= room || strtod(into, NULL) != exact) {
      return false;
    }
  }
  if (strcmp(into, "-0") == 0) {
    memcpy(into, "0", 2);
  }
  return true;
}

static bool same_number(const json *a, const json *b) {
  char x[512], y[512];
  if (!is_whole(a) && !is_whole(b)) {
    copy_number(a, x, sizeof x);
    copy_number(b, y, sizeof y);
    return strtod(x, NULL) == strtod(y, NULL);
  }
  return whole_digits(a, x, sizeof x) && whole_digits(b, y, sizeof y) && strcmp(x, y) == 0;
}

static const json *named(const json *object, const json *name) {
  for (size_t i = 0; i < object->count; i++) {
    const json *other = &object->names[i];
    if (other->len == name->len && memcmp(other->bytes, name->bytes, name->len) == 0) {
      return &object->items[i];
    }
  }
  return NULL;
}

bool json_same(const json *a, const json *b) {
  if (a->kind != b->kind || a->count != b->count) {
    return false;
  }
  switch (a->kind) {
  case JSON_NULL:
    return true;
  case JSON_BOOL:
    return *a->source == *b->source;
  case JSON_NUMBER:
    return same_number(a, b);
  case JSON_TEXT:
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
  case JSON_LIST:
  case JSON_OBJECT:
    break;
  }
  for (size_t i = 0; i < a->count; i++) {
    const json *other = a->kind == JSON_LIST ? &b->items[i] : named(b, &a->names[i]);
    if (other == NULL || !json_same(&a->items[i], other)) {
      return false;
    }
  }
  return true;
}
