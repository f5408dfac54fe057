// What a step expects, compared with what came.

#ifndef EXPECT_H
#define EXPECT_H

#include "runner.h"
#include "value.h"

// Every field must be in the list, which ends with NULL, or be "op", "about" or "cache".
bool expect_known_fields(const json *step, const char *const *fields, failure *f);

// How an operation ended: frees the error. True when the step expects this error, or none and there is none.
bool expect_status(scope *s, int32_t status, sj_error *error);
// The same, of a message.
bool expect_failure(scope *s, int32_t status, const char *message);
bool expects_error(const scope *s);

bool expect_receipt(scope *s, int32_t status, const sj_receipt *receipt, sj_error *error);

// The value of one key. Does nothing where the step does not say.
bool expect_value(scope *s, uint32_t codec, sj_slice bytes);

// Keys of a call on many, behind each other, and where each ends.
typedef struct key_list {
  sj_slice *keys;
  size_t count;
  sj_slice flat;
  uint64_t *ends;
} key_list;

// `once`: no key twice.
bool keys_build(scope *s, const json *described, bool once, key_list *built);

// Tags, none of NULL.
bool tags_build(scope *s, const json *described, key_list *built);

// The pairs of a list.
typedef struct entry {
  sj_slice key;
  value value;
} entry;

typedef struct entry_list {
  entry *entries;
  size_t count;
} entry_list;

// A later pair with the same key replaces the earlier one.
bool entries_build(scope *s, const json *described, entry_list *built);
void entries_put(entry_list *list, entry one);
// These keys and values, no others. Does nothing where the step does not say.
bool expect_entries(scope *s, const entry_list *actual);

#endif
