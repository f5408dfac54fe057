#include "operations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "fetch.h"
#include "update.h"

bool step_ttl(scope *s, int64_t *ttl_ms) { return build_ttl(s, json_field(s->step, "ttl"), ttl_ms); }

bool build_ttl(scope *s, const json *ttl, int64_t *ttl_ms) {
  *ttl_ms = SJ_TTL_DEFAULT;
  if (ttl == NULL) {
    return true;
  }
  value built;
  if (!value_build(s->memory, ttl, &built, s->f)) {
    return false;
  }
  const char *written = (const char *)built.bytes.ptr;
  char *end;
  // strtod knows NaN and Infinity too.
  double ms = strtod(written, &end) * 1000;
  if (built.codec != SJ_JSON || end == written || *end != '\0') {
    return fail(s->f, "%s is no ttl that C can say", written);
  }
  if (isnan(ms)) {
    *ttl_ms = 0;
  } else if (ms >= 9.2e18) {
    *ttl_ms = INT64_MAX;
  } else if (ms <= -9.2e18) {
    // INT64_MIN is the default.
    *ttl_ms = INT64_MIN + 1;
  } else {
    // 0.029 s are 29 ms, though 0.029 * 1000 is a little less.
    *ttl_ms = (int64_t)(ms + (ms < 0 ? -1e-6 : 1e-6));
  }
  return true;
}

uint32_t step_store_as(scope *s) {
  const json *codec = json_field(s->step, "codec");
  if (codec == NULL) {
    return SJ_STORE_DEFAULT;
  }
  if (json_is(codec, "json")) {
    return SJ_JSON;
  }
  if (json_is(codec, "msgpack")) {
    return SJ_MSGPACK;
  }
  return json_is(codec, "raw") ? SJ_RAW : 12345;
}

static bool put_options(scope *s, sj_put_opts *o) {
  sj_put_opts fresh = SJ_PUT_OPTS_INIT;
  *o = fresh;
  o->store_as = step_store_as(s);
  key_list tags;
  if (!tags_build(s, json_field(s->step, "tags"), &tags) || !step_ttl(s, &o->ttl_ms)) {
    return false;
  }
  o->tags = tags.flat;
  o->tag_ends = tags.ends;
  o->tags_len = tags.count;
  return true;
}

static bool step_key(scope *s, sj_slice *key) { return value_key(s->memory, json_field(s->step, "key"), key, s->f); }

static bool op_open(scope *s) {
  const json *name = json_field(s->step, "cache");
  sj_error *error = NULL;
  s->f->why[0] = '\0';
  int32_t status = runner_open(s, name != NULL ? name->bytes : "a", json_field(s->step, "options"), &error);
  return s->f->why[0] != '\0' ? false : expect_status(s, status, error);
}

static bool op_get(scope *s) {
  sj_slice key;
  if (!step_key(s, &key)) {
    return false;
  }
  sj_buf found = {0};
  uint32_t codec = 0;
  sj_error *error = NULL;
  int32_t status = sj_get(s->cache, key, &found, &codec, &error);
  sj_slice bytes = {found.ptr, found.len};
  bool done = expect_status(s, status, error);
  if (done && status >= 0) {
    bool miss = json_true(json_field(s->step, "expect_miss"));
    if (miss != (status == SJ_MISS)) {
      done = fail(s->f, miss ? "a miss was expected, got %.*s" : "a value was expected, got a miss%.*s", shown(bytes),
                  bytes.len > 0 ? (const char *)bytes.ptr : "");
    } else if (!miss) {
      done = expect_value(s, codec, bytes);
    }
  }
  sj_buf_free(&found);
  return done;
}

static bool op_set(scope *s) {
  sj_slice key;
  value stored;
  sj_put_opts o;
  const json *described = json_field(s->step, "value");
  if (described == NULL) {
    return fail(s->f, "there is no value");
  }
  if (!step_key(s, &key) || !value_build(s->memory, described, &stored, s->f) || !put_options(s, &o)) {
    return false;
  }
  o.codec = stored.codec;
  sj_receipt receipt = {0};
  sj_error *error = NULL;
  int32_t status = sj_set(s->cache, key, stored.bytes, &o, &receipt, &error);
  return expect_receipt(s, status, &receipt, error);
}

static bool op_delete(scope *s) {
  sj_slice key;
  if (!step_key(s, &key)) {
    return false;
  }
  sj_receipt receipt = {0};
  sj_error *error = NULL;
  int32_t status = sj_delete(s->cache, key, &receipt, &error);
  return expect_receipt(s, status, &receipt, error);
}

static bool op_invalidate_tags(scope *s) {
  key_list tags;
  if (!tags_build(s, json_field(s->step, "tags"), &tags)) {
    return false;
  }
  sj_receipt receipt = {0};
  sj_error *error = NULL;
  int32_t status = sj_invalidate_tags(s->cache, tags.flat, tags.ends, tags.count, &receipt, &error);
  return expect_receipt(s, status, &receipt, error);
}

static bool op_clear(scope *s) {
  sj_receipt receipt = {0};
  sj_error *error = NULL;
  int32_t status = sj_clear(s->cache, &receipt, &error);
  return expect_receipt(s, status, &receipt, error);
}

static bool op_close(scope *s) {
  sj_receipt receipt = {0};
  sj_error *error = NULL;
  int32_t status = sj_close(s->cache, &receipt, &error);
  return expect_receipt(s, status, &receipt, error);
}

static bool op_get_many(scope *s) {
  key_list keys;
  if (!keys_build(s, json_field(s->step, "keys"), false, &keys)) {
    return false;
  }
  sj_buf packed = {0};
  sj_error *error = NULL;
  int32_t status = sj_get_many(s->cache, keys.flat, keys.ends, keys.count, &packed, &error);
  bool done = expect_status(s, status, error);
  if (done && status == SJ_OK) {
    entry_list found = {arena_alloc(s->memory, keys.count * sizeof(entry)), 0};
    const sj_item *items = (const void *)packed.ptr;
    for (size_t i = 0; i < keys.count; i++) {
      if (items[i].status == SJ_HIT) {
        entry one = {keys.keys[i], {items[i].codec, {packed.ptr + items[i].offset, (size_t)items[i].len}}};
        entries_put(&found, one);
      }
    }
    done = expect_entries(s, &found);
  }
  sj_buf_free(&packed);
  return done;
}

static bool op_set_many(scope *s) {
  entry_list list;
  sj_put_opts o;
  if (!entries_build(s, json_field(s->step, "entries"), &list) || !put_options(s, &o)) {
    return false;
  }
  text keys = text_new(s->memory), values = text_new(s->memory);
  uint64_t *key_ends = arena_alloc(s->memory, list.count * sizeof(uint64_t));
  uint64_t *value_ends = arena_alloc(s->memory, list.count * sizeof(uint64_t));
  uint32_t *codecs = arena_alloc(s->memory, list.count * sizeof(uint32_t));
  for (size_t i = 0; i < list.count; i++) {
    const entry *one = &list.entries[i];
    text_put(&keys, (const char *)one->key.ptr, one->key.len);
    text_put(&values, (const char *)one->value.bytes.ptr, one->value.bytes.len);
    key_ends[i] = keys.len;
    value_ends[i] = values.len;
    codecs[i] = one->value.codec;
  }
  sj_slice all_keys = {(const uint8_t *)keys.bytes, keys.len}, all_values = {(const uint8_t *)values.bytes, values.len};
  sj_receipt receipt = {0};
  sj_error *error = NULL;
  int32_t status = sj_set_many(s->cache, all_keys, key_ends, all_values, value_ends, codecs, list.count, &o, &receipt,
                               &error);
  return expect_receipt(s, status, &receipt, error);
}

static bool op_delete_many(scope *s) {
  key_list keys;
  if (!keys_build(s, json_field(s->step, "keys"), false, &keys)) {
    return false;
  }
  sj_receipt receipt = {0};
  sj_error *error = NULL;
  int32_t status = sj_delete_many(s->cache, keys.flat, keys.ends, keys.count, &receipt, &error);
  return expect_receipt(s, status, &receipt, error);
}

static bool op_observe(scope *s) {
  const json *written = json_field(s->step, "token"), *name = json_field(s->step, "token_of");
  const char *text = name != NULL ? runner_token(s->runner, name->bytes) : written != NULL ? written->bytes : NULL;
  key_list keys;
  if (text == NULL) {
    return fail(s->f, "there is no token");
  }
  if (!keys_build(s, json_field(s->step, "keys"), false, &keys)) {
    return false;
  }
  uint8_t token[16];
  sj_error *error = NULL;
  int32_t status = sj_token_parse(sj_text(text), token, &error);
  if (status == SJ_OK) {
    status = sj_observe(s->cache, token, keys.flat, keys.ends, keys.count, &error);
  }
  return expect_status(s, status, error);
}

static bool op_stats(scope *s) {
  const json *expected = json_field(s->step, "expect");
  sj_buf packed;
  if (expected == NULL || expected->kind != JSON_OBJECT) {
    return fail(s->f, "there is nothing expected");
  }
  int32_t status = sj_stats_json(s->cache, &packed);
  if (status != SJ_OK) {
    return fail(s->f, "sj_stats_json returned %d", status);
  }
  const json *found = json_parse(s->memory, (const char *)packed.ptr, packed.len, s->f);
  bool done = found != NULL;
  for (size_t i = 0; done && i < expected->count; i++) {
    const char *name = expected->names[i].bytes;
    const json *field = json_field(found, name), *wanted = &expected->items[i];
    if (field == NULL) {
      done = fail(s->f, "there is no %s", name);
    } else if (!json_same(field, wanted)) {
      done = fail(s->f, "%s is %.*s, expected %.*s", name, (int)field->source_len, field->source,
                  (int)wanted->source_len, wanted->source);
    }
  }
  sj_buf_free(&packed);
  return done;
}

typedef struct repeated {
  scope *s;
  const json *step;
} repeated;

static bool repeat(void *user, failure *f) {
  repeated *again = user;
  return runner_step(again->s->runner, again->step, again->s->held, f);
}

// A copy of an object with one field more.
static const json *with_field(arena *from, const json *object, const char *name, const json *value) {
  json *copy = arena_alloc(from, sizeof(json));
  *copy = *object;
  copy->names = arena_alloc(from, (object->count + 1) * sizeof(json));
  copy->items = arena_alloc(from, (object->count + 1) * sizeof(json));
  for (size_t i = 0; i < object->count; i++) {
    copy->names[i] = object->names[i];
    copy->items[i] = object->items[i];
  }
  json named = {JSON_TEXT, name, strlen(name), name, strlen(name), NULL, NULL, 0};
  copy->names[copy->count] = named;
  copy->items[copy->count++] = *value;
  return copy;
}

static bool op_eventually(scope *s) {
  const json *within = json_field(s->step, "within"), *cache = json_field(s->step, "cache");
  repeated again = {s, json_field(s->step, "step")};
  if (again.step == NULL || again.step->kind != JSON_OBJECT) {
    return fail(s->f, "there is no step to repeat");
  }
  if (cache != NULL && json_field(again.step, "cache") == NULL) {
    again.step = with_field(s->memory, again.step, "cache", cache);
  }
  return poll_until(within != NULL ? strtod(within->source, NULL) : 10, repeat, &again, s->f);
}

#define FIELDS(name, ...) static const char *const name[] = {__VA_ARGS__, NULL}
FIELDS(open_fields, "options", "expect_error", "expect_names");
FIELDS(get_fields, "key", "expect", "expect_miss", "expect_error", "expect_names");
FIELDS(set_fields, "key", "value", "ttl", "codec", "tags", "expect_error", "expect_names", "expect_pending", "remember");
FIELDS(delete_fields, "key", "expect_error", "expect_names", "expect_pending", "remember");
FIELDS(invalidate_tags_fields, "tags", "expect_error", "expect_names", "expect_pending", "remember");
FIELDS(whole_fields, "expect_error", "expect_names", "expect_pending", "remember");
FIELDS(get_many_fields, "keys", "expect", "expect_error", "expect_names");
FIELDS(set_many_fields, "entries", "ttl", "codec", "tags", "expect_error", "expect_names", "expect_pending", "remember");
FIELDS(delete_many_fields, "keys", "expect_error", "expect_names", "expect_pending", "remember");
FIELDS(fetch_fields, "key", "ttl", "codec", "tags", "fetch", "expect", "expect_error", "expect_names", "expect_fetches");
FIELDS(fetch_many_fields, "keys", "ttl", "codec", "tags", "fetch", "expect", "expect_missing", "expect_failed", "expect_error",
       "expect_names");
FIELDS(concurrent_fields, "key", "count", "leader", "ttl", "codec", "tags", "fetch", "expect", "expect_error", "expect_names",
       "expect_fetches");
FIELDS(observe_fields, "token", "token_of", "keys", "expect_error", "expect_names");
FIELDS(stats_fields, "expect");
FIELDS(update_fields, "keys", "tags", "options", "fetch", "expect_error", "expect_names", "expect_pending", "expect_fetches");
FIELDS(explain_fields, "key", "expect", "expect_error", "expect_names");
FIELDS(eventually_fields, "step", "within");

static const operation operations[] = {
    {"open", op_open, false, open_fields},
    {"get", op_get, true, get_fields},
    {"set", op_set, true, set_fields},
    {"delete", op_delete, true, delete_fields},
    {"invalidate_tags", op_invalidate_tags, true, invalidate_tags_fields},
    {"clear", op_clear, true, whole_fields},
    {"close", op_close, true, whole_fields},
    {"get_many", op_get_many, true, get_many_fields},
    {"set_many", op_set_many, true, set_many_fields},
    {"delete_many", op_delete_many, true, delete_many_fields},
    {"get_or_fetch", op_get_or_fetch, true, fetch_fields},
    {"get_or_fetch_many", op_get_or_fetch_many, true, fetch_many_fields},
    {"concurrent", op_concurrent, true, concurrent_fields},
    {"observe", op_observe, true, observe_fields},
    {"stats", op_stats, true, stats_fields},
    {"update", op_update, true, update_fields},
    {"explain", op_explain, true, explain_fields},
    {"eventually", op_eventually, false, eventually_fields},
};

const operation *operation_named(const json *name) {
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
    if (json_is(name, operations[i].name)) {
      return &operations[i];
    }
  }
  return NULL;
}
