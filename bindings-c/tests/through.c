// Writes to the caller's source whose values go into the cache, and updates with tags.

#include "check.h"

static const uint64_t end[] = {1};
// What a test is made for now.
static sj_cache *cache;

// Begins a write of k; its number.
static uint64_t begin(const char *value, const sj_put_opts *put) {
  uint64_t write = 0;
  sj_slice slice = sj_text(value);
  CHECK(sj_store_begin(cache, sj_text("k"), &slice, put, NULL, NULL, 0, &write, NULL) == SJ_OK && write != 0);
  return write;
}

static bool has(const char *value) {
  sj_buf found = {0};
  int32_t status = sj_get(cache, sj_text("k"), &found, NULL, NULL);
  CHECK(status >= 0);
  bool same = value == NULL ? status == SJ_MISS
                            : status == SJ_HIT && found.len == strlen(value) && memcmp(found.ptr, value, found.len) == 0;
  sj_buf_free(&found);
  return same;
}

static void a_value_is_stored_when_the_source_has_it(void) {
  sj_receipt receipt = {0};
  uint64_t write = begin("\"first\"", NULL);
  CHECK(has(NULL));
  CHECK(sj_store_end(cache, write, &receipt, NULL) == SJ_OK && !receipt.pending && has("\"first\""));
  CHECK(sj_store_end(cache, write, NULL, NULL) == SJ_ERR_LEASE_EXPIRED);
  // A store that failed.
  CHECK(sj_update_end(cache, begin("\"second\"", NULL), NULL, NULL) == SJ_OK && has(NULL));
  // One during which somebody deleted the key.
  write = begin("\"third\"", NULL);
  CHECK(sj_delete(cache, sj_text("k"), NULL, NULL) == SJ_OK);
  CHECK(sj_store_end(cache, write, NULL, NULL) == SJ_OK && has(NULL));
  // A removal.
  CHECK(sj_store_end(cache, begin("\"fourth\"", NULL), NULL, NULL) == SJ_OK && has("\"fourth\""));
  CHECK(sj_store_begin(cache, sj_text("k"), NULL, NULL, NULL, NULL, 0, &write, NULL) == SJ_OK);
  CHECK(sj_update_end(cache, write, NULL, NULL) == SJ_OK && has(NULL));
}

static void writers_follow_one_another(void) {
  sj_slice value = sj_text("\"second\"");
  uint64_t first = begin("\"first\"", NULL), never = 0;
  // It would wait for the write inside which it is made.
  sj_error *error = NULL;
  CHECK(sj_store_begin(cache, sj_text("k"), &value, NULL, NULL, &first, 1, &never, &error) == SJ_ERR_RECURSIVE_FETCH);
  sj_error_free(error);
  CHECK(never == 0);
  sj_queue *queue = sj_queue_new();
  sj_completion out = {0};
  CHECK(sj_store_begin_async(cache, sj_text("k"), &value, NULL, NULL, NULL, 0, queue, 7, &out) == SJ_PENDING);
  CHECK(sj_store_end(cache, first, NULL, NULL) == SJ_OK);
  CHECK(sj_queue_wait(queue, &out, 1, 20000) == 1 && out.token == 7 && out.status == SJ_LEAD);
  uint64_t second = out.lease;
  int32_t status = sj_store_end_async(cache, second, queue, 8, &out);
  CHECK(status == SJ_OK || (status == SJ_PENDING && sj_queue_wait(queue, &out, 1, 20000) == 1 && out.status == SJ_OK));
  CHECK(has("\"second\""));
  sj_queue_free(queue);
}

static void tags_of_an_update(void) {
  sj_put_opts put = SJ_PUT_OPTS_INIT;
  put.tags = sj_text("t");
  put.tag_ends = end;
  put.tags_len = 1;
  CHECK(sj_store_end(cache, begin("\"tagged\"", &put), NULL, NULL) == SJ_OK && has("\"tagged\""));
  sj_update_opts opts = SJ_UPDATE_OPTS_INIT;
  opts.tags = sj_text("t");
  opts.tag_ends = end;
  opts.tags_len = 1;
  uint64_t update = 0;
  CHECK(sj_update_begin(cache, sj_text(""), NULL, 0, &opts, &update, NULL) == SJ_OK && has(NULL));
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"meanwhile\""), &put, NULL, NULL) == SJ_OK && has(NULL));
  CHECK(sj_update_end(cache, update, NULL, NULL) == SJ_OK);
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"later\""), &put, NULL, NULL) == SJ_OK && has("\"later\""));
  // Tags that end are for updates alone.
  uint64_t write = 0;
  CHECK(sj_store_begin(cache, sj_text("k"), NULL, NULL, &opts, NULL, 0, &write, NULL) == SJ_ERR_INVALID_OPTION);
  opts.tags_len = 0;
  opts.size = 4;
  CHECK(sj_store_begin(cache, sj_text("k"), NULL, NULL, &opts, NULL, 0, &write, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_store_begin(cache, sj_text(""), NULL, NULL, NULL, NULL, 0, &write, NULL) == SJ_ERR_INVALID_KEY);
  CHECK(sj_store_begin(cache, sj_text("k"), NULL, NULL, NULL, NULL, 0, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_store_begin(NULL, sj_text("k"), NULL, NULL, NULL, NULL, 0, &write, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(write == 0);
}

int main(void) {
  const char *urls[] = {"memory://", redis_url()};
  for (int i = 0; i < 2; i++) {
    cache = open_cache(urls[i], "");
    RUN(a_value_is_stored_when_the_source_has_it);
    RUN(writers_follow_one_another);
    RUN(tags_of_an_update);
    free_cache(cache);
  }
  return 0;
}
