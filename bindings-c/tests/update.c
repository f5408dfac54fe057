// Updates: nothing is stored under a key while its writer is at work; and what is known of a key.

#include <sys/wait.h>

#include "check.h"

static int loads;

static int32_t load(void *user, sj_fetch *fetch) {
  loads++;
  return sj_fetch_value(fetch, sj_text(user), SJ_JSON);
}

// Loads the key unless it is stored; whether it had to.
static bool loaded(sj_cache *cache, const char *key) {
  sj_buf value = {0};
  int before = loads;
  CHECK(sj_get_or_fetch(cache, sj_text(key), NULL, load, (void *)"\"loaded\"", &value, NULL, NULL) >= 0);
  sj_buf_free(&value);
  return loads > before;
}

// Whether the explanation of the key has this text.
static bool explained(sj_cache *cache, const char *key, const char *text) {
  sj_buf json = {0};
  char room[1000];
  CHECK(sj_explain(cache, sj_text(key), &json, NULL) == SJ_OK && json.len < sizeof room);
  memcpy(room, json.ptr, json.len);
  room[json.len] = '\0';
  sj_buf_free(&json);
  return strstr(room, text) != NULL;
}

static const uint64_t ends[] = {1, 2};

static uint64_t begin(sj_cache *cache, const sj_update_opts *opts) {
  uint64_t update = 0;
  CHECK(sj_update_begin(cache, sj_text("kl"), ends, 2, opts, &update, NULL) == SJ_OK && update != 0);
  return update;
}

static void nothing_is_stored_while_it_is_written(void) {
  const char *urls[] = {"memory://", redis_url()};
  for (int i = 0; i < 2; i++) {
    sj_cache *cache = open_cache(urls[i], "");
    sj_receipt receipt = {0};
    CHECK(sj_set(cache, sj_text("k"), sj_text("\"old\""), NULL, NULL, NULL) == SJ_OK);
    uint64_t update = begin(cache, NULL);
    CHECK(loaded(cache, "k") && loaded(cache, "k") && loaded(cache, "l"));
    CHECK(explained(cache, "k", "\"reason\":\"held\"") && explained(cache, "k", "\"writers\":1"));
    CHECK(sj_update_end(cache, update, &receipt, NULL) == SJ_OK && !receipt.pending);
    CHECK(explained(cache, "k", "\"reason\":\"absent\"") && explained(cache, "k", "\"hold\":null"));
    CHECK(loaded(cache, "k"));
    EVENTUALLY(!loaded(cache, "k"));
    CHECK(explained(cache, "k", "\"reason\":\"fresh\"") && explained(cache, "k", "\"codec\":\"json\""));
    sj_error *error = NULL;
    CHECK(sj_update_end(cache, update, NULL, &error) == SJ_ERR_LEASE_EXPIRED);
    sj_error_free(error);
    free_cache(cache);
  }
}

static void who_gives_up_ends_it_too(void) {
  sj_cache *cache = open_cache(redis_url(), "");
  CHECK(sj_abandon(cache, begin(cache, NULL)) == SJ_OK);
  EVENTUALLY(!loaded(cache, "k"));
  free_cache(cache);
}

static sj_completion answer(sj_queue *queue, int32_t status, sj_completion c) {
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  return c;
}

static void through_a_queue(void) {
  sj_cache *cache = open_cache(redis_url(), "");
  sj_queue *queue = sj_queue_new();
  sj_completion c = {0};
  int32_t status = sj_update_begin_async(cache, sj_text("kl"), ends, 2, NULL, queue, 1, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_LEAD && c.lease != 0);
  uint64_t update = c.lease;
  status = sj_explain_async(cache, sj_text("k"), queue, 2, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_HIT && c.codec == SJ_JSON && c.value.len > 0 && c.value.ptr[0] == '{');
  sj_buf_free(&c.value);
  status = sj_update_end_async(cache, update, queue, 3, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_OK && !c.receipt.pending);
  // One whose answer nobody takes.
  status = sj_update_begin_async(cache, sj_text("kl"), ends, 2, NULL, queue, 4, &c);
  if (status == SJ_PENDING) {
    sj_cancel(queue, 4);
  } else {
    sj_abandon(cache, c.lease);
  }
  EVENTUALLY(!loaded(cache, "k"));
  sj_queue_free(queue);
  free_cache(cache);
}

static void a_process_that_dies_leaves_a_hold_that_ends(void) {
  sj_cache *cache = open_cache(redis_url(), "");
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"old\""), NULL, NULL, NULL) == SJ_OK);
  pid_t child = fork();
  if (child == 0) {
    sj_update_opts opts = SJ_UPDATE_OPTS_INIT;
    opts.intent_ttl_ms = 300;
    begin(cache, &opts);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  // Our memory may have it for max_staleness; the shared tier has not.
  EVENTUALLY(loaded(cache, "k"));
  EVENTUALLY(!loaded(cache, "k"));
  free_cache(cache);
}

static void nothing_is_written_where_it_cannot_be_told(void) {
  sj_cache *cache = open_cache("redis://127.0.0.1:1", "");
  sj_update_opts strict = SJ_UPDATE_OPTS_INIT;
  strict.flags = SJ_UPDATE_STRICT;
  uint64_t update = 0;
  sj_error *error = NULL;
  CHECK(sj_update_begin(cache, sj_text("kl"), ends, 2, &strict, &update, &error) == SJ_ERR_UNAVAILABLE && update == 0);
  CHECK(sj_error_code(error) == SJ_ERR_UNAVAILABLE);
  sj_error_free(error);
  sj_receipt receipt = {0};
  CHECK(sj_update_end(cache, begin(cache, NULL), &receipt, NULL) == SJ_OK && receipt.pending);
  CHECK(explained(cache, "k", "\"reason\":\"pending\"") && explained(cache, "z", "\"reachable\":false"));
  sj_cache_free(cache);
}

static void bad_arguments(void) {
  sj_cache *cache = open_cache("memory://", "");
  uint64_t update = 0;
  sj_update_opts opts = SJ_UPDATE_OPTS_INIT;
  CHECK(sj_update_begin(NULL, sj_text("kl"), ends, 2, NULL, &update, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_update_begin(cache, sj_text("kl"), ends, 2, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_update_begin(cache, sj_text("k"), ends, 2, NULL, &update, NULL) == SJ_ERR_INVALID_OPTION);
  opts.size = 4;
  CHECK(sj_update_begin(cache, sj_text("kl"), ends, 2, &opts, &update, NULL) == SJ_ERR_INVALID_OPTION);
  opts.size = sizeof opts;
  opts.flags = 2;
  CHECK(sj_update_begin(cache, sj_text("kl"), ends, 2, &opts, &update, NULL) == SJ_ERR_INVALID_OPTION);
  opts.flags = 0;
  const int64_t wrong[][2] = {{99, 0}, {3600001, 0}, {-1, 0}, {0, -1}, {0, 3600001}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    opts.intent_ttl_ms = wrong[i][0];
    opts.hold_ms = wrong[i][1];
    CHECK(sj_update_begin(cache, sj_text("kl"), ends, 2, &opts, &update, NULL) == SJ_ERR_INVALID_OPTION);
  }
  CHECK(update == 0);
  sj_buf json = {0};
  CHECK(sj_explain(cache, sj_text(""), &json, NULL) == SJ_ERR_INVALID_KEY);
  CHECK(sj_explain(cache, sj_text("k"), NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_explain(NULL, sj_text("k"), &json, NULL) == SJ_ERR_INVALID_OPTION);
  free_cache(cache);
}

int main(void) {
  RUN(nothing_is_stored_while_it_is_written);
  RUN(who_gives_up_ends_it_too);
  RUN(through_a_queue);
  RUN(a_process_that_dies_leaves_a_hold_that_ends);
  RUN(nothing_is_written_where_it_cannot_be_told);
  RUN(bad_arguments);
  return 0;
}
