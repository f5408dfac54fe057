// What the C tests share: each test is a function, RUN prints its name when it returns, CHECK ends the program.

#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <scrubjay.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                          \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

#define RUN(test)                                                                                                      \
  do {                                                                                                                 \
    test();                                                                                                            \
    printf("ok %s\n", #test);                                                                                          \
    fflush(stdout);                                                                                                    \
  } while (0)

static inline void sleep_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

static inline double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Repeats until the condition holds, at most 20 s.
#define EVENTUALLY(condition)                                                                                          \
  do {                                                                                                                 \
    double check_deadline = seconds() + 20;                                                                            \
    while (!(condition)) {                                                                                             \
      CHECK(seconds() < check_deadline && #condition);                                                                 \
      sleep_ms(2);                                                                                                     \
    }                                                                                                                  \
  } while (0)

static inline bool is_text(sj_buf value, const char *text) {
  return value.len == strlen(text) && memcmp(value.ptr, text, value.len) == 0;
}

// A cache of its own; `options` are further fields of JSON, or "".
static inline sj_cache *open_cache(const char *url, const char *options) {
  static unsigned opened;
  char json[500];
  snprintf(json, sizeof json, "{\"url\": \"%s\", \"prefix\": \"c-test-%ld-%u\"%s%s}", url, (long)getpid(),
           ++opened, *options != '\0' ? ", " : "", options);
  sj_error *error = NULL;
  sj_cache *cache = NULL;
  int32_t status = sj_open(sj_text(json), &cache, &error);
  if (status != SJ_OK) {
    fprintf(stderr, "%s: %s\n", json, sj_error_message(error));
  }
  CHECK(status == SJ_OK);
  return cache;
}

static inline void free_cache(sj_cache *cache) {
  sj_clear(cache, NULL, NULL);
  CHECK(sj_close(cache, NULL, NULL) == SJ_OK);
  sj_cache_free(cache);
}

// A counter of sj_stats_json.
static inline unsigned long stat_of(const sj_cache *cache, const char *name) {
  sj_buf json;
  char field[64], text[2000];
  CHECK(sj_stats_json(cache, &json) == SJ_OK && json.len < sizeof text);
  memcpy(text, json.ptr, json.len);
  text[json.len] = '\0';
  sj_buf_free(&json);
  snprintf(field, sizeof field, "\"%s\":", name);
  const char *at = strstr(text, field);
  CHECK(at != NULL);
  return strtoul(at + strlen(field), NULL, 10);
}

// The Redis of this run.
static inline const char *redis_url(void) {
  const char *url = getenv("SCRUBJAY_TEST_REDIS");
  CHECK(url != NULL);
  return url;
}

#endif
