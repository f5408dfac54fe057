// Set, get, and get_or_fetch, in a thread that may wait: hello [URL]
#include <stdio.h>
#include <stdlib.h>

#include <scrubjay.h>

// Where the users really are.
typedef struct database {
  int loads;
} database;

// Called when nobody has the user: in the thread of the call that needs it, and once for all that do.
static int32_t load_user(void *user, sj_fetch *fetch) {
  database *db = user;
  db->loads++;
  return sj_fetch_value(fetch, sj_text("{\"name\": \"Ada\", \"age\": 36}"), SJ_JSON);
}

static void end_with(int32_t status, sj_error *error) {
  fprintf(stderr, "%s: %s: %s\n", sj_error_operation(error), sj_kind_name(status), sj_error_message(error));
  sj_error_free(error);
  exit(1);
}

int main(int count, char **arguments) {
  char options[300];
  snprintf(options, sizeof options, "{\"url\": \"%s\", \"prefix\": \"hello\", \"ttl\": 60}",
           count > 1 ? arguments[1] : "memory://");

  sj_error *error = NULL;
  sj_cache *cache;
  int32_t status = sj_open(sj_text(options), &cache, &error);
  if (status != SJ_OK) {
    end_with(status, error);
  }

  // A value is JSON text, or bytes as they are (SJ_RAW). NULL: JSON, and the cache's ttl.
  sj_put_opts five_minutes = SJ_PUT_OPTS_INIT;
  five_minutes.ttl_ms = 5 * 60 * 1000;
  status = sj_set(cache, sj_text("greeting"), sj_text("\"hello\""), &five_minutes, NULL, &error);
  if (status != SJ_OK) {
    end_with(status, error);
  }

  sj_buf value;
  status = sj_get(cache, sj_text("greeting"), &value, NULL, &error);
  if (status == SJ_HIT) {
    printf("greeting: %.*s\n", (int)value.len, (const char *)value.ptr);
    sj_buf_free(&value);
  }
  status = sj_get(cache, sj_text("farewell"), &value, NULL, &error);
  printf("farewell: %s\n", status == SJ_MISS ? "a miss" : "?");

  database db = {0};
  for (int i = 0; i < 3; i++) {
    status = sj_get_or_fetch(cache, sj_text("user:7"), NULL, load_user, &db, &value, NULL, &error);
    if (status < 0) {
      end_with(status, error);
    }
    printf("user:7: %.*s, loaded %d times\n", (int)value.len, (const char *)value.ptr, db.loads);
    sj_buf_free(&value);
  }

  status = sj_set(cache, sj_text(""), sj_text("1"), NULL, NULL, &error);
  printf("%s: %s\n", sj_kind_name(status), sj_error_message(error));
  sj_error_free(error);

  sj_clear(cache, NULL, NULL);
  sj_close(cache, NULL, NULL);
  sj_cache_free(cache);
  return 0;
}
