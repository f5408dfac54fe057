// Reads that find the write of a receipt, though it was made by another cache.

#include "check.h"

static sj_cache *of_prefix(const char *options) {
  char json[300];
  snprintf(json, sizeof json, "{\"url\": \"%s\", \"prefix\": \"observe-%ld\"%s}", redis_url(), (long)getpid(), options);
  sj_cache *cache = NULL;
  CHECK(sj_open(sj_text(json), &cache, NULL) == SJ_OK);
  return cache;
}

static bool reads(sj_cache *cache, const char *key, const char *expected) {
  sj_buf value = {0};
  bool same = sj_get(cache, sj_text(key), &value, NULL, NULL) == SJ_HIT && is_text(value, expected);
  sj_buf_free(&value);
  return same;
}

static sj_receipt written(sj_cache *cache, const char *key, const char *value) {
  sj_receipt receipt = {0};
  CHECK(sj_set(cache, sj_text(key), sj_text(value), NULL, &receipt, NULL) == SJ_OK && !receipt.pending);
  return receipt;
}

static void test_who_has_the_token_reads_its_own_write(void) {
  // The server tells this one nothing, and it believes what it has for an hour.
  sj_cache *reader = of_prefix(", \"max_staleness\": 3600, \"username\": \"deaf\", \"password\": \"any\"");
  sj_cache *writer = of_prefix("");
  static const char *const keys[] = {"k", "user:7"};
  for (size_t i = 0; i < 2; i++) {
    written(writer, keys[i], "\"old\"");
    CHECK(reads(reader, keys[i], "\"old\""));
  }
  sj_receipt receipt = {0};
  for (size_t i = 0; i < 2; i++) {
    receipt = written(writer, keys[i], "\"new\"");
    CHECK(reads(reader, keys[i], "\"old\""));
  }
  char travels[33];
  uint8_t arrived[16] = {0};
  CHECK(sj_token_text(receipt.token, travels) == SJ_OK && strlen(travels) == 32);
  CHECK(sj_token_parse(sj_text(travels), arrived, NULL) == SJ_OK);
  CHECK(memcmp(arrived, receipt.token, sizeof arrived) == 0);
  static const uint64_t ends[] = {1, 7};
  CHECK(sj_observe(reader, arrived, sj_text("kuser:7"), ends, 2, NULL) == SJ_OK);
  for (size_t i = 0; i < 2; i++) {
    CHECK(reads(reader, keys[i], "\"new\""));
  }
  free_cache(reader);
  free_cache(writer);
}

static void test_wrong_arguments(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_receipt receipt = written(cache, "k", "1");
  uint8_t token[16];
  char text[33];
  static const char *const wrong[] = {"", "00", "0123456789abcdef0123456789abcdeg", "0123456789abcdef0123456789abcdef0",
                                      "\xff\xfe"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    sj_error *error = NULL;
    CHECK(sj_token_parse(sj_text(wrong[i]), token, &error) == SJ_ERR_INVALID_OPTION);
    CHECK(strstr(sj_error_message(error), "token must be 32 hexadecimal digits") != NULL);
    CHECK(strcmp(sj_error_operation(error), "observe") == 0);
    sj_error_free(error);
  }
  CHECK(sj_token_parse(sj_text("00"), NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_token_text(NULL, text) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_token_text(receipt.token, NULL) == SJ_ERR_INVALID_OPTION);
  static const uint64_t end = 1, nothing = 0, beyond = 2;
  CHECK(sj_observe(cache, receipt.token, sj_text("k"), &end, 1, NULL) == SJ_OK);
  CHECK(sj_observe(cache, receipt.token, sj_text(""), NULL, 0, NULL) == SJ_OK);
  CHECK(sj_observe(NULL, receipt.token, sj_text("k"), &end, 1, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_observe(cache, NULL, sj_text("k"), &end, 1, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_observe(cache, receipt.token, sj_text("k"), NULL, 1, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_observe(cache, receipt.token, sj_text("k"), &beyond, 1, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_observe(cache, receipt.token, sj_text("k"), &nothing, 1, NULL) == SJ_ERR_INVALID_KEY);
  CHECK(sj_close(cache, NULL, NULL) == SJ_OK);
  CHECK(sj_observe(cache, receipt.token, sj_text("k"), &end, 1, NULL) == SJ_ERR_CLOSED);
  sj_cache_free(cache);
}

int main(void) {
  RUN(test_who_has_the_token_reads_its_own_write);
  RUN(test_wrong_arguments);
  return 0;
}
