// Slots: a memory tier whose values are the caller's, and copies of what a cache holds. Wrong calls are errors.

#include <pthread.h>

#include "check.h"

static uint32_t cell(const sj_table *table, size_t at) {
  return __atomic_load_n((const uint32_t *)(const void *)(table->base + at), __ATOMIC_ACQUIRE);
}

static bool holds(const sj_table *table, sj_slot at) {
  return cell(table, SJ_TABLE_HEADER + (size_t)SJ_TABLE_STRIDE * at.slot) == at.generation;
}

static sj_slots *open_slots(uint64_t max_entries, uint64_t max_bytes, sj_table *table) {
  sj_slots *slots = NULL;
  CHECK(sj_slots_open(max_entries, max_bytes, &slots, NULL) == SJ_OK && slots != NULL);
  CHECK(sj_slots_table(slots, table) == SJ_OK);
  CHECK(table->base != NULL && table->reserved == 0);
  CHECK(table->bytes >= SJ_TABLE_HEADER + (size_t)SJ_TABLE_STRIDE * table->slots);
  return slots;
}

// An insert that is to be granted and to free nothing.
static sj_copy insert(sj_slots *slots, uint64_t hash, int64_t ttl_ms, const sj_slot *instead) {
  sj_copy copy;
  size_t count = 9;
  CHECK(sj_slots_insert(slots, hash, 100, ttl_ms, instead, &copy, NULL, 0, &count, NULL) == SJ_OK);
  CHECK(count == 0 && copy.granted == 1);
  return copy;
}

static void an_entry_lives_until_it_is_removed(void) {
  sj_table table;
  sj_slots *slots = open_slots(100, SJ_UNBOUNDED, &table);
  sj_copy first = insert(slots, 7, 60000, NULL);
  CHECK(holds(&table, first.at));
  CHECK((int32_t)(cell(&table, 0) - first.until) < 0 && (int32_t)(sj_slots_now(slots) - first.until) < 0);
  sj_copy second = insert(slots, 7, 60000, &first.at);
  CHECK(!holds(&table, first.at) && holds(&table, second.at));
  CHECK(sj_slots_remove(slots, first.at) == SJ_MISS);
  CHECK(sj_slots_remove(slots, second.at) == SJ_OK && !holds(&table, second.at));
  CHECK(sj_slots_remove(slots, second.at) == SJ_MISS);
  sj_copy third = insert(slots, 8, SJ_TTL_DEFAULT, NULL);
  CHECK(sj_slots_clear(slots) == SJ_OK && !holds(&table, third.at));
  sj_slots_stats stats;
  CHECK(sj_slots_counters(slots, &stats) == SJ_OK && stats.entries == 0 && stats.bytes == 0 && stats.evictions == 0);
  sj_slots_free(slots);
}

// A time so far ahead cannot be told from one behind: it is told in steps.
static void a_long_life_is_renewed(void) {
  sj_table table;
  sj_slots *slots = open_slots(100, SJ_UNBOUNDED, &table);
  sj_copy copy = insert(slots, 7, INT64_C(31536000000), NULL), renewed;
  CHECK((int32_t)(sj_slots_now(slots) - copy.until) < 0);
  CHECK(sj_slots_renew(slots, copy.at, &renewed) == SJ_OK && renewed.granted);
  CHECK(renewed.at.generation == copy.at.generation && (int32_t)(renewed.until - copy.until) >= 0);
  CHECK(sj_slots_remove(slots, copy.at) == SJ_OK && sj_slots_renew(slots, copy.at, &renewed) == SJ_MISS);
  CHECK(!renewed.granted && sj_slots_renew(NULL, copy.at, &renewed) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_renew(slots, copy.at, NULL) == SJ_ERR_INVALID_OPTION);
  sj_slots_free(slots);
}

static void over_the_bound_some_are_gone(void) {
  enum { ENTRIES = 1000, BOUND = 100 };
  sj_table table;
  sj_slots *slots = open_slots(BOUND, SJ_UNBOUNDED, &table);
  sj_copy copies[ENTRIES];
  size_t gone_in_all = 0;
  for (uint64_t i = 0; i < ENTRIES; i++) {
    sj_slot gone[4];
    size_t count;
    CHECK(sj_slots_insert(slots, i * 0x9e3779b97f4a7c15, 100, 60000, NULL, &copies[i], gone, 4, &count, NULL) == SJ_OK);
    for (size_t g = 0; g < count && g < 4; g++) {
      CHECK(!holds(&table, gone[g]));
    }
    gone_in_all += count;
  }
  size_t held = 0;
  for (size_t i = 0; i < ENTRIES; i++) {
    held += holds(&table, copies[i].at);
  }
  sj_slots_stats stats;
  CHECK(sj_slots_counters(slots, &stats) == SJ_OK);
  CHECK(held <= BOUND && held == stats.entries && gone_in_all == ENTRIES - held && stats.evictions == gone_in_all);
  CHECK(stats.bytes == held * 100);
  sj_slots_free(slots);
}

// One large entry drives out many small ones: what its caller has no room for is drained.
static void what_does_not_fit_is_drained(void) {
  enum { SMALL = 500 };
  sj_table table;
  sj_slots *slots = open_slots(SJ_UNBOUNDED, SMALL * 100, &table);
  sj_copy copies[SMALL], large;
  for (uint64_t i = 0; i < SMALL; i++) {
    copies[i] = insert(slots, i * 0x9e3779b97f4a7c15, 60000, NULL);
  }
  sj_slot gone[SMALL];
  size_t count = 0;
  CHECK(sj_slots_insert(slots, 1, SMALL * 90, 60000, NULL, &large, gone, 3, &count, NULL) == SJ_OK);
  CHECK(count > 3 && count <= SMALL && holds(&table, large.at));
  size_t drained = 3, batch;
  while ((batch = sj_slots_drain(slots, gone + drained, drained + 50 > SMALL ? SMALL - drained : 50)) > 0) {
    drained += batch;
  }
  CHECK(drained == count);
  for (size_t i = 0; i < drained; i++) {
    CHECK(!holds(&table, gone[i]));
  }
  size_t held = 0;
  for (size_t i = 0; i < SMALL; i++) {
    held += holds(&table, copies[i].at);
  }
  CHECK(held == SMALL - count);
  // Larger than the whole bound: not stored, and what it would have replaced is gone.
  CHECK(sj_slots_insert(slots, 1, SMALL * 100 + 1, 60000, &large.at, &copies[0], gone, SMALL, &count, NULL) == SJ_MISS);
  CHECK(copies[0].granted == 0 && !holds(&table, large.at));
  sj_slots_free(slots);
}

static void the_bell_rings_when_entries_expire(void) {
  enum { ENTRIES = 300 };
  sj_table table;
  sj_slots *slots = open_slots(1000, SJ_UNBOUNDED, &table);
  sj_queue *queue = sj_queue_new_fd();
  CHECK(sj_slots_ring(slots, queue, 77) == SJ_OK);
  for (int round = 0; round < 3; round++) {
    sj_copy last = insert(slots, ENTRIES, 1, NULL);
    for (uint64_t i = 1; i < ENTRIES; i++) {
      last = insert(slots, i, 1 + (int64_t)(i % 20), NULL);
    }
    // Nobody asks; the queue says when.
    size_t drained = 0;
    while (drained < ENTRIES) {
      sj_completion c;
      CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1 && c.token == 77 && c.status == SJ_OK);
      sj_buf_free(&c.value);
      sj_slot gone[64];
      size_t count;
      do {
        count = sj_slots_drain(slots, gone, 64);
        for (size_t i = 0; i < count; i++) {
          CHECK(!holds(&table, gone[i]));
        }
        drained += count;
      } while (count == 64);
    }
    sj_slot none;
    CHECK(drained == ENTRIES && !holds(&table, last.at) && sj_slots_drain(slots, &none, 1) == 0);
  }
  sj_slots_stats stats;
  CHECK(sj_slots_counters(slots, &stats) == SJ_OK && stats.expired == 3 * ENTRIES && stats.entries == 0);
  sj_slots_free(slots);
  sj_queue_free(queue);
}

// A queue that went before the slots that ring it.
static void a_bell_without_its_queue(void) {
  sj_table table;
  sj_slots *slots = open_slots(1000, SJ_UNBOUNDED, &table);
  sj_queue *queue = sj_queue_new();
  CHECK(sj_slots_ring(slots, queue, 1) == SJ_OK);
  sj_queue_free(queue);
  sj_copy copy = insert(slots, 1, 1, NULL);
  EVENTUALLY(!holds(&table, copy.at));
  sj_slots_free(slots);
}

static void *insert_many(void *user) {
  for (uint64_t i = 0; i < 20000; i++) {
    sj_copy copy;
    sj_slot gone[8];
    size_t count;
    int64_t ttl_ms = 1 + (int64_t)(i % 30);
    CHECK(sj_slots_insert(user, i * 0x9e3779b97f4a7c15, 10, ttl_ms, NULL, &copy, gone, 8, &count, NULL) == SJ_OK);
    if (i % 3 == 0) {
      sj_slots_remove(user, copy.at);
    }
    if (i % 100 == 0) {
      sj_slots_drain(user, gone, 8);
    }
  }
  return NULL;
}

static void many_threads(void) {
  sj_table table;
  sj_slots *slots = open_slots(500, SJ_UNBOUNDED, &table);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, insert_many, slots) == 0);
  }
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  sj_slots_stats stats;
  CHECK(sj_slots_counters(slots, &stats) == SJ_OK && stats.entries <= 500);
  sj_slots_free(slots);
}

static void wrong_slots(void) {
  sj_slots *slots = NULL;
  sj_table table;
  sj_copy copy;
  sj_slot gone[2];
  size_t count = 7;
  sj_slots_stats stats;
  sj_error *error = NULL;
  CHECK(sj_slots_open(0, SJ_UNBOUNDED, &slots, &error) == SJ_ERR_INVALID_OPTION && error != NULL && slots == NULL);
  sj_error_free(error);
  CHECK(sj_slots_open(SJ_UNBOUNDED, 0, &slots, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_open(10, SJ_UNBOUNDED, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_table(NULL, &table) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_now(NULL) == 0);
  CHECK(sj_slots_insert(NULL, 1, 1, 1000, NULL, &copy, gone, 2, &count, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_remove(NULL, gone[0]) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_clear(NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_drain(NULL, gone, 2) == 0);
  CHECK(sj_slots_ring(NULL, NULL, 1) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_counters(NULL, &stats) == SJ_ERR_INVALID_OPTION);
  sj_slots_free(NULL);
  CHECK(sj_slots_open(SJ_UNBOUNDED, SJ_UNBOUNDED, &slots, NULL) == SJ_OK);
  CHECK(sj_slots_table(slots, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_insert(slots, 1, 1, 1000, NULL, NULL, gone, 2, &count, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_insert(slots, 1, 1, 1000, NULL, &copy, NULL, 2, &count, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_insert(slots, 1, 1, 1000, NULL, &copy, gone, 2, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  static const int64_t wrong_ttls[] = {0, -1, INT64_MAX, INT64_MIN + 1, INT64_C(31536000001)};
  for (size_t i = 0; i < sizeof wrong_ttls / sizeof *wrong_ttls; i++) {
    error = NULL;
    CHECK(sj_slots_insert(slots, 1, 1, wrong_ttls[i], NULL, &copy, gone, 2, &count, &error) == SJ_ERR_INVALID_OPTION);
    CHECK(strstr(sj_error_message(error), "ttl") != NULL);
    sj_error_free(error);
  }
  CHECK(sj_slots_drain(slots, NULL, 2) == 0 && sj_slots_drain(slots, gone, 0) == 0);
  CHECK(sj_slots_ring(slots, NULL, 1) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_slots_counters(slots, NULL) == SJ_ERR_INVALID_OPTION);
  // Slots that never were.
  static const sj_slot never[] = {{0, 0}, {5, 12345}, {UINT32_MAX, 0}, {UINT32_MAX, UINT32_MAX}};
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    CHECK(sj_slots_remove(slots, never[i]) == SJ_MISS);
    CHECK(sj_slots_insert(slots, i, 1, 1000, &never[i], &copy, gone, 2, &count, NULL) == SJ_OK && copy.granted);
  }
  sj_slots_free(slots);
}

// --- copies ---

static sj_copy read_copy(sj_cache *cache, sj_queue *queue, const char *key) {
  sj_completion c;
  CHECK(sj_get_async(cache, sj_text(key), queue, 1, &c) == SJ_HIT);
  sj_buf_free(&c.value);
  return c.copy;
}

static void a_copy_dies_with_its_entry(void) {
  sj_cache *cache = open_cache("memory://", "\"jitter\": 0");
  sj_queue *queue = sj_queue_new();
  sj_table table;
  CHECK(sj_set(cache, sj_text("k"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  // Nobody said that copies will be kept.
  CHECK(!read_copy(cache, queue, "k").granted);
  sj_cache_free(cache);

  cache = open_cache("memory://", "\"jitter\": 0");
  CHECK(sj_keep_copies(cache, SJ_COPIES_GO) == SJ_OK && sj_cache_table(cache, &table) == SJ_OK);
  CHECK(sj_ring_copies(cache, queue, 99) == SJ_OK);
  CHECK(sj_set(cache, sj_text("k"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  sj_copy copy = read_copy(cache, queue, "k");
  CHECK(copy.granted && holds(&table, copy.at) && (int32_t)(sj_cache_now(cache) - copy.until) < 0);
  sj_copy again = read_copy(cache, queue, "k");
  CHECK(again.granted && again.at.slot == copy.at.slot && again.at.generation == copy.at.generation);
  CHECK(sj_set(cache, sj_text("k"), sj_text("2"), NULL, NULL, NULL) == SJ_OK && !holds(&table, copy.at));
  copy = read_copy(cache, queue, "k");
  CHECK(copy.granted && sj_delete(cache, sj_text("k"), NULL, NULL) == SJ_OK && !holds(&table, copy.at));

  // Items of calls on many come with leave too.
  const uint64_t ends[] = {1, 2};
  sj_completion many;
  CHECK(sj_set(cache, sj_text("a"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  CHECK(sj_get_many_async(cache, sj_text("az"), ends, 2, queue, 1, &many) == SJ_MANY);
  const sj_item *items = (const void *)many.value.ptr;
  CHECK(items[0].status == SJ_HIT && items[0].copy.granted && !items[1].copy.granted);
  copy = items[0].copy;
  sj_buf_free(&many.value);
  CHECK(sj_clear(cache, NULL, NULL) == SJ_OK && !holds(&table, copy.at));

  CHECK(sj_note_hits(cache, 1000) == SJ_OK && stat_of(cache, "hits_l1") == 1004);
  sj_queue_free(queue);
  free_cache(cache);
}

static void copies_of_what_expired_are_drained(void) {
  sj_cache *cache = open_cache("memory://", "\"jitter\": 0, \"stale_for\": 0, \"refresh_ahead\": false");
  sj_queue *queue = sj_queue_new();
  sj_put_opts brief = SJ_PUT_OPTS_INIT;
  brief.ttl_ms = 500;
  CHECK(sj_keep_copies(cache, SJ_COPIES_GO) == SJ_OK && sj_ring_copies(cache, queue, 99) == SJ_OK);
  CHECK(sj_set(cache, sj_text("k"), sj_text("1"), &brief, NULL, NULL) == SJ_OK);
  sj_copy copy = read_copy(cache, queue, "k");
  CHECK(copy.granted);
  sj_slot gone[2];
  sj_completion c;
  CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1 && c.token == 99);
  sj_buf_free(&c.value);
  CHECK(sj_drain_copies(cache, gone, 2) == 1);
  CHECK(gone[0].slot == copy.at.slot && gone[0].generation == copy.at.generation);
  sj_queue_free(queue);
  free_cache(cache);
}

static void wrong_copies(void) {
  sj_table table;
  sj_slot gone;
  sj_queue *queue = sj_queue_new();
  CHECK(sj_keep_copies(NULL, SJ_COPIES_GO) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_cache_table(NULL, &table) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_cache_now(NULL) == 0 && sj_drain_copies(NULL, &gone, 1) == 0);
  CHECK(sj_ring_copies(NULL, queue, 1) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_note_hits(NULL, 1) == SJ_ERR_INVALID_OPTION);
  sj_cache *cache = open_cache("memory://", "");
  CHECK(sj_keep_copies(cache, 0) == SJ_ERR_INVALID_OPTION && sj_keep_copies(cache, 99) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_cache_table(cache, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_drain_copies(cache, NULL, 1) == 0 && sj_drain_copies(cache, &gone, 0) == 0);
  CHECK(sj_ring_copies(cache, NULL, 1) == SJ_ERR_INVALID_OPTION);
  free_cache(cache);
  // No memory tier, no table.
  cache = open_cache("memory://", "\"l1_bytes\": 0");
  CHECK(sj_keep_copies(cache, SJ_COPIES_GO) == SJ_OK && sj_cache_table(cache, &table) == SJ_MISS);
  sj_cache_free(cache);
  sj_queue_free(queue);
}

int main(void) {
  RUN(an_entry_lives_until_it_is_removed);
  RUN(a_long_life_is_renewed);
  RUN(over_the_bound_some_are_gone);
  RUN(what_does_not_fit_is_drained);
  RUN(the_bell_rings_when_entries_expire);
  RUN(a_bell_without_its_queue);
  RUN(many_threads);
  RUN(wrong_slots);
  RUN(a_copy_dies_with_its_entry);
  RUN(copies_of_what_expired_are_drained);
  RUN(wrong_copies);
  return 0;
}
