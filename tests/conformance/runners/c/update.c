#include "update.h"

#include <stdlib.h>
#include <string.h>

#include "expect.h"

static bool update_options(scope *s, sj_update_opts *o) {
  const json *options = json_field(s->step, "options");
  const sj_update_opts fresh = SJ_UPDATE_OPTS_INIT;
  key_list tags;
  *o = fresh;
  if (!tags_build(s, json_field(s->step, "tags"), &tags)) {
    return false;
  }
  o->tags = tags.flat;
  o->tag_ends = tags.ends;
  o->tags_len = tags.count;
  for (size_t i = 0; options != NULL && i < options->count; i++) {
    const json *name = &options->names[i], *value = &options->items[i];
    int64_t ms = (int64_t)(strtod(value->source, NULL) * 1000 + 1e-6);
    if (json_is(name, "intent_ttl")) {
      o->intent_ttl_ms = ms;
    } else if (json_is(name, "hold")) {
      o->hold_ms = ms;
    } else if (json_is(name, "strict")) {
      o->flags = json_true(value) ? SJ_UPDATE_STRICT : 0;
    } else {
      return fail(s->f, "unknown option %s", name->bytes);
    }
  }
  return true;
}

bool op_update(scope *s) {
  static const char *const fields[] = {"value", "error", "during", NULL};
  const json *spec = json_field(s->step, "fetch"), *expected = json_field(s->step, "expect_fetches");
  key_list keys;
  sj_update_opts opts;
  if (spec == NULL) {
    return fail(s->f, "there is no fetch");
  }
  if (!expect_known_fields(spec, fields, s->f) || !keys_build(s, json_field(s->step, "keys"), false, &keys) ||
      !update_options(s, &opts)) {
    return false;
  }
  sj_error *error = NULL;
  uint64_t update = 0;
  int32_t status = sj_update_begin(s->cache, keys.flat, keys.ends, keys.count, &opts, &update, &error);
  size_t runs = status == SJ_OK, count;
  if (expected != NULL && (!json_count(expected, &count) || count != runs)) {
    sj_error_free(error);
    return fail(s->f, "the write ran %zu times, expected %.*s", runs, (int)expected->source_len, expected->source);
  }
  if (status != SJ_OK) {
    return expect_status(s, status, error);
  }
  bool done = runner_steps(s->runner, json_field(spec, "during"), s->held, s->f);
  sj_receipt receipt = {0};
  status = sj_update_end(s->cache, update, &receipt, &error);
  if (!done) {
    sj_error_free(error);
    return fail_in(s->f, "inside the write: ");
  }
  const json *failure = json_field(spec, "error");
  if (failure != NULL) {
    // In C the write's own error is its caller's own.
    sj_error_free(error);
    return expect_failure(s, status == SJ_OK ? SJ_ERR_FETCH_FAILED : status, failure->bytes);
  }
  return expect_receipt(s, status, &receipt, error);
}

bool op_explain(scope *s) {
  const json *expected = json_field(s->step, "expect");
  sj_slice key;
  if (!value_key(s->memory, json_field(s->step, "key"), &key, s->f)) {
    return false;
  }
  sj_buf packed = {0};
  sj_error *error = NULL;
  int32_t status = sj_explain(s->cache, key, &packed, &error);
  bool done = expect_status(s, status, error);
  if (!done || status < 0) {
    return done;
  }
  const json *found = json_parse(s->memory, (const char *)packed.ptr, packed.len, s->f);
  const json *hold = json_field(found, "hold"), *lease = json_field(found, "lease");
  done = found != NULL;
  for (size_t i = 0; done && expected != NULL && i < expected->count; i++) {
    const char *name = expected->names[i].bytes;
    const json *wanted = &expected->items[i], *field = json_field(found, name);
    bool same;
    if (strcmp(name, "loading") == 0) {
      field = lease;
      same = json_true(wanted) == (lease != NULL && lease->kind == JSON_OBJECT);
    } else if (strcmp(name, "writers") == 0) {
      size_t none;
      field = json_field(hold, "writers");
      same = field != NULL ? json_same(field, wanted) : json_count(wanted, &none) && none == 0;
    } else {
      same = field != NULL && json_same(field, wanted);
    }
    if (!same) {
      done = fail(s->f, "%s is %.*s, expected %.*s", name, field != NULL ? (int)field->source_len : 7,
                  field != NULL ? field->source : "nothing", (int)wanted->source_len, wanted->source);
    }
  }
  sj_buf_free(&packed);
  return done;
}
