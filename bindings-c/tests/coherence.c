// Memory follows the writes of other processes, as the server tells of them.

#include "check.h"

static bool reads(sj_cache *cache, const char *expected) {
  sj_buf value = {0};
  int32_t status = sj_get(cache, sj_text("k"), &value, NULL, NULL);
  bool same = expected == NULL ? status == SJ_MISS : status == SJ_HIT && is_text(value, expected);
  sj_buf_free(&value);
  return same;
}

// A cache that the server tells of writes. Two of them are of one prefix.
static sj_cache *listening(void) {
  char json[200];
  snprintf(json, sizeof json, "{\"url\": \"%s\", \"prefix\": \"coherence-%ld\", \"max_staleness\": 3600}", redis_url(), (long)getpid());
  sj_cache *cache = NULL;
  CHECK(sj_open(sj_text(json), &cache, NULL) == SJ_OK);
  CHECK(sj_set(cache, sj_text("warm"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  EVENTUALLY(stat_of(cache, "push_sessions") == 1);
  return cache;
}

static void test_a_write_elsewhere_is_seen_at_once(void) {
  sj_cache *mine = listening(), *theirs = listening();
  char value[8];
  for (int n = 0; n < 50; n++) {
    snprintf(value, sizeof value, "%d", n);
    CHECK(sj_set(theirs, sj_text("k"), sj_text(value), NULL, NULL, NULL) == SJ_OK);
    EVENTUALLY(reads(mine, value));
    CHECK(sj_delete(theirs, sj_text("k"), NULL, NULL) == SJ_OK);
    EVENTUALLY(reads(mine, NULL));
  }
  free_cache(mine);
  free_cache(theirs);
}

static void test_the_bound_is_told(void) {
  sj_cache *memory = open_cache("memory://", ""), *shared = listening();
  CHECK(sj_effective_staleness_bound(memory) == 0);
  CHECK(sj_effective_staleness_bound(shared) == 3600 * 1000);
  CHECK(sj_effective_staleness_bound(NULL) == -1);
  free_cache(memory);
  free_cache(shared);
}

int main(void) {
  RUN(test_a_write_elsewhere_is_seen_at_once);
  RUN(test_the_bound_is_told);
  return 0;
}
