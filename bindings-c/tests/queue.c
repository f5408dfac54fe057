// Queues: the descriptor that an event loop polls, timeouts, threads that wait; over a real Redis.

#include <poll.h>
#include <pthread.h>

#include "check.h"

static int readable(sj_queue *queue, int timeout_ms) {
  struct pollfd one = {sj_queue_fd(queue), POLLIN, 0};
  int count = poll(&one, 1, timeout_ms);
  CHECK(count >= 0);
  return count > 0 && (one.revents & POLLIN) != 0;
}

static void the_descriptor_follows_the_queue(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new_fd();
  sj_completion c;
  CHECK(queue != NULL && sj_queue_fd(queue) >= 0 && !readable(queue, 0));
  CHECK(sj_begin(cache, sj_text("k"), NULL, queue, 1, &c) == SJ_LEAD);
  uint64_t lease = c.lease;
  for (uint64_t token = 2; token <= 4; token++) {
    CHECK(sj_begin(cache, sj_text("k"), NULL, queue, token, &c) == SJ_PENDING);
  }
  CHECK(!readable(queue, 0));
  CHECK(sj_fulfil(cache, lease, sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  for (int left = 3; left > 0; left--) {
    // Readable as long as one is left.
    CHECK(readable(queue, 20000));
    CHECK(sj_queue_wait(queue, &c, 1, 0) == 1 && c.status == SJ_HIT);
    sj_buf_free(&c.value);
  }
  CHECK(sj_queue_wait(queue, &c, 1, 0) == 0 && !readable(queue, 0));
  sj_queue_free(queue);
  free_cache(cache);
}

static void timeouts(void) {
  sj_queue *queue = sj_queue_new();
  sj_completion c;
  double before = seconds();
  CHECK(sj_queue_wait(queue, &c, 1, 0) == 0);
  CHECK(sj_queue_wait(queue, &c, 1, 30) == 0);
  CHECK(seconds() - before >= 0.029);
  sj_queue_free(queue);
}

static void *wait_for_ever(void *user) {
  sj_completion c;
  CHECK(sj_queue_wait(user, &c, 1, -1) == SJ_ERR_CLOSED);
  return NULL;
}

static void close_wakes_those_who_wait(void) {
  sj_queue *queue = sj_queue_new();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, wait_for_ever, queue) == 0);
  }
  sleep_ms(20);
  sj_queue_close(queue);
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  sj_queue_free(queue);
}

// Takes `count` answers of a queue that is polled; each token from 1 on must come once, with this status.
static void collect(sj_queue *queue, int count, int32_t status, bool *seen) {
  sj_completion batch[64];
  while (count > 0) {
    CHECK(readable(queue, 20000));
    ptrdiff_t taken = sj_queue_wait(queue, batch, 64, 0);
    CHECK(taken >= 0);
    for (ptrdiff_t i = 0; i < taken; i++, count--) {
      CHECK(batch[i].status == status && !seen[batch[i].token]);
      seen[batch[i].token] = true;
      sj_buf_free(&batch[i].value);
    }
  }
}

static void every_call_through_a_queue(void) {
  enum { KEYS = 500 };
  sj_cache *cache = open_cache(redis_url(), "\"l1_bytes\": 0");
  sj_queue *queue = sj_queue_new_fd();
  char key[16];
  sj_completion c;
  bool seen[KEYS + 1] = {false};
  int pending = 0;
  for (uint64_t token = 1; token <= KEYS; token++) {
    snprintf(key, sizeof key, "k%d", (int)token);
    int32_t status = sj_set_async(cache, sj_text(key), sj_text(key + 1), NULL, queue, token, &c);
    CHECK(status == SJ_PENDING || status == SJ_OK);
    pending += status == SJ_PENDING;
    seen[token] = status == SJ_OK;
  }
  collect(queue, pending, SJ_OK, seen);
  memset(seen, 0, sizeof seen);
  pending = 0;
  for (uint64_t token = 1; token <= KEYS; token++) {
    snprintf(key, sizeof key, "k%d", (int)token);
    int32_t status = sj_get_async(cache, sj_text(key), queue, token, &c);
    CHECK(status == SJ_PENDING);
    pending++;
  }
  collect(queue, pending, SJ_HIT, seen);

  const uint64_t ends[] = {2, 4};
  int32_t status = sj_get_many_async(cache, sj_text("k1zz"), ends, 2, queue, 1, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  const sj_item *items = (const void *)c.value.ptr;
  CHECK(c.status == SJ_MANY && items[0].status == SJ_HIT && items[1].status == SJ_MISS);
  sj_buf_free(&c.value);
  status = sj_set_many_async(cache, sj_text("k1k2"), ends, sj_text("4567"), ends, NULL, 2, NULL, queue, 2, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  CHECK(c.status == SJ_OK && c.receipt.pending == 0);
  status = sj_delete_async(cache, sj_text("k1"), queue, 3, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  CHECK(c.status == SJ_OK && c.receipt.pending == 0);
  status = sj_delete_many_async(cache, sj_text("k2k3"), ends, 2, queue, 4, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  CHECK(c.status == SJ_OK);
  status = sj_clear_async(cache, queue, 5, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  CHECK(c.status == SJ_OK && c.receipt.pending == 0);
  status = sj_close_async(cache, queue, 6, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  CHECK(c.status == SJ_OK);
  sj_queue_free(queue);
  sj_cache_free(cache);
}

// An answer that nobody takes is freed with its queue; one that comes after the queue is gone, too.
static void answers_without_a_queue(void) {
  sj_cache *cache = open_cache(redis_url(), "\"l1_bytes\": 0");
  sj_completion c;
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"value\""), NULL, NULL, NULL) == SJ_OK);
  for (int i = 0; i < 200; i++) {
    sj_queue *queue = i % 2 == 0 ? sj_queue_new() : sj_queue_new_fd();
    CHECK(sj_get_async(cache, sj_text("k"), queue, 1, &c) == SJ_PENDING);
    CHECK(sj_get_async(cache, sj_text("k"), queue, 2, &c) == SJ_PENDING);
    CHECK(sj_begin(cache, sj_text("absent"), NULL, queue, 3, &c) == SJ_PENDING);
    if (i % 4 == 0) {
      sleep_ms(2);
    }
    if (i % 3 == 0) {
      sj_cancel(queue, 1);
      sj_cancel(queue, 3);
    }
    sj_queue_close(queue);
    CHECK(sj_get_async(cache, sj_text("k"), queue, 4, &c) == SJ_ERR_CLOSED);
    sj_buf_free(&c.value);
    sj_queue_free(queue);
  }
  // No lease was lost with them.
  sj_queue *queue = sj_queue_new();
  int32_t status = sj_begin(cache, sj_text("absent"), NULL, queue, 9, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 10000) == 1);
    status = c.status;
  }
  CHECK(status == SJ_LEAD && sj_abandon(cache, c.lease) == SJ_OK);
  sj_queue_free(queue);
  free_cache(cache);
}

int main(void) {
  RUN(the_descriptor_follows_the_queue);
  RUN(timeouts);
  RUN(close_wakes_those_who_wait);
  RUN(every_call_through_a_queue);
  RUN(answers_without_a_queue);
  return 0;
}
