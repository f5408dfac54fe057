#include "runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "expect.h"
#include "operations.h"
#include "value.h"

typedef struct opened {
  struct opened *next;
  char *name;
  sj_cache *cache;
  // Another has its name now; a step elsewhere may still be in a call with it.
  bool replaced;
} opened;

typedef struct remembered {
  struct remembered *next;
  char *name;
  char token[33];
} remembered;

struct runner {
  const char *url, *prefix;
  pthread_mutex_t mutex;
  opened *caches;
  remembered *tokens;
};

runner *runner_new(const char *url, const char *prefix) {
  runner *r = calloc(1, sizeof(runner));
  if (r == NULL) {
    abort();
  }
  r->url = url;
  r->prefix = prefix;
  pthread_mutex_init(&r->mutex, NULL);
  return r;
}

void runner_free(runner *r) {
  while (r->caches != NULL) {
    opened *last = r->caches;
    r->caches = last->next;
    sj_close(last->cache, NULL, NULL);
    sj_cache_free(last->cache);
    free(last->name);
    free(last);
  }
  while (r->tokens != NULL) {
    remembered *last = r->tokens;
    r->tokens = last->next;
    free(last->name);
    free(last);
  }
  pthread_mutex_destroy(&r->mutex);
  free(r);
}

static sj_cache *named(runner *r, const char *name) {
  sj_cache *found = NULL;
  pthread_mutex_lock(&r->mutex);
  for (opened *one = r->caches; one != NULL && found == NULL; one = one->next) {
    if (!one->replaced && strcmp(one->name, name) == 0) {
      found = one->cache;
    }
  }
  pthread_mutex_unlock(&r->mutex);
  return found;
}

static void add(runner *r, const char *name, sj_cache *cache) {
  opened *made = calloc(1, sizeof(opened));
  if (made == NULL || (made->name = strdup(name)) == NULL) {
    abort();
  }
  made->cache = cache;
  pthread_mutex_lock(&r->mutex);
  for (opened *one = r->caches; one != NULL; one = one->next) {
    if (!one->replaced && strcmp(one->name, name) == 0) {
      one->replaced = true;
      sj_close(one->cache, NULL, NULL);
    }
  }
  made->next = r->caches;
  r->caches = made;
  pthread_mutex_unlock(&r->mutex);
}

void runner_remember(runner *r, const char *name, const sj_receipt *receipt) {
  remembered *made = calloc(1, sizeof(remembered));
  if (made == NULL || (made->name = strdup(name)) == NULL || sj_token_text(receipt->token, made->token) != SJ_OK) {
    abort();
  }
  pthread_mutex_lock(&r->mutex);
  // Before an older one of that name, which some step may still use.
  made->next = r->tokens;
  r->tokens = made;
  pthread_mutex_unlock(&r->mutex);
}

const char *runner_token(runner *r, const char *name) {
  const char *found = NULL;
  pthread_mutex_lock(&r->mutex);
  for (const remembered *one = r->tokens; one != NULL && found == NULL; one = one->next) {
    if (strcmp(one->name, name) == 0) {
      found = one->token;
    }
  }
  pthread_mutex_unlock(&r->mutex);
  return found;
}

int32_t runner_open(scope *s, const char *name, const json *options, sj_error **error) {
  const struct {
    const char *name, *value;
  } defaults[] = {{"url", s->runner->url}, {"prefix", s->runner->prefix}};
  text all = text_new(s->memory);
  text_puts(&all, "{");
  for (size_t i = 0; i < 2; i++) {
    if (defaults[i].value != NULL && json_field(options, defaults[i].name) == NULL) {
      text_printf(&all, "%s\"%s\":", all.len > 1 ? "," : "", defaults[i].name);
      text_put_json(&all, defaults[i].value, strlen(defaults[i].value));
    }
  }
  for (size_t i = 0; options != NULL && i < options->count; i++) {
    sj_slice value;
    if (!value_option(s->memory, &options->items[i], &value, s->f)) {
      return SJ_ERR_INTERNAL;
    }
    text_puts(&all, all.len > 1 ? "," : "");
    text_put(&all, options->names[i].source, options->names[i].source_len);
    text_puts(&all, ":");
    text_put(&all, (const char *)value.ptr, value.len);
  }
  text_puts(&all, "}");
  sj_cache *cache;
  int32_t status = sj_open(sj_text(all.bytes), &cache, error);
  if (status == SJ_OK) {
    add(s->runner, name, cache);
  }
  return status;
}

bool runner_step(runner *r, const json *step, held inside, failure *f) {
  scope s = {r, arena_new(), step, inside, NULL, f};
  const json *name = json_field(step, "cache"), *op = json_field(step, "op");
  const operation *found = op != NULL ? operation_named(op) : NULL;
  bool done;
  if (found == NULL) {
    done = fail(f, "unknown operation %.*s", op != NULL ? (int)op->source_len : 0, op != NULL ? op->source : "");
  } else if (!expect_known_fields(step, found->fields, f)) {
    done = false;
  } else if (name != NULL && name->kind != JSON_TEXT) {
    done = fail(f, "cache is no name");
  } else {
    const char *of = name != NULL ? name->bytes : "a";
    s.cache = named(r, of);
    done = s.cache == NULL && found->needs_cache ? fail(f, "no cache \"%s\" is open", of) : found->run(&s);
  }
  arena_free(s.memory);
  return done;
}

bool runner_steps(runner *r, const json *steps, held inside, failure *f) {
  if (steps == NULL) {
    return true;
  }
  if (steps->kind != JSON_LIST) {
    return fail(f, "the steps are no list");
  }
  for (size_t i = 0; i < steps->count; i++) {
    if (!runner_step(r, &steps->items[i], inside, f)) {
      const json *op = json_field(&steps->items[i], "op");
      return fail_in(f, "step %zu, %s: ", i + 1, op != NULL && op->kind == JSON_TEXT ? op->bytes : "?");
    }
  }
  return true;
}

bool runner_scenario(runner *r, const json *scenario, failure *f) {
  static const char *const fields[] = {"name", "about", "options", "steps", NULL};
  scope s = {r, arena_new(), scenario, {NULL, 0}, NULL, f};
  bool done = expect_known_fields(scenario, fields, f);
  if (done) {
    sj_error *error = NULL;
    int32_t status = runner_open(&s, "a", json_field(scenario, "options"), &error);
    done = status == SJ_OK || fail(f, "open: %s: %s", sj_kind_name(status), sj_error_message(error));
    sj_error_free(error);
  }
  arena_free(s.memory);
  return done && runner_steps(r, json_field(scenario, "steps"), (held){NULL, 0}, f);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool poll_until(double seconds, bool (*attempt)(void *user, failure *f), void *user, failure *f) {
  double deadline = now() + seconds;
  for (;;) {
    // An attempt that began in time saw what was allowed then, however long it took to say so.
    double began = now();
    if (attempt(user, f)) {
      return true;
    }
    if (began > deadline) {
      return fail_in(f, "not within %g s: ", seconds);
    }
    nanosleep(&(struct timespec){0, 5000000}, NULL);
  }
}
