// Values of the corpus as a program in C has them: JSON text, or bytes.

#ifndef VALUE_H
#define VALUE_H

#include <scrubjay.h>

#include "json.h"

typedef struct value {
  // SJ_JSON or SJ_RAW.
  uint32_t codec;
  sj_slice bytes;
} value;

// What a JSON text of the corpus means: {"$bytes": …} and its like are what JSON does not have.
bool value_build(arena *from, const json *described, value *built, failure *f);

// The JSON text of an option. A number that JSON does not have is written as a string, which is no number either.
bool value_option(arena *from, const json *described, sj_slice *built, failure *f);

// A key: the bytes of a text, or bytes.
bool value_key(arena *from, const json *described, sj_slice *key, failure *f);

// Whether `actual` means the same as `expected`.
bool value_same(arena *from, value expected, value actual, failure *f);

bool slice_same(sj_slice a, sj_slice b);

// How much of a value is shown in a message, for "%.*s".
int shown(sj_slice bytes);

#endif
