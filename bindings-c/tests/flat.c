// Memory stays as it is over many operations. SCALE=1 is a million of them on each backend.

#include <unistd.h>

#include "check.h"

enum { KEYS = 500 };

static sj_queue *queue;

static int32_t load(void *user, sj_fetch *fetch) {
  unsigned *i = user;
  if (*i % 7 == 0) {
    sj_fetch_message(fetch, sj_text("down"));
    return SJ_ERR_FETCH_FAILED;
  }
  if (*i % 11 == 0) {
    return SJ_ERR_NOT_FOUND;
  }
  return sj_fetch_value(fetch, sj_text("{\"name\": \"Ada\", \"numbers\": [1, 2, 3]}"), SJ_JSON);
}

static void settle(sj_cache *cache, int32_t status, sj_completion *c, unsigned i) {
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, c, 1, 20000) == 1);
  }
  if (c->lease != 0) {
    uint64_t released[16];
    if (i % 3 == 0) {
      sj_fail(cache, c->lease, SJ_ERR_FETCH_FAILED, sj_text("down"), i + 1, NULL);
    } else if (i % 3 == 1) {
      sj_abandon(cache, c->lease);
    } else {
      sj_fulfil(cache, c->lease, sj_text("[1]"), NULL, NULL, NULL);
    }
    while (sj_released_errors(released, 16) == 16) {
    }
  }
  sj_buf_free(&c->value);
}

static void operate(sj_cache *cache, unsigned i) {
  char key[32];
  sj_buf value = {0};
  sj_error *error = NULL;
  sj_completion c = {0};
  const uint64_t ends[] = {2, 4, 6};
  snprintf(key, sizeof key, "k%u", i % KEYS);
  switch (i % 10) {
  case 0:
    sj_set(cache, sj_text(key), sj_text("\"a value of some length, which is stored\""), NULL, NULL, &error);
    break;
  case 1:
    sj_get(cache, sj_text(key), &value, NULL, &error);
    break;
  case 2:
  case 3:
    sj_get_or_fetch(cache, sj_text(key), NULL, load, &i, &value, NULL, &error);
    break;
  case 4:
    sj_delete(cache, sj_text(key), NULL, &error);
    break;
  case 5:
    sj_get_many(cache, sj_text("k1k2k3"), ends, 3, &value, &error);
    break;
  case 6:
    // Always an error.
    sj_get(cache, sj_text(""), &value, NULL, &error);
    break;
  case 7:
    settle(cache, sj_begin(cache, sj_text(key), NULL, queue, i, &c), &c, i);
    break;
  case 8:
    settle(cache, sj_get_async(cache, sj_text(key), queue, i, &c), &c, i);
    break;
  default:
    if (sj_begin(cache, sj_text(key), NULL, queue, i, &c) == SJ_PENDING && sj_cancel(queue, i) == SJ_OK) {
      break;
    }
    settle(cache, c.token == i ? c.status : SJ_PENDING, &c, i);
  }
  sj_error_free(error);
  sj_buf_free(&value);
}

static size_t resident(void) {
  unsigned long all, pages;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%lu %lu", &all, &pages) == 2 && fclose(file) == 0);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void stays_flat(const char *url) {
  const char *scale = getenv("SCALE");
  double wanted = 1e6 * (scale != NULL ? atof(scale) : 0);
  unsigned operations = wanted > 20000 ? (unsigned)wanted : 20000;
  sj_cache *cache = open_cache(url, "\"l1_entries\": 300");
  queue = sj_queue_new();
  // What is kept for good is there after these.
  unsigned i = 0;
  for (; i < 20000; i++) {
    operate(cache, i);
  }
  size_t before = resident();
  for (; i < 20000 + operations; i++) {
    operate(cache, i);
  }
  size_t after = resident();
  size_t grown = after > before ? after - before : 0;
  const char *backend = strncmp(url, "redis", 5) == 0 ? "redis" : "memory";
  fprintf(stderr, "%s: %u operations, %zu KiB before, %zu KiB more after\n", backend, operations, before / 1024,
          grown / 1024);
  CHECK(grown < 6 * 1024 * 1024);
  sj_queue_free(queue);
  free_cache(cache);
}

static void in_memory(void) { stays_flat("memory://"); }

static void over_redis(void) { stays_flat(redis_url()); }

// Handles come and go.
static void handles(void) {
  size_t before = 0;
  for (int i = 0; i < 600; i++) {
    sj_cache *cache = open_cache("memory://", "");
    sj_queue *one = sj_queue_new_fd();
    CHECK(one != NULL);
    CHECK(sj_set(cache, sj_text("k"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
    sj_queue_free(one);
    // Every second one is freed without a close.
    if (i % 2 == 0) {
      CHECK(sj_close(cache, NULL, NULL) == SJ_OK);
    }
    sj_cache_free(cache);
    if (i == 200) {
      before = resident();
    }
  }
  size_t after = resident();
  CHECK(after < before + 6 * 1024 * 1024);
}

int main(void) {
  RUN(in_memory);
  RUN(over_redis);
  RUN(handles);
  return 0;
}
