#include "fetch.h"

#include <string.h>

#include "operations.h"
#include "source.h"

static bool get_or_fetch(source *o) {
  scope *s = o->s;
  sj_slice key;
  if (!value_key(s->memory, json_field(s->step, "key"), &key, s->f)) {
    return false;
  }
  sj_buf found = {0};
  uint32_t codec = 0;
  sj_error *error = NULL;
  int32_t status = sj_get_or_fetch(s->cache, key, &o->opts, source_fetch, o, &found, &codec, &error);
  sj_slice bytes = {found.ptr, found.len};
  bool done = expect_status(s, status, error) && source_check(o);
  done = done && (status < 0 || expect_value(s, codec, bytes));
  sj_buf_free(&found);
  return done;
}

bool op_get_or_fetch(scope *s) {
  source o;
  bool done = source_open(&o, s) && get_or_fetch(&o);
  source_close(&o);
  return done;
}

// A fetch of many keys.
typedef struct many {
  scope *s;
  const json *spec;
  entry_list values;
  // What the fetch says of their storing.
  sj_put_opts brings;
  // What each run was asked for.
  key_list *asked;
  size_t runs;
  bool broken;
  failure why;
} many;

static int32_t fetch_many(void *user, sj_fetch *fetch, const sj_slice *missing, size_t count) {
  many *m = user;
  key_list *asked = &m->asked[m->runs++];
  asked->keys = arena_alloc(m->s->memory, count * sizeof(sj_slice));
  asked->count = count;
  for (size_t i = 0; i < count; i++) {
    void *copy = arena_alloc(m->s->memory, missing[i].len);
    asked->keys[i] = (sj_slice){memcpy(copy, missing[i].ptr, missing[i].len), missing[i].len};
  }
  const json *error = json_field(m->spec, "error");
  if (!runner_steps(m->s->runner, json_field(m->spec, "during"), fetch_held(fetch), &m->why)) {
    m->broken = true;
  }
  if (error != NULL) {
    sj_fetch_message(fetch, (sj_slice){(const uint8_t *)error->bytes, error->len});
    return SJ_ERR_FETCH_FAILED;
  }
  if (json_true(json_field(m->spec, "not_found"))) {
    return SJ_ERR_NOT_FOUND;
  }
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < m->values.count; j++) {
      const entry *one = &m->values.entries[j];
      int32_t status = SJ_OK;
      if (slice_same(one->key, missing[i])) {
        sj_put_opts brings = m->brings;
        brings.codec = one->value.codec;
        status = sj_fetch_value_as(fetch, i, one->value.bytes, &brings);
      }
      if (status != SJ_OK) {
        return status;
      }
    }
  }
  return SJ_OK;
}

static bool expect_missing(many *m) {
  const json *expected = json_field(m->s->step, "expect_missing");
  if (expected == NULL) {
    return true;
  }
  bool same = expected->kind == JSON_LIST && expected->count == m->runs;
  for (size_t i = 0; same && i < m->runs; i++) {
    key_list keys;
    if (!keys_build(m->s, &expected->items[i], false, &keys)) {
      return false;
    }
    same = keys.count == m->asked[i].count;
    for (size_t j = 0; same && j < keys.count; j++) {
      same = slice_same(keys.keys[j], m->asked[i].keys[j]);
    }
  }
  if (same) {
    return true;
  }
  text asked = text_new(m->s->memory);
  for (size_t i = 0; i < m->runs; i++) {
    text_puts(&asked, " [");
    for (size_t j = 0; j < m->asked[i].count; j++) {
      text_put_json(&asked, (const char *)m->asked[i].keys[j].ptr, m->asked[i].keys[j].len);
    }
    text_puts(&asked, "]");
  }
  return fail(m->s->f, "the fetch was asked%.300s, expected %.*s", asked.len > 0 ? asked.bytes : " nothing",
              (int)expected->source_len, expected->source);
}

// The keys that failed, as a set, and what their errors say.
static bool expect_failed(scope *s, const key_list *keys, const sj_item *items, const uint8_t *packed) {
  const json *described = json_field(s->step, "expect_failed");
  key_list expected = {0};
  if (described != NULL && !keys_build(s, described, true, &expected)) {
    return false;
  }
  size_t failed = 0;
  text messages = text_new(s->memory);
  for (size_t i = 0; i < keys->count; i++) {
    if (items[i].status >= 0) {
      continue;
    }
    failed++;
    text_put(&messages, (const char *)packed + items[i].offset, (size_t)items[i].len);
    text_puts(&messages, "\n");
    bool named = described == NULL;
    for (size_t j = 0; j < expected.count; j++) {
      named = named || slice_same(expected.keys[j], keys->keys[i]);
    }
    if (!named) {
      return fail(s->f, "%.*s failed: %s", shown(keys->keys[i]), (const char *)keys->keys[i].ptr, messages.bytes);
    }
  }
  if (described != NULL && failed != expected.count) {
    return fail(s->f, "%zu keys failed, expected %zu", failed, expected.count);
  }
  return expect_failure(s, failed > 0 ? SJ_ERR_PARTIAL : SJ_OK, messages.bytes);
}

static bool expect_items(scope *s, const key_list *keys, const sj_buf *packed) {
  const sj_item *items = (const void *)packed->ptr;
  entry_list found = {arena_alloc(s->memory, keys->count * sizeof(entry)), 0};
  for (size_t i = 0; i < keys->count; i++) {
    if (items[i].status == SJ_HIT || items[i].status == SJ_STALE) {
      entry one = {keys->keys[i], {items[i].codec, {packed->ptr + items[i].offset, (size_t)items[i].len}}};
      entries_put(&found, one);
    }
  }
  return expect_failed(s, keys, items, packed->ptr) && expect_entries(s, &found);
}

bool op_get_or_fetch_many(scope *s) {
  static const char *const fields[] = {"values", "error", "not_found", "during", "tags", "ttl", NULL};
  many m = {.s = s, .spec = json_field(s->step, "fetch")};
  key_list keys;
  sj_fetch_opts opts = SJ_FETCH_OPTS_INIT;
  opts.store_as = step_store_as(s);
  opts.held = s->held.leases;
  opts.held_len = s->held.count;
  key_list tags;
  if (m.spec == NULL) {
    return fail(s->f, "there is no fetch");
  }
  if (!expect_known_fields(m.spec, fields, s->f) || !entries_build(s, json_field(m.spec, "values"), &m.values) ||
      !keys_build(s, json_field(s->step, "keys"), true, &keys) || !step_ttl(s, &opts.ttl_ms) ||
      !tags_build(s, json_field(s->step, "tags"), &tags) || !source_brings(s, m.spec, &m.brings)) {
    return false;
  }
  opts.tags = tags.flat;
  opts.tag_ends = tags.ends;
  opts.tags_len = tags.count;
  // One run at first, and one for each key that another caller left.
  m.asked = arena_alloc(s->memory, (keys.count + 1) * sizeof(key_list));
  sj_buf packed = {0};
  sj_error *error = NULL;
  int32_t status = sj_get_or_fetch_many(s->cache, keys.flat, keys.ends, keys.count, &opts, fetch_many, &m, &packed,
                                        &error);
  bool done;
  if (m.broken) {
    done = fail(s->f, "inside the fetch: %.900s", m.why.why);
    sj_error_free(error);
  } else if (status == SJ_OK || status == SJ_ERR_PARTIAL) {
    done = expect_items(s, &keys, &packed) && expect_missing(&m);
  } else {
    done = expect_status(s, status, error) && expect_missing(&m);
  }
  sj_buf_free(&packed);
  return done;
}
