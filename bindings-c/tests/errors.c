// Every kind of error: its number, its name, whether to try again; and error objects.

#include "check.h"

static void kinds(void) {
  static const struct {
    int32_t status, number;
    const char *name;
    int32_t retryable;
  } all[] = {
      {SJ_ERR_INVALID_OPTION, -1, "InvalidOption", 0},   {SJ_ERR_INVALID_KEY, -2, "InvalidKey", 0},
      {SJ_ERR_INVALID_VALUE, -3, "InvalidValue", 0},     {SJ_ERR_NOT_FOUND, -4, "NotFound", 0},
      {SJ_ERR_FETCH_FAILED, -5, "FetchFailed", 1},       {SJ_ERR_FETCH_TIMEOUT, -6, "FetchTimeout", 1},
      {SJ_ERR_LEASE_EXPIRED, -7, "LeaseExpired", 1},     {SJ_ERR_RECURSIVE_FETCH, -8, "RecursiveFetch", 0},
      {SJ_ERR_OVERLOADED, -9, "Overloaded", 1},          {SJ_ERR_CLOSED, -10, "Closed", 0},
      {SJ_ERR_CANCELLED, -11, "Cancelled", 1},           {SJ_ERR_UNAVAILABLE, -12, "Unavailable", 1},
      {SJ_ERR_PARTIAL, -13, "Partial", 0},               {SJ_ERR_DIRTY_ELSEWHERE, -14, "DirtyElsewhere", 1},
      {SJ_ERR_UNSUPPORTED, -15, "Unsupported", 0},       {SJ_ERR_INTERNAL, -16, "Internal", 0},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    CHECK(all[i].status == all[i].number);
    CHECK(strcmp(sj_kind_name(all[i].status), all[i].name) == 0);
    CHECK(strcmp(sj_kind_name(-all[i].status), all[i].name) == 0);
    CHECK(sj_kind_retryable(all[i].status) == all[i].retryable);
    CHECK(sj_kind_retryable(-all[i].status) == all[i].retryable);
  }
  CHECK(sj_kind_name(0) == NULL && sj_kind_name(17) == NULL && sj_kind_name(INT32_MIN) == NULL);
  CHECK(sj_kind_name(INT32_MAX) == NULL && sj_kind_retryable(0) == 0 && sj_kind_retryable(INT32_MIN) == 0);
}

static void statuses(void) {
  CHECK(SJ_OK == 0 && SJ_HIT == 1 && SJ_MISS == 2 && SJ_STALE == 3 && SJ_LEAD == 4 && SJ_PENDING == 5);
  CHECK(SJ_BYPASS == 6 && SJ_MANY == 7 && SJ_WAITING == 8 && SJ_RAW == 0 && SJ_JSON == 1 && SJ_MSGPACK == 2);
  CHECK(strlen(sj_version()) > 0);
}

static void error_objects(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_error *error = NULL;
  CHECK(sj_get(cache, sj_text(""), &(sj_buf){0}, NULL, &error) == SJ_ERR_INVALID_KEY);
  CHECK(sj_error_code(error) == SJ_ERR_INVALID_KEY);
  CHECK(strcmp(sj_error_operation(error), "get") == 0);
  CHECK(strstr(sj_error_message(error), "1024") != NULL);
  sj_error_free(error);

  error = NULL;
  CHECK(sj_open(sj_text("{\"ttl\": 0}"), &cache, &error) == SJ_ERR_INVALID_OPTION);
  CHECK(strstr(sj_error_message(error), "ttl") != NULL);
  sj_error_free(error);

  // Not written when nothing fails.
  error = NULL;
  CHECK(sj_set(cache, sj_text("k"), sj_text("1"), NULL, NULL, &error) == SJ_OK && error == NULL);

  CHECK(sj_error_code(NULL) == SJ_OK && *sj_error_message(NULL) == '\0' && *sj_error_operation(NULL) == '\0');
  sj_error_free(NULL);
  free_cache(cache);
}

static void passwords_are_not_shown(void) {
  sj_error *error = NULL;
  sj_cache *cache = NULL;
  CHECK(sj_open(sj_text("{\"url\": \"redis://user:hunter2@localhost:99999\"}"), &cache, &error) ==
        SJ_ERR_INVALID_OPTION);
  CHECK(cache == NULL && strstr(sj_error_message(error), "hunter2") == NULL);
  sj_error_free(error);
}

int main(void) {
  RUN(kinds);
  RUN(statuses);
  RUN(error_objects);
  RUN(passwords_are_not_shown);
  return 0;
}
