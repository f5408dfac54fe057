#include "corpus.h"

#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runner.h"

// Ends a scenario that hangs, in seconds.
#define SCENARIO_TIME 120

// One scenario on one backend.
typedef struct trial {
  const char *url;
  char prefix[64];
  const json *scenario;
  pthread_mutex_t mutex;
  pthread_cond_t ended;
  bool done, ok;
  failure f;
} trial;

static void *run_trial(void *user) {
  trial *t = user;
  failure f = {""};
  runner *r = runner_new(t->url, t->prefix);
  bool ok = runner_scenario(r, t->scenario, &f);
  runner_free(r);
  pthread_mutex_lock(&t->mutex);
  t->done = true;
  t->ok = ok;
  t->f = f;
  pthread_cond_signal(&t->ended);
  pthread_mutex_unlock(&t->mutex);
  return NULL;
}

// In a thread of its own, so that one that hangs does not stop the rest. What hangs keeps its memory.
static bool try_scenario(const json *scenario, const char *url, failure *f) {
  static unsigned prefixes;
  pthread_t thread;
  trial *t = calloc(1, sizeof(trial));
  if (t == NULL) {
    abort();
  }
  t->url = url;
  t->scenario = scenario;
  snprintf(t->prefix, sizeof t->prefix, "c-%ld-%u", (long)getpid(), ++prefixes);
  pthread_mutex_init(&t->mutex, NULL);
  pthread_cond_init(&t->ended, NULL);
  if (pthread_create(&thread, NULL, run_trial, t) != 0) {
    abort();
  }
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += SCENARIO_TIME;
  int waited = 0;
  pthread_mutex_lock(&t->mutex);
  while (!t->done && waited == 0) {
    waited = pthread_cond_timedwait(&t->ended, &t->mutex, &deadline);
  }
  bool done = t->done, ok = t->ok;
  *f = t->f;
  pthread_mutex_unlock(&t->mutex);
  if (!done) {
    pthread_detach(thread);
    return fail(f, "it did not end within %d s", SCENARIO_TIME);
  }
  pthread_join(thread, NULL);
  pthread_mutex_destroy(&t->mutex);
  pthread_cond_destroy(&t->ended);
  free(t);
  return ok;
}

static const json *read_file(arena *memory, const char *path, failure *f) {
  FILE *file = fopen(path, "rb");
  text read = text_new(memory);
  char part[4096];
  size_t len;
  if (file == NULL) {
    fail(f, "%s cannot be read", path);
    return NULL;
  }
  while ((len = fread(part, 1, sizeof part, file)) > 0) {
    text_put(&read, part, len);
  }
  fclose(file);
  return json_parse(memory, read.bytes, read.len, f);
}

// The file's name without folder and ending.
static void name_of(const char *path, char *name, size_t room) {
  const char *slash = strrchr(path, '/');
  snprintf(name, room, "%s", slash != NULL ? slash + 1 : path);
  char *dot = strrchr(name, '.');
  if (dot != NULL) {
    *dot = '\0';
  }
}

static bool run_file(const char *path, const char *backend, const char *url, text *results) {
  arena *memory = arena_new();
  failure f = {""};
  char name[200];
  const json *scenario = read_file(memory, path, &f), *named = json_field(scenario, "name");
  name_of(path, name, sizeof name);
  if (named != NULL && named->kind == JSON_TEXT) {
    snprintf(name, sizeof name, "%s", named->bytes);
  }
  bool ok = scenario != NULL && try_scenario(scenario, url, &f);
  printf("conformance c %s %s %s%s\n", backend, name, ok ? "ok" : "FAILED: ", ok ? "" : f.why);
  fflush(stdout);
  text_puts(results, results->len > 2 ? ",\n" : "");
  text_printf(results, "  {\"language\": \"c\", \"backend\": \"%s\", \"scenario\": ", backend);
  text_put_json(results, name, strlen(name));
  text_printf(results, ", \"ok\": %s, \"why\": ", ok ? "true" : "false");
  text_put_json(results, ok ? "" : f.why, ok ? 0 : strlen(f.why));
  text_puts(results, "}");
  if (strncmp(f.why, "it did not end", 14) != 0) {
    arena_free(memory);
  }
  return ok;
}

static bool write_file(const char *path, const text *content) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) {
    return false;
  }
  bool written = fwrite(content->bytes, 1, content->len, file) == content->len;
  return fclose(file) == 0 && written;
}

int run_corpus(const char *folder, const char *redis, const char *out) {
  const struct {
    const char *name, *url;
  } backends[] = {{"memory", "memory://"}, {"redis", redis}};
  char pattern[4096];
  glob_t files;
  snprintf(pattern, sizeof pattern, "%s/*.json", folder);
  if (glob(pattern, 0, NULL, &files) != 0) {
    fprintf(stderr, "no scenario in \"%s\"\n", folder);
    return 2;
  }
  arena *memory = arena_new();
  text results = text_new(memory);
  size_t passed = 0, failed = 0;
  text_puts(&results, "[\n");
  for (size_t i = 0; i < files.gl_pathc; i++) {
    for (size_t j = 0; j < 2; j++) {
      bool ok = run_file(files.gl_pathv[i], backends[j].name, backends[j].url, &results);
      passed += ok;
      failed += !ok;
    }
  }
  text_puts(&results, "\n]\n");
  globfree(&files);
  bool written = out == NULL || write_file(out, &results);
  if (!written) {
    fprintf(stderr, "%s cannot be written\n", out);
  }
  printf("%zu passed, %zu failed\n", passed, failed);
  arena_free(memory);
  return failed > 0 || !written ? 1 : 0;
}
