// Ends the process in the midst of everything: exit WAY. It must end, with the status 0.

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"

static sj_cache *memory, *redis;
static sj_queue *queue, *waited;
static atomic_int started;

static int32_t endless(void *user, sj_fetch *fetch) {
  (void)user, (void)fetch;
  atomic_fetch_add(&started, 1);
  for (;;) {
    pause();
  }
  return SJ_OK;
}

static void *in_a_fetch(void *user) {
  sj_buf value;
  sj_get_or_fetch(user, sj_text("endless"), NULL, endless, NULL, &value, NULL, NULL);
  return NULL;
}

static void *in_a_wait(void *user) {
  sj_completion c;
  atomic_fetch_add(&started, 1);
  sj_queue_wait(user, &c, 1, -1);
  return NULL;
}

static void *busy(void *user) {
  atomic_fetch_add(&started, 1);
  for (unsigned i = 0;; i++) {
    sj_buf value = {0};
    char key[16];
    snprintf(key, sizeof key, "k%u", i % 20);
    sj_set(user, sj_text(key), sj_text("1"), NULL, NULL, NULL);
    if (sj_get(user, sj_text(key), &value, NULL, NULL) == SJ_HIT) {
      sj_buf_free(&value);
    }
  }
  return NULL;
}

static void start(void *(*work)(void *), void *user) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, work, user) == 0 && pthread_detach(thread) == 0);
}

// Threads in fetches, in waits, and in calls; answers on their way; leases that nobody answered.
static void begin_everything(void) {
  sj_completion c;
  memory = open_cache("memory://", "");
  redis = open_cache(redis_url(), "");
  queue = sj_queue_new();
  waited = sj_queue_new_fd();
  start(in_a_fetch, memory);
  start(in_a_fetch, redis);
  start(in_a_wait, waited);
  start(busy, memory);
  start(busy, redis);
  EVENTUALLY(atomic_load(&started) == 5);
  start(in_a_fetch, redis);
  for (uint64_t token = 1; token <= 100; token++) {
    char key[16];
    snprintf(key, sizeof key, "q%d", (int)token);
    if (sj_begin(redis, sj_text(key), NULL, queue, token, &c) != SJ_PENDING) {
      sj_buf_free(&c.value);
    }
  }
}

static void at_exit(void) { sj_shutdown(500); }

int main(int count, char **arguments) {
  const char *way = count > 1 ? arguments[1] : "";
  if (strcmp(way, "return") == 0) {
    begin_everything();
    return 0;
  }
  if (strcmp(way, "exit") == 0) {
    begin_everything();
    exit(0);
  }
  if (strcmp(way, "shutdown") == 0) {
    sj_buf value;
    begin_everything();
    sj_shutdown(500);
    CHECK(sj_get(memory, sj_text("k"), &value, NULL, NULL) == SJ_ERR_CLOSED);
    return 0;
  }
  if (strcmp(way, "atexit") == 0) {
    CHECK(atexit(at_exit) == 0);
    begin_everything();
    return 0;
  }
  if (strcmp(way, "unused") == 0) {
    memory = open_cache("memory://", "");
    redis = open_cache(redis_url(), "");
    return 0;
  }
  if (strcmp(way, "unreachable") == 0) {
    // Nobody listens there: a delete is pending, and the end does not wait for it.
    sj_receipt receipt;
    redis = open_cache("redis://127.0.0.1:1", "");
    CHECK(sj_delete(redis, sj_text("k"), &receipt, NULL) == SJ_OK && receipt.pending == 1);
    return 0;
  }
  return 2;
}
