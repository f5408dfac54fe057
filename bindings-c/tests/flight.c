// One fetch for all callers of a key; leases, tokens, and who hears of a failure.

#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { CALLERS = 1000 };

typedef struct crowd {
  sj_cache *cache;
  atomic_int runs;
  int32_t fails_with;
} crowd;

static int32_t slow_fetch(void *user, sj_fetch *fetch) {
  crowd *c = user;
  atomic_fetch_add(&c->runs, 1);
  EVENTUALLY(stat_of(c->cache, "waits") == CALLERS - 1);
  if (c->fails_with != SJ_OK) {
    sj_fetch_message(fetch, sj_text("the database is down"));
    return c->fails_with;
  }
  return sj_fetch_value(fetch, sj_text("[1, 2]"), SJ_JSON);
}

static void *one_caller(void *user) {
  crowd *c = user;
  sj_buf value = {0};
  uint32_t codec = 9;
  sj_error *error = NULL;
  int32_t status = sj_get_or_fetch(c->cache, sj_text("k"), NULL, slow_fetch, c, &value, &codec, &error);
  if (c->fails_with == SJ_OK) {
    CHECK((status == SJ_OK || status == SJ_HIT) && codec == SJ_JSON && is_text(value, "[1, 2]"));
  } else {
    CHECK(status == c->fails_with && strcmp(sj_error_message(error), "the database is down") == 0);
  }
  sj_error_free(error);
  sj_buf_free(&value);
  return NULL;
}

static void run_crowd(int32_t fails_with) {
  crowd c = {open_cache("memory://", ""), 0, fails_with};
  pthread_t threads[CALLERS];
  pthread_attr_t small;
  CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 * 1024) == 0);
  for (int i = 0; i < CALLERS; i++) {
    CHECK(pthread_create(&threads[i], &small, one_caller, &c) == 0);
  }
  for (int i = 0; i < CALLERS; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  pthread_attr_destroy(&small);
  CHECK(atomic_load(&c.runs) == 1 && stat_of(c.cache, "loads") == 1);
  free_cache(c.cache);
}

static void one_fetch_for_a_thousand_threads(void) { run_crowd(SJ_OK); }

static void one_error_for_a_thousand_threads(void) { run_crowd(SJ_ERR_FETCH_FAILED); }

static uint64_t lead(sj_cache *cache, const char *key, sj_queue *queue, uint64_t token) {
  sj_completion c;
  CHECK(sj_begin(cache, sj_text(key), NULL, queue, token, &c) == SJ_LEAD);
  CHECK(c.lease != 0 && c.token == token && c.value.owner == NULL);
  return c.lease;
}

static void begin_waiting(sj_cache *cache, const char *key, sj_queue *queue, uint64_t token) {
  sj_completion c;
  CHECK(sj_begin(cache, sj_text(key), NULL, queue, token, &c) == SJ_PENDING);
}

static sj_completion take(sj_queue *queue) {
  sj_completion c;
  CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  return c;
}

static void fulfil_answers_the_waiters(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  uint64_t lease = lead(cache, "k", queue, 1);
  bool seen[101] = {false};
  sj_completion batch[16];
  for (uint64_t token = 2; token <= 100; token++) {
    begin_waiting(cache, "k", queue, token);
  }
  sj_receipt receipt;
  CHECK(sj_fulfil(cache, lease, sj_text("7"), NULL, &receipt, NULL) == SJ_OK && receipt.pending == 0);
  for (int left = 99; left > 0;) {
    ptrdiff_t count = sj_queue_wait(queue, batch, 16, 20000);
    CHECK(count > 0 && count <= 16);
    for (ptrdiff_t i = 0; i < count; i++, left--) {
      CHECK(batch[i].status == SJ_HIT && is_text(batch[i].value, "7") && !seen[batch[i].token]);
      seen[batch[i].token] = true;
      sj_buf_free(&batch[i].value);
    }
  }
  CHECK(sj_queue_wait(queue, batch, 16, 0) == 0);
  sj_queue_free(queue);
  free_cache(cache);
}

static void a_cancelled_token_is_not_answered(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  uint64_t lease = lead(cache, "k", queue, 1);
  begin_waiting(cache, "k", queue, 2);
  begin_waiting(cache, "k", queue, 3);
  CHECK(sj_cancel(queue, 2) == SJ_OK);
  CHECK(sj_cancel(queue, 2) == SJ_MISS && sj_cancel(queue, 99) == SJ_MISS);
  CHECK(sj_fulfil(cache, lease, sj_text("7"), NULL, NULL, NULL) == SJ_OK);
  sj_completion c = take(queue);
  CHECK(c.token == 3 && c.status == SJ_HIT);
  sj_buf_free(&c.value);
  CHECK(sj_queue_wait(queue, &c, 1, 0) == 0);
  // Taken already.
  CHECK(sj_cancel(queue, 3) == SJ_MISS);
  sj_queue_free(queue);
  free_cache(cache);
}

static void an_abandoned_lease_goes_to_the_next(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  uint64_t lease = lead(cache, "k", queue, 1);
  begin_waiting(cache, "k", queue, 2);
  begin_waiting(cache, "k", queue, 3);
  CHECK(sj_abandon(cache, lease) == SJ_OK);
  sj_completion c = take(queue);
  CHECK(c.token == 2 && c.status == SJ_LEAD && c.lease != 0 && c.lease != lease);
  // The old lease is nobody's.
  CHECK(sj_fulfil(cache, lease, sj_text("0"), NULL, NULL, NULL) == SJ_ERR_LEASE_EXPIRED);
  CHECK(sj_fulfil(cache, c.lease, sj_text("8"), NULL, NULL, NULL) == SJ_OK);
  c = take(queue);
  CHECK(c.token == 3 && c.status == SJ_HIT && is_text(c.value, "8"));
  sj_buf_free(&c.value);
  sj_queue_free(queue);
  free_cache(cache);
}

// A lease that lies in a queue goes on when its token is cancelled, and when the queue is freed.
static void an_undelivered_lease_goes_to_the_next(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *gone = sj_queue_new(), *freed = sj_queue_new(), *queue = sj_queue_new();
  uint64_t lease = lead(cache, "k", queue, 1);
  begin_waiting(cache, "k", gone, 2);
  begin_waiting(cache, "k", freed, 3);
  begin_waiting(cache, "k", queue, 4);
  CHECK(sj_abandon(cache, lease) == SJ_OK);
  sj_cancel(gone, 2);
  sj_queue_free(freed);
  sj_completion c = take(queue);
  CHECK(c.token == 4 && c.status == SJ_LEAD);
  CHECK(sj_abandon(cache, c.lease) == SJ_OK);
  sj_queue_free(gone);
  sj_queue_free(queue);
  free_cache(cache);
}

static void a_late_fulfil_changes_nothing(void) {
  sj_cache *cache = open_cache("memory://", "\"fetch_hard_timeout\": 0.05");
  sj_queue *queue = sj_queue_new();
  sj_buf value;
  uint64_t lease = lead(cache, "k", queue, 1);
  begin_waiting(cache, "k", queue, 2);
  sj_completion c = take(queue);
  CHECK(c.token == 2 && c.status == SJ_ERR_FETCH_TIMEOUT && c.value.len > 0);
  sj_buf_free(&c.value);
  sj_error *error = NULL;
  CHECK(sj_fulfil(cache, lease, sj_text("late"), NULL, NULL, &error) == SJ_ERR_LEASE_EXPIRED);
  CHECK(sj_error_code(error) == SJ_ERR_LEASE_EXPIRED);
  sj_error_free(error);
  CHECK(sj_fail(cache, lease, SJ_ERR_FETCH_FAILED, sj_text("late"), 0, NULL) == SJ_ERR_LEASE_EXPIRED);
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_MISS);
  sj_queue_free(queue);
  free_cache(cache);
}

static void errors_carry_the_number_of_their_object(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  uint64_t released[8];
  uint64_t lease = lead(cache, "k", queue, 1);
  begin_waiting(cache, "k", queue, 2);
  begin_waiting(cache, "k", queue, 3);
  CHECK(sj_released_errors(released, 8) == 0);
  CHECK(sj_fail(cache, lease, SJ_ERR_FETCH_FAILED, sj_text("down"), 4711, NULL) == SJ_OK);
  for (int i = 0; i < 2; i++) {
    sj_completion c = take(queue);
    CHECK(c.status == SJ_ERR_FETCH_FAILED && c.error_ref == 4711 && is_text(c.value, "down"));
    sj_buf_free(&c.value);
  }
  // All who could carry it have been answered.
  size_t count = 0;
  EVENTUALLY((count = sj_released_errors(released, 8)) > 0);
  CHECK(count == 1 && released[0] == 4711 && sj_released_errors(released, 8) == 0);

  // Several at once, taken one by one.
  for (uint64_t i = 1; i <= 3; i++) {
    lease = lead(cache, "k", queue, 10 + i);
    CHECK(sj_fail(cache, lease, SJ_ERR_FETCH_FAILED, sj_text("down"), i, NULL) == SJ_OK);
  }
  uint64_t sum = 0;
  for (int i = 0; i < 3; i++) {
    EVENTUALLY(sj_released_errors(released, 1) == 1);
    sum += released[0];
  }
  CHECK(sum == 6 && sj_released_errors(released, 1) == 0);
  sj_queue_free(queue);
  free_cache(cache);
}

static void kinds_of_failures(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  sj_completion c;
  uint64_t lease = lead(cache, "none", queue, 1);
  begin_waiting(cache, "none", queue, 2);
  CHECK(sj_fail(cache, lease, SJ_ERR_NOT_FOUND, sj_text(""), 0, NULL) == SJ_OK);
  c = take(queue);
  CHECK(c.status == SJ_ERR_NOT_FOUND);
  sj_buf_free(&c.value);
  // Remembered.
  CHECK(sj_begin(cache, sj_text("none"), NULL, queue, 3, &c) == SJ_ERR_NOT_FOUND);
  sj_buf_free(&c.value);

  // What no fetch may say is said to the waiters as a failure.
  lease = lead(cache, "odd", queue, 4);
  begin_waiting(cache, "odd", queue, 5);
  CHECK(sj_fail(cache, lease, SJ_ERR_CLOSED, sj_text("odd"), 0, &c) == SJ_ERR_INVALID_OPTION);
  sj_buf_free(&c.value);
  c = take(queue);
  CHECK(c.token == 5 && c.status == SJ_ERR_FETCH_FAILED);
  sj_buf_free(&c.value);

  // A value that cannot be stored, and one that cannot be read.
  lease = lead(cache, "bad", queue, 6);
  begin_waiting(cache, "bad", queue, 7);
  CHECK(sj_fulfil(cache, lease, sj_text("{\"a\": NaN}"), NULL, NULL, NULL) == SJ_ERR_INVALID_VALUE);
  c = take(queue);
  CHECK(c.token == 7 && c.status == SJ_ERR_INVALID_VALUE);
  sj_buf_free(&c.value);
  lease = lead(cache, "bad", queue, 8);
  begin_waiting(cache, "bad", queue, 9);
  CHECK(sj_fulfil(cache, lease, (sj_slice){NULL, 3}, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  c = take(queue);
  CHECK(c.token == 9 && c.status == SJ_ERR_INVALID_OPTION);
  sj_buf_free(&c.value);
  sj_queue_free(queue);
  free_cache(cache);
}

static void a_failed_refresh_gives_the_old_value(void) {
  sj_cache *cache = open_cache("memory://", "\"jitter\": 0");
  sj_queue *queue = sj_queue_new();
  sj_put_opts brief = SJ_PUT_OPTS_INIT;
  sj_buf value = {0};
  sj_completion c;
  brief.ttl_ms = 20;
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"old\""), &brief, NULL, NULL) == SJ_OK);
  EVENTUALLY(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_MISS || (sj_buf_free(&value), false));
  uint64_t lease = lead(cache, "k", queue, 1);
  CHECK(sj_fail(cache, lease, SJ_ERR_FETCH_FAILED, sj_text("down"), 0, &c) == SJ_STALE);
  CHECK(c.status == SJ_STALE && is_text(c.value, "\"old\""));
  sj_buf_free(&c.value);
  sj_queue_free(queue);
  free_cache(cache);
}

static void a_key_inside_its_own_fetch(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  sj_fetch_opts inside = SJ_FETCH_OPTS_INIT;
  sj_completion c;
  uint64_t lease = lead(cache, "k", queue, 1);
  inside.held = &lease;
  inside.held_len = 1;
  CHECK(sj_begin(cache, sj_text("k"), &inside, queue, 2, &c) == SJ_ERR_RECURSIVE_FETCH);
  sj_buf_free(&c.value);
  CHECK(sj_fulfil(cache, lease, sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  sj_queue_free(queue);
  free_cache(cache);
}

static void many_keys_step_by_step(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  const uint64_t ends[] = {1, 2, 3, 4};
  sj_completion c;
  CHECK(sj_set(cache, sj_text("a"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  uint64_t other = lead(cache, "b", queue, 1);
  int32_t status = sj_begin_many(cache, sj_text("abcd"), ends, 4, NULL, queue, 100, &c);
  CHECK(status == SJ_MANY && c.token == 100);
  const sj_item *items = (const void *)c.value.ptr;
  CHECK(items[0].status == SJ_HIT && items[0].len == 1 && c.value.ptr[items[0].offset] == '1');
  CHECK(items[1].status == SJ_WAITING && items[2].status == SJ_LEAD && items[3].status == SJ_LEAD);
  CHECK(sj_fulfil(cache, items[2].lease, sj_text("3"), NULL, NULL, NULL) == SJ_OK);
  CHECK(sj_abandon(cache, items[3].lease) == SJ_OK);
  sj_buf_free(&c.value);
  CHECK(sj_fulfil(cache, other, sj_text("2"), NULL, NULL, NULL) == SJ_OK);
  c = take(queue);
  CHECK(c.token == 102 && c.status == SJ_HIT && is_text(c.value, "2"));
  sj_buf_free(&c.value);
  sj_queue_free(queue);
  free_cache(cache);
}

static void waiters_hear_of_a_close(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  uint64_t lease = lead(cache, "k", queue, 1);
  begin_waiting(cache, "k", queue, 2);
  CHECK(sj_close(cache, NULL, NULL) == SJ_OK);
  sj_completion c = take(queue);
  CHECK(c.token == 2 && c.status == SJ_ERR_CLOSED);
  sj_buf_free(&c.value);
  int32_t late = sj_fulfil(cache, lease, sj_text("1"), NULL, NULL, NULL);
  CHECK(late == SJ_ERR_LEASE_EXPIRED || late == SJ_ERR_CLOSED);
  sj_cache_free(cache);
  sj_queue_free(queue);
}

int main(void) {
  RUN(one_fetch_for_a_thousand_threads);
  RUN(one_error_for_a_thousand_threads);
  RUN(fulfil_answers_the_waiters);
  RUN(a_cancelled_token_is_not_answered);
  RUN(an_abandoned_lease_goes_to_the_next);
  RUN(an_undelivered_lease_goes_to_the_next);
  RUN(a_late_fulfil_changes_nothing);
  RUN(errors_carry_the_number_of_their_object);
  RUN(kinds_of_failures);
  RUN(a_failed_refresh_gives_the_old_value);
  RUN(a_key_inside_its_own_fetch);
  RUN(many_keys_step_by_step);
  RUN(waiters_hear_of_a_close);
  return 0;
}
