#include "value.h"

#include <string.h>

static sj_slice slice(text built) {
  sj_slice bytes = {(const uint8_t *)built.bytes, built.len};
  return bytes;
}

bool slice_same(sj_slice a, sj_slice b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }

int shown(sj_slice bytes) { return bytes.len < 200 ? (int)bytes.len : 200; }

static bool is_tagged(const json *described) {
  return described->kind == JSON_OBJECT && described->count == 1 && described->names[0].len > 0 &&
         described->names[0].bytes[0] == '$';
}

static bool unknown(const json *described, failure *f) {
  sj_slice source = {(const uint8_t *)described->source, described->source_len};
  return fail(f, "%.*s is no value of the corpus", shown(source), described->source);
}

static bool base64(const json *argument, text *into) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < argument->len && argument->bytes[i] != '='; i++) {
    const char *digit = argument->bytes[i] != '\0' ? strchr(alphabet, argument->bytes[i]) : NULL;
    if (digit == NULL) {
      return false;
    }
    bits = bits << 6 | (uint32_t)(digit - alphabet);
    count += 6;
    if (count >= 8) {
      count -= 8;
      char octet = (char)(bits >> count & 0xff);
      text_put(into, &octet, 1);
    }
  }
  return true;
}

// Bytes, where they may stand: `built` is left alone when the value is none.
static bool raw(arena *from, const json *described, value *built, bool *found, failure *f) {
  *found = is_tagged(described);
  if (!*found) {
    return true;
  }
  const json *argument = &described->items[0], *tag = &described->names[0];
  text bytes = text_new(from);
  if (json_is(tag, "$bytes")) {
    if (argument->kind != JSON_TEXT || !base64(argument, &bytes)) {
      return unknown(described, f);
    }
  } else if (json_is(tag, "$bytes_repeat")) {
    size_t octet, count;
    if (argument->kind != JSON_LIST || argument->count != 2 || !json_count(&argument->items[0], &octet) ||
        octet > 255 || !json_count(&argument->items[1], &count)) {
      return unknown(described, f);
    }
    bytes.bytes = memset(arena_alloc(from, count), (int)octet, count);
    bytes.len = count;
  } else {
    *found = false;
    return true;
  }
  built->codec = SJ_RAW;
  built->bytes = slice(bytes);
  return true;
}

static bool tagged(const json *described, text *into, bool float_as_string, failure *f) {
  const json *tag = &described->names[0], *argument = &described->items[0];
  size_t count;
  if (json_is(tag, "$int") && argument->kind == JSON_TEXT) {
    text_put(into, argument->bytes, argument->len);
  } else if (json_is(tag, "$float") &&
             (json_is(argument, "NaN") || json_is(argument, "Infinity") || json_is(argument, "-Infinity"))) {
    text_put(into, float_as_string ? argument->source : argument->bytes,
             float_as_string ? argument->source_len : argument->len);
  } else if (json_is(tag, "$nested") && json_count(argument, &count)) {
    for (size_t i = 0; i < count; i++) {
      text_puts(into, "[");
    }
    for (size_t i = 0; i < count; i++) {
      text_puts(into, "]");
    }
  } else if (json_is(tag, "$repeat") && argument->kind == JSON_LIST && argument->count == 2 &&
             argument->items[0].kind == JSON_TEXT && json_count(&argument->items[1], &count)) {
    text_puts(into, "\"");
    for (size_t i = 0; i < count; i++) {
      // The source without its quotes.
      text_put(into, argument->items[0].source + 1, argument->items[0].source_len - 2);
    }
    text_puts(into, "\"");
  } else {
    return unknown(described, f);
  }
  return true;
}

static bool write(const json *described, text *into, bool float_as_string, failure *f) {
  if (is_tagged(described)) {
    return tagged(described, into, float_as_string, f);
  }
  if (described->kind != JSON_LIST && described->kind != JSON_OBJECT) {
    text_put(into, described->source, described->source_len);
    return true;
  }
  bool list = described->kind == JSON_LIST;
  text_puts(into, list ? "[" : "{");
  for (size_t i = 0; i < described->count; i++) {
    text_puts(into, i > 0 ? "," : "");
    if (!list) {
      text_put(into, described->names[i].source, described->names[i].source_len);
      text_puts(into, ":");
    }
    if (!write(&described->items[i], into, float_as_string, f)) {
      return false;
    }
  }
  text_puts(into, list ? "]" : "}");
  return true;
}

bool value_build(arena *from, const json *described, value *built, failure *f) {
  bool found;
  if (!raw(from, described, built, &found, f) || found) {
    return found;
  }
  text into = text_new(from);
  if (!write(described, &into, false, f)) {
    return false;
  }
  built->codec = SJ_JSON;
  built->bytes = slice(into);
  return true;
}

bool value_option(arena *from, const json *described, sj_slice *built, failure *f) {
  text into = text_new(from);
  if (!write(described, &into, true, f)) {
    return false;
  }
  *built = slice(into);
  return true;
}

bool value_key(arena *from, const json *described, sj_slice *key, failure *f) {
  value built;
  if (described == NULL) {
    return fail(f, "there is no key");
  }
  if (!value_build(from, described, &built, f)) {
    return false;
  }
  if (built.codec == SJ_JSON) {
    const json *read = json_parse(from, (const char *)built.bytes.ptr, built.bytes.len, f);
    if (read == NULL || read->kind != JSON_TEXT) {
      return fail(f, "%.*s is no key", shown(built.bytes), (const char *)built.bytes.ptr);
    }
    sj_slice bytes = {(const uint8_t *)read->bytes, read->len};
    built.bytes = bytes;
  }
  *key = built.bytes;
  return true;
}

bool value_same(arena *from, value expected, value actual, failure *f) {
  bool same = expected.codec == actual.codec;
  if (same && expected.codec == SJ_RAW) {
    same = slice_same(expected.bytes, actual.bytes);
  } else if (same) {
    const json *a = json_parse(from, (const char *)expected.bytes.ptr, expected.bytes.len, f);
    const json *b = json_parse(from, (const char *)actual.bytes.ptr, actual.bytes.len, f);
    if (a == NULL || b == NULL) {
      return false;
    }
    same = json_same(a, b);
  }
  return same || fail(f, "expected %s %.*s, got %s %.*s", expected.codec == SJ_RAW ? "bytes" : "JSON",
                      shown(expected.bytes), (const char *)expected.bytes.ptr, actual.codec == SJ_RAW ? "bytes" : "JSON",
                      shown(actual.bytes), (const char *)actual.bytes.ptr);
}
