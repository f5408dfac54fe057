// A small reader of JSON that keeps the source text of every value: a number is its digits, not a double.

#ifndef JSON_H
#define JSON_H

#include "memory.h"

typedef enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json json;
struct json {
  json_kind kind;
  // The source text.
  const char *source;
  size_t source_len;
  // Of a string: its bytes, with the escapes resolved.
  const char *bytes;
  size_t len;
  // Of a list or an object: the values, and of an object their names, which are strings.
  json *items, *names;
  size_t count;
};

// Reads one value with nothing behind it. The result points into `source`. NULL, with the reason, when it is wrong.
const json *json_parse(arena *from, const char *source, size_t len, failure *f);

// A field of an object; NULL when there is none, or when `object` is NULL or no object.
const json *json_field(const json *object, const char *name);

bool json_is(const json *value, const char *string);
bool json_true(const json *value);
// A whole number of 0 or more that fits; false for everything else.
bool json_count(const json *value, size_t *count);

// Whether both mean the same: names in any order, numbers by their exact value.
bool json_same(const json *a, const json *b);

#endif
