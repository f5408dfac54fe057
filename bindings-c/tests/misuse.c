// Wrong calls are errors, not crashes.

#include "check.h"

static const sj_slice nothing = {NULL, 0};
// A pointer that cannot be followed, with a length.
static const sj_slice broken = {NULL, 5};

static int32_t no_fetch(void *user, sj_fetch *fetch) {
  (void)user, (void)fetch;
  return SJ_OK;
}

static int32_t no_fetch_many(void *user, sj_fetch *fetch, const sj_slice *missing, size_t count) {
  (void)user, (void)fetch, (void)missing, (void)count;
  return SJ_OK;
}

static void null_handles(void) {
  sj_slice k = sj_text("k");
  sj_buf value = {0};
  uint64_t end = 1;
  sj_completion out;
  sj_queue *queue = sj_queue_new();
  sj_cache *opened;
  CHECK(sj_open(nothing, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_open(broken, &opened, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get(NULL, k, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_set(NULL, k, k, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_delete(NULL, k, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_clear(NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_close(NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_many(NULL, k, &end, 1, &value, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_set_many(NULL, k, &end, k, &end, NULL, 1, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_delete_many(NULL, k, &end, 1, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_or_fetch(NULL, k, NULL, no_fetch, NULL, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_or_fetch_many(NULL, k, &end, 1, NULL, no_fetch_many, NULL, &value, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_stats_json(NULL, &value) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_note_undecodable(NULL, k) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fulfil(NULL, 1, k, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fail(NULL, 1, SJ_ERR_FETCH_FAILED, k, 0, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_abandon(NULL, 1) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_async(NULL, k, queue, 1, &out) == SJ_ERR_INVALID_OPTION);
  sj_buf_free(&out.value);
  CHECK(sj_queue_wait(NULL, &out, 1, 0) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_cancel(NULL, 1) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_queue_fd(NULL) == -1 && sj_queue_fd(queue) == -1);
  CHECK(sj_fetch_value(NULL, k, SJ_JSON) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fetch_value_at(NULL, 3, k, SJ_JSON) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fetch_message(NULL, k) == SJ_ERR_INVALID_OPTION);
  size_t count = 7;
  sj_fetch_held(NULL, &count);
  sj_fetch_held(NULL, NULL);
  CHECK(count == 0);
  CHECK(sj_released_errors(NULL, 5) == 0 && sj_released_errors(&end, 0) == 0);
  sj_queue_close(NULL);
  sj_queue_free(NULL);
  sj_queue_free(queue);
  sj_cache_free(NULL);
  sj_buf_free(NULL);
}

static void null_arguments(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  sj_slice k = sj_text("k");
  sj_buf value = {0};
  sj_completion out;
  CHECK(sj_get(cache, k, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get(cache, broken, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_set(cache, k, broken, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_set(cache, (sj_slice){(const uint8_t *)"k", SIZE_MAX}, k, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get(cache, nothing, &value, NULL, NULL) == SJ_ERR_INVALID_KEY);
  CHECK(sj_get_or_fetch(cache, k, NULL, NULL, NULL, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_or_fetch(cache, k, NULL, no_fetch, NULL, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_stats_json(cache, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_async(cache, k, NULL, 1, &out) == SJ_ERR_INVALID_OPTION);
  sj_buf_free(&out.value);
  CHECK(sj_get_async(cache, k, queue, 1, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_begin(cache, k, NULL, queue, 1, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_queue_wait(queue, NULL, 1, 0) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_queue_wait(queue, &out, 0, 0) == SJ_ERR_INVALID_OPTION);
  // All that may be NULL.
  CHECK(sj_set(cache, k, sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  CHECK(sj_get(cache, k, &value, NULL, NULL) == SJ_HIT);
  sj_buf_free(&value);
  sj_queue_free(queue);
  free_cache(cache);
}

static void wrong_options(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  sj_slice k = sj_text("k"), one = sj_text("1");
  sj_put_opts put = SJ_PUT_OPTS_INIT;
  sj_fetch_opts fetch = SJ_FETCH_OPTS_INIT;
  sj_buf value = {0};
  put.size = 4;
  CHECK(sj_set(cache, k, one, &put, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  put.size = 0;
  CHECK(sj_set(cache, k, one, &put, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  // A caller that knows more than this library.
  put.size = 4096;
  CHECK(sj_set(cache, k, one, &put, NULL, NULL) == SJ_OK);
  put.size = sizeof put;
  put.codec = SJ_MSGPACK;
  CHECK(sj_set(cache, k, one, &put, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  put.codec = SJ_JSON;
  put.store_as = 99;
  CHECK(sj_set(cache, k, one, &put, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  put.store_as = SJ_RAW;
  CHECK(sj_set(cache, k, one, &put, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  put.store_as = SJ_STORE_DEFAULT;
  static const int64_t wrong_ttls[] = {0, -1, INT64_MAX, INT64_MIN + 1, INT64_C(31536000001)};
  for (size_t i = 0; i < sizeof wrong_ttls / sizeof *wrong_ttls; i++) {
    put.ttl_ms = wrong_ttls[i];
    CHECK(sj_set(cache, k, one, &put, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  }
  fetch.size = 8;
  CHECK(sj_get_or_fetch(cache, sj_text("f"), &fetch, no_fetch, NULL, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  fetch.size = sizeof fetch;
  fetch.held_len = 2;
  CHECK(sj_get_or_fetch(cache, sj_text("f"), &fetch, no_fetch, NULL, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  fetch.held_len = SIZE_MAX;
  fetch.held = &(uint64_t){1};
  CHECK(sj_get_or_fetch(cache, sj_text("f"), &fetch, no_fetch, NULL, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  sj_queue_free(queue);
  free_cache(cache);
}

static void wrong_ends(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_slice keys = sj_text("abc");
  sj_buf items = {0};
  const uint64_t past[] = {1, 4}, falling[] = {2, 1}, huge[] = {1, UINT64_MAX}, good[] = {1, 3}, twice[] = {1, 1};
  CHECK(sj_get_many(cache, keys, past, 2, &items, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_many(cache, keys, falling, 2, &items, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_many(cache, keys, huge, 2, &items, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_many(cache, keys, NULL, 2, &items, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_many(cache, keys, good, SIZE_MAX, &items, NULL) == SJ_ERR_INVALID_OPTION);
  // An empty key.
  CHECK(sj_get_many(cache, keys, twice, 2, &items, NULL) == SJ_ERR_INVALID_KEY);
  CHECK(sj_delete_many(cache, keys, falling, 2, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_set_many(cache, keys, good, sj_text("12"), past, NULL, 2, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_or_fetch_many(cache, keys, past, 2, NULL, no_fetch_many, NULL, &items, NULL) ==
        SJ_ERR_INVALID_OPTION);
  CHECK(sj_get_or_fetch_many(cache, keys, good, 2, NULL, NULL, NULL, &items, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(items.owner == NULL);
  CHECK(sj_get_many(cache, keys, good, 2, &items, NULL) == SJ_OK);
  const sj_item *item = (const void *)items.ptr;
  CHECK(item[0].status == SJ_MISS && item[1].status == SJ_MISS);
  sj_buf_free(&items);
  CHECK(sj_get_many(cache, nothing, NULL, 0, &items, NULL) == SJ_OK && items.len == 0);
  sj_buf_free(&items);
  free_cache(cache);
}

static void freed_twice(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_put_opts raw = SJ_PUT_OPTS_INIT;
  raw.codec = SJ_RAW;
  CHECK(sj_set(cache, sj_text("k"), nothing, &raw, NULL, NULL) == SJ_OK);
  sj_buf value;
  uint32_t codec = 9;
  CHECK(sj_get(cache, sj_text("k"), &value, &codec, NULL) == SJ_HIT && codec == SJ_RAW);
  CHECK(value.len == 0 && value.ptr != NULL);
  sj_buf_free(&value);
  CHECK(value.ptr == NULL && value.len == 0 && value.owner == NULL);
  sj_buf_free(&value);
  free_cache(cache);
}

// What was read stays as it is when its key goes, and when its cache goes.
static void values_outlive_the_cache(void) {
  sj_cache *cache = open_cache("memory://", "");
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"kept\""), NULL, NULL, NULL) == SJ_OK);
  sj_buf value;
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_HIT);
  CHECK(sj_delete(cache, sj_text("k"), NULL, NULL) == SJ_OK);
  free_cache(cache);
  CHECK(is_text(value, "\"kept\""));
  sj_buf_free(&value);
}

static int32_t forgets(void *user, sj_fetch *fetch) {
  (void)user;
  CHECK(sj_fetch_value_at(fetch, 1, sj_text("1"), SJ_JSON) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fetch_value(fetch, sj_text("1"), SJ_MSGPACK) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fetch_value(fetch, broken, SJ_JSON) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fetch_message(fetch, broken) == SJ_ERR_INVALID_OPTION);
  return SJ_OK;
}

static int32_t odd_status(void *user, sj_fetch *fetch) {
  (void)fetch;
  return *(int32_t *)user;
}

static void wrong_fetches(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_buf value = {0};
  CHECK(sj_get_or_fetch(cache, sj_text("k"), NULL, forgets, NULL, &value, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  // Neither success nor the number of a kind.
  int32_t odd[] = {1, SJ_HIT, 7777, -7777, INT32_MIN, INT32_MAX};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    CHECK(sj_get_or_fetch(cache, sj_text("k"), NULL, odd_status, &odd[i], &value, NULL, NULL) == SJ_ERR_FETCH_FAILED);
  }
  CHECK(value.owner == NULL && sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_MISS);
  free_cache(cache);
}

static void unknown_leases(void) {
  sj_cache *cache = open_cache("memory://", "");
  static const uint64_t never[] = {0, 1, 12345, UINT64_MAX};
  sj_completion out;
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    CHECK(sj_fulfil(cache, never[i], sj_text("1"), NULL, NULL, NULL) == SJ_ERR_LEASE_EXPIRED);
    CHECK(sj_fail(cache, never[i], SJ_ERR_FETCH_FAILED, sj_text("x"), 0, NULL) == SJ_ERR_LEASE_EXPIRED);
    CHECK(sj_fail(cache, never[i], SJ_ERR_FETCH_FAILED, sj_text("x"), 0, &out) == SJ_ERR_LEASE_EXPIRED);
    sj_buf_free(&out.value);
    CHECK(sj_abandon(cache, never[i]) == SJ_OK);
  }
  free_cache(cache);
}

static void closed_cache(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  sj_completion out;
  sj_buf value = {0};
  CHECK(sj_close(cache, NULL, NULL) == SJ_OK && sj_close(cache, NULL, NULL) == SJ_OK);
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_ERR_CLOSED);
  CHECK(sj_set(cache, sj_text("k"), sj_text("1"), NULL, NULL, NULL) == SJ_ERR_CLOSED);
  CHECK(sj_begin(cache, sj_text("k"), NULL, queue, 1, &out) == SJ_ERR_CLOSED);
  CHECK(out.value.len > 0);
  sj_buf_free(&out.value);
  CHECK(sj_stats_json(cache, &value) == SJ_OK);
  sj_buf_free(&value);
  sj_queue_free(queue);
  sj_cache_free(cache);
}

static void closed_queue(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  sj_completion out;
  sj_queue_close(queue);
  sj_queue_close(queue);
  CHECK(sj_queue_wait(queue, &out, 1, 0) == SJ_ERR_CLOSED);
  CHECK(sj_queue_wait(queue, &out, 1, -1) == SJ_ERR_CLOSED);
  CHECK(sj_cancel(queue, 1) == SJ_MISS);
  CHECK(sj_begin(cache, sj_text("k"), NULL, queue, 1, &out) == SJ_ERR_CLOSED);
  sj_buf_free(&out.value);
  sj_queue_free(queue);
  // The key was not taken along.
  queue = sj_queue_new();
  CHECK(sj_begin(cache, sj_text("k"), NULL, queue, 1, &out) == SJ_LEAD);
  CHECK(sj_abandon(cache, out.lease) == SJ_OK);
  sj_queue_free(queue);
  free_cache(cache);
}

int main(void) {
  RUN(null_handles);
  RUN(null_arguments);
  RUN(wrong_options);
  RUN(wrong_ends);
  RUN(freed_twice);
  RUN(values_outlive_the_cache);
  RUN(wrong_fetches);
  RUN(unknown_leases);
  RUN(closed_cache);
  RUN(closed_queue);
  return 0;
}
