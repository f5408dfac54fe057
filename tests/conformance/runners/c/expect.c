#include "expect.h"

#include <string.h>

bool expect_known_fields(const json *step, const char *const *fields, failure *f) {
  static const char *const common[] = {"op", "about", "cache", NULL};
  if (step == NULL || step->kind != JSON_OBJECT) {
    return fail(f, "it is no object");
  }
  for (size_t i = 0; i < step->count; i++) {
    const json *name = &step->names[i];
    bool known = false;
    for (size_t j = 0; common[j] != NULL; j++) {
      known = known || json_is(name, common[j]);
    }
    for (size_t j = 0; fields[j] != NULL; j++) {
      known = known || json_is(name, fields[j]);
    }
    if (!known) {
      return fail(f, "unknown field %.*s", (int)name->source_len, name->source);
    }
  }
  return true;
}

bool expects_error(const scope *s) { return json_field(s->step, "expect_error") != NULL; }

bool expect_failure(scope *s, int32_t status, const char *message) {
  const json *expected = json_field(s->step, "expect_error"), *names = json_field(s->step, "expect_names");
  const char *kind = status < 0 ? sj_kind_name(status) : NULL;
  if (expected == NULL) {
    return kind == NULL || fail(s->f, "%s: %s", kind, message);
  }
  if (kind == NULL) {
    return fail(s->f, "%.*s was expected, nothing went wrong", (int)expected->source_len, expected->source);
  }
  if (!json_is(expected, kind)) {
    return fail(s->f, "%.*s was expected, not %s: %s", (int)expected->source_len, expected->source, kind, message);
  }
  for (size_t i = 0; names != NULL && i < names->count; i++) {
    if (names->items[i].kind != JSON_TEXT || strstr(message, names->items[i].bytes) == NULL) {
      return fail(s->f, "%.*s is not in the message: %s", (int)names->items[i].source_len, names->items[i].source,
                  message);
    }
  }
  return true;
}

bool expect_status(scope *s, int32_t status, sj_error *error) {
  bool expected = expect_failure(s, status, sj_error_message(error));
  if (expected && error != NULL && sj_error_code(error) != status) {
    expected = fail(s->f, "the error object says %d, the call %d", sj_error_code(error), status);
  }
  sj_error_free(error);
  return expected;
}

bool expect_receipt(scope *s, int32_t status, const sj_receipt *receipt, sj_error *error) {
  const json *pending = json_field(s->step, "expect_pending");
  if (!expect_status(s, status, error)) {
    return false;
  }
  const json *name = json_field(s->step, "remember");
  if (name != NULL && status == SJ_OK) {
    runner_remember(s->runner, name->bytes, receipt);
  }
  if (pending == NULL) {
    return true;
  }
  return json_true(pending) == (receipt->pending != 0) || fail(s->f, "pending is %u", receipt->pending);
}

bool expect_value(scope *s, uint32_t codec, sj_slice bytes) {
  const json *described = json_field(s->step, "expect");
  value expected, actual = {codec, bytes};
  return described == NULL || (value_build(s->memory, described, &expected, s->f) &&
                               value_same(s->memory, expected, actual, s->f));
}

bool keys_build(scope *s, const json *described, bool once, key_list *built) {
  memset(built, 0, sizeof *built);
  if (described == NULL || described->kind != JSON_LIST) {
    return fail(s->f, "there is no list of keys");
  }
  built->keys = arena_alloc(s->memory, described->count * sizeof(sj_slice));
  built->ends = arena_alloc(s->memory, described->count * sizeof(uint64_t));
  text flat = text_new(s->memory);
  for (size_t i = 0; i < described->count; i++) {
    sj_slice key;
    if (!value_key(s->memory, &described->items[i], &key, s->f)) {
      return false;
    }
    bool twice = false;
    for (size_t j = 0; once && j < built->count; j++) {
      twice = twice || slice_same(built->keys[j], key);
    }
    if (!twice) {
      text_put(&flat, (const char *)key.ptr, key.len);
      built->keys[built->count] = key;
      built->ends[built->count++] = flat.len;
    }
  }
  built->flat.ptr = (const uint8_t *)flat.bytes;
  built->flat.len = flat.len;
  return true;
}

bool tags_build(scope *s, const json *described, key_list *built) {
  memset(built, 0, sizeof *built);
  return described == NULL || keys_build(s, described, false, built);
}

void entries_put(entry_list *list, entry one) {
  for (size_t i = 0; i < list->count; i++) {
    if (slice_same(list->entries[i].key, one.key)) {
      list->entries[i] = one;
      return;
    }
  }
  list->entries[list->count++] = one;
}

bool entries_build(scope *s, const json *described, entry_list *built) {
  memset(built, 0, sizeof *built);
  if (described == NULL) {
    return true;
  }
  if (described->kind != JSON_LIST) {
    return fail(s->f, "the entries are no list");
  }
  built->entries = arena_alloc(s->memory, described->count * sizeof(entry));
  for (size_t i = 0; i < described->count; i++) {
    const json *pair = &described->items[i];
    entry one;
    if (pair->kind != JSON_LIST || pair->count != 2) {
      return fail(s->f, "an entry is no pair");
    }
    if (!value_key(s->memory, &pair->items[0], &one.key, s->f) ||
        !value_build(s->memory, &pair->items[1], &one.value, s->f)) {
      return false;
    }
    entries_put(built, one);
  }
  return true;
}

bool expect_entries(scope *s, const entry_list *actual) {
  const json *described = json_field(s->step, "expect");
  entry_list expected;
  if (described == NULL) {
    return true;
  }
  if (!entries_build(s, described, &expected)) {
    return false;
  }
  for (size_t i = 0; i < expected.count; i++) {
    const entry *one = &expected.entries[i], *found = NULL;
    for (size_t j = 0; j < actual->count; j++) {
      if (slice_same(actual->entries[j].key, one->key)) {
        found = &actual->entries[j];
      }
    }
    if (found == NULL) {
      return fail(s->f, "there is no value for %.*s", shown(one->key), (const char *)one->key.ptr);
    }
    if (!value_same(s->memory, one->value, found->value, s->f)) {
      return fail_in(s->f, "%.*s: ", shown(one->key), (const char *)one->key.ptr);
    }
  }
  return actual->count == expected.count ||
         fail(s->f, "%zu entries were expected, not %zu", expected.count, actual->count);
}
