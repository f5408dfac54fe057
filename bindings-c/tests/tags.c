// Tags: in sj_set, in sj_begin and in sj_fulfil, and the end of their entries.
#include "check.h"

static int has(sj_cache *cache, const char *key) {
  sj_buf value;
  int32_t status = sj_get(cache, sj_text(key), &value, NULL, NULL);
  CHECK(status == SJ_HIT || status == SJ_MISS);
  sj_buf_free(&value);
  return status == SJ_HIT;
}

static void invalidate(sj_cache *cache, const char *tag) {
  uint64_t end = strlen(tag);
  sj_receipt receipt;
  CHECK(sj_invalidate_tags(cache, sj_text(tag), &end, 1, &receipt, NULL) == SJ_OK && receipt.pending == 0);
}

static void entries_end_with_their_tags(void) {
  sj_cache *cache = open_cache("memory://", "");
  static const uint64_t ends[] = {5, 11};
  sj_put_opts tagged = SJ_PUT_OPTS_INIT;
  tagged.tags = sj_text("usersteam:1");
  tagged.tag_ends = ends;
  tagged.tags_len = 2;
  for (int i = 0; i < 2; i++) {
    CHECK(sj_set(cache, sj_text("a"), sj_text("1"), &tagged, NULL, NULL) == SJ_OK);
    CHECK(sj_set(cache, sj_text("b"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
    CHECK(has(cache, "a") && has(cache, "b"));
    invalidate(cache, i == 0 ? "users" : "team:1");
    CHECK(!has(cache, "a") && has(cache, "b"));
  }
  CHECK(sj_invalidate_tags(cache, sj_text(""), NULL, 0, NULL, NULL) == SJ_OK);

  tagged.tags_len = 1;
  tagged.tag_ends = (uint64_t[]){0};
  sj_error *error = NULL;
  CHECK(sj_set(cache, sj_text("a"), sj_text("1"), &tagged, NULL, &error) == SJ_ERR_INVALID_OPTION);
  CHECK(error != NULL && strstr(sj_error_message(error), "tags") != NULL);
  sj_error_free(error);
  CHECK(sj_invalidate_tags(cache, sj_text("a"), (uint64_t[]){2}, 1, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_invalidate_tags(cache, sj_text("\xff"), (uint64_t[]){1}, 1, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(!has(cache, "a"));
  free_cache(cache);
}

static void a_fetch_has_tags_of_its_call_and_of_its_value(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_queue *queue = sj_queue_new();
  static const uint64_t six[] = {6};
  sj_fetch_opts fetch = SJ_FETCH_OPTS_INIT;
  fetch.tags = sj_text("called");
  fetch.tag_ends = six;
  fetch.tags_len = 1;
  sj_put_opts found = SJ_PUT_OPTS_INIT;
  found.tags = sj_text("loaded");
  found.tag_ends = six;
  found.tags_len = 1;
  const char *const tags[] = {"called", "loaded"};
  for (int i = 0; i < 4; i++) {
    sj_completion c;
    CHECK(sj_begin(cache, sj_text("f"), &fetch, queue, 1, &c) == SJ_LEAD);
    // Half of the time while it is loaded.
    if (i < 2) invalidate(cache, tags[i % 2]);
    CHECK(sj_fulfil(cache, c.lease, sj_text("1"), &found, NULL, NULL) == SJ_OK);
    CHECK(has(cache, "f") == (i >= 2));
    if (i >= 2) invalidate(cache, tags[i % 2]);
    CHECK(!has(cache, "f"));
  }
  sj_completion c;
  CHECK(sj_begin(cache, sj_text("f"), &fetch, queue, 1, &c) == SJ_LEAD);
  found.tag_ends = (uint64_t[]){7};
  CHECK(sj_fulfil(cache, c.lease, sj_text("1"), &found, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_fulfil(cache, c.lease, sj_text("1"), NULL, NULL, NULL) == SJ_ERR_LEASE_EXPIRED);
  CHECK(sj_invalidate_tags_async(cache, sj_text("called"), six, 1, queue, 2, &c) == SJ_OK && c.receipt.pending == 0);
  free_cache(cache);
  sj_queue_free(queue);
}

int main(void) {
  RUN(entries_end_with_their_tags);
  RUN(a_fetch_has_tags_of_its_call_and_of_its_value);
  return 0;
}
