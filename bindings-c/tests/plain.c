// Programs that know nothing of Scrubjay: plain entries, and channels whose messages are keys. redis-cli plays one.

#include "check.h"

static sj_cache *open_with(const char *options) {
  char json[400];
  snprintf(json, sizeof json, "{\"url\": \"%s\", \"prefix\": \"plain-%ld\", \"max_staleness\": 3600, %s}", redis_url(), (long)getpid(), options);
  sj_cache *cache = NULL;
  CHECK(sj_open(sj_text(json), &cache, NULL) == SJ_OK);
  return cache;
}

// What redis-cli says to a command.
static const char *cli(const char *command, const char *key, const char *rest) {
  static char said[1000];
  char line[500];
  snprintf(line, sizeof line, "redis-cli -u %s %s '%s' %s", redis_url(), command, key, rest);
  FILE *pipe = popen(line, "r");
  CHECK(pipe != NULL);
  size_t length = fread(said, 1, sizeof said - 1, pipe);
  said[length] = '\0';
  CHECK(pclose(pipe) == 0);
  said[strcspn(said, "\n")] = '\0';
  return said;
}

static const char *name_of(const char *key) {
  static char name[100];
  snprintf(name, sizeof name, "plain-%ld:%s", (long)getpid(), key);
  return name;
}

static bool reads(sj_cache *cache, const char *expected) {
  sj_buf value = {0};
  int32_t status = sj_get(cache, sj_text("k"), &value, NULL, NULL);
  bool same = expected == NULL ? status == SJ_MISS : status == SJ_HIT && is_text(value, expected);
  sj_buf_free(&value);
  return same;
}

static void test_plain_entries_are_bare_json_and_memory_follows_them(void) {
  sj_cache *cache = open_with("\"format\": \"plain\", \"tracking\": true");
  CHECK(sj_set(cache, sj_text("k"), sj_text("{\"a\":1}"), NULL, NULL, NULL) == SJ_OK);
  CHECK(strcmp(cli("GET", name_of("k"), ""), "{\"a\":1}") == 0);
  EVENTUALLY(stat_of(cache, "push_sessions") == 1);
  CHECK(sj_effective_staleness_bound(cache) == -1);
  char value[8];
  for (int n = 0; n < 20; n++) {
    snprintf(value, sizeof value, "%d", n);
    cli("SET", name_of("k"), value);
    EVENTUALLY(reads(cache, value));
  }
  cli("DEL", name_of("k"), "");
  EVENTUALLY(reads(cache, NULL));
  free_cache(cache);
}

static void test_keys_on_a_channel_are_invalidated(void) {
  sj_cache *cache = open_with("\"subscribe_invalidations\": \"changed\", \"publish_invalidations\": \"changed\"");
  CHECK(sj_set(cache, sj_text("k"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  // How many heard it says who listens.
  EVENTUALLY(strcmp(cli("PUBLISH", "changed", "nothing"), "1") == 0);
  CHECK(reads(cache, "1"));
  CHECK(strcmp(cli("PUBLISH", "changed", "k"), "1") == 0);
  EVENTUALLY(reads(cache, NULL));
  // Its own message is not the word of another program.
  CHECK(sj_set(cache, sj_text("k"), sj_text("2"), NULL, NULL, NULL) == SJ_OK);
  unsigned long heard = stat_of(cache, "invalidations");
  cli("PUBLISH", "changed", "last");
  EVENTUALLY(stat_of(cache, "invalidations") == heard + 1);
  CHECK(reads(cache, "2"));
  free_cache(cache);
}

int main(void) {
  RUN(test_plain_entries_are_bare_json_and_memory_follows_them);
  RUN(test_keys_on_a_channel_are_invalidated);
  return 0;
}
