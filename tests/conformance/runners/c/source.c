#include "source.h"

#include <stdio.h>
#include <string.h>

#include "operations.h"

bool source_brings(scope *s, const json *spec, sj_put_opts *brings) {
  const sj_put_opts fresh = SJ_PUT_OPTS_INIT;
  *brings = fresh;
  key_list tags;
  if (!tags_build(s, json_field(spec, "tags"), &tags) || !build_ttl(s, json_field(spec, "ttl"), &brings->ttl_ms)) {
    return false;
  }
  brings->tags = tags.flat;
  brings->tag_ends = tags.ends;
  brings->tags_len = tags.count;
  return true;
}

bool source_open(source *o, scope *s) {
  static const char *const fields[] = {"value", "error", "not_found", "during", "recursive", "tags", "ttl", NULL};
  const sj_fetch_opts fresh = SJ_FETCH_OPTS_INIT;
  memset(o, 0, sizeof *o);
  pthread_mutex_init(&o->mutex, NULL);
  o->s = s;
  o->spec = json_field(s->step, "fetch");
  o->opts = fresh;
  o->opts.store_as = step_store_as(s);
  o->opts.held = s->held.leases;
  o->opts.held_len = s->held.count;
  const json *described = json_field(o->spec, "value"), *recursive = json_field(o->spec, "recursive");
  const json *error = json_field(o->spec, "error");
  if (o->spec == NULL) {
    return fail(s->f, "there is no fetch");
  }
  if (!expect_known_fields(o->spec, fields, s->f)) {
    return fail_in(s->f, "the fetch: ");
  }
  if (described == NULL && recursive == NULL && error == NULL && !json_true(json_field(o->spec, "not_found"))) {
    return fail(s->f, "the fetch has no result");
  }
  if (error != NULL && error->kind != JSON_TEXT) {
    return fail(s->f, "the error of the fetch is no text");
  }
  o->recursive = recursive != NULL;
  key_list tags;
  if (!tags_build(s, json_field(s->step, "tags"), &tags) || !source_brings(s, o->spec, &o->brings)) {
    return false;
  }
  o->opts.tags = tags.flat;
  o->opts.tag_ends = tags.ends;
  o->opts.tags_len = tags.count;
  return step_ttl(s, &o->opts.ttl_ms) &&
         (described == NULL || value_build(s->memory, described, &o->value, s->f)) &&
         (recursive == NULL || value_key(s->memory, recursive, &o->recursive_key, s->f));
}

void source_close(source *o) { pthread_mutex_destroy(&o->mutex); }

void source_note(source *o, const failure *why) {
  pthread_mutex_lock(&o->mutex);
  if (!o->broken) {
    o->broken = true;
    o->why = *why;
  }
  pthread_mutex_unlock(&o->mutex);
}

bool source_check(source *o) {
  const json *expected = json_field(o->s->step, "expect_fetches");
  size_t runs = atomic_load(&o->runs), count;
  if (o->broken) {
    return fail(o->s->f, "inside the fetch: %.900s", o->why.why);
  }
  if (expected == NULL) {
    return true;
  }
  return (json_count(expected, &count) && count == runs) ||
         fail(o->s->f, "the fetch ran %zu times, expected %.*s", runs, (int)expected->source_len, expected->source);
}

void source_run(source *o, held inside, fetched *got) {
  failure f = {""};
  memset(got, 0, sizeof *got);
  atomic_fetch_add(&o->runs, 1);
  if (!runner_steps(o->s->runner, json_field(o->spec, "during"), inside, &f)) {
    source_note(o, &f);
  }
  const json *error = json_field(o->spec, "error");
  if (o->recursive) {
    sj_fetch_opts opts = o->opts;
    sj_error *failed = NULL;
    opts.held = inside.leases;
    opts.held_len = inside.count;
    got->status = sj_get_or_fetch(o->s->cache, o->recursive_key, &opts, source_fetch, o, &got->owned,
                                  &got->value.codec, &failed);
    snprintf(got->message, sizeof got->message, "%s", sj_error_message(failed));
    sj_error_free(failed);
    got->value.bytes.ptr = got->owned.ptr;
    got->value.bytes.len = got->owned.len;
    if (got->status > 0) {
      got->status = SJ_OK;
    }
  } else if (error != NULL) {
    got->status = SJ_ERR_FETCH_FAILED;
    snprintf(got->message, sizeof got->message, "%s", error->bytes);
  } else if (json_true(json_field(o->spec, "not_found"))) {
    got->status = SJ_ERR_NOT_FOUND;
  } else {
    got->value = o->value;
  }
}

held fetch_held(const sj_fetch *fetch) {
  held inside;
  inside.leases = sj_fetch_held(fetch, &inside.count);
  return inside;
}

int32_t fetched_give(const source *o, const fetched *got, sj_fetch *fetch) {
  if (got->status == SJ_OK) {
    sj_put_opts brings = o->brings;
    brings.codec = got->value.codec;
    return sj_fetch_value_as(fetch, 0, got->value.bytes, &brings);
  }
  sj_fetch_message(fetch, sj_text(got->message));
  return got->status;
}

int32_t source_fetch(void *user, sj_fetch *fetch) {
  fetched got;
  source_run(user, fetch_held(fetch), &got);
  int32_t status = fetched_give(user, &got, fetch);
  sj_buf_free(&got.owned);
  return status;
}
