#include <scrubjay.h>
#include <stdio.h>
#include <stdlib.h>

static int32_t load_user(void *db, sj_fetch *fetch) {
  (void)db;
  return sj_fetch_value(fetch, sj_text("{\"name\":\"Ada\"}"), SJ_JSON);
}

static void rename_user(void *db, int number, const char *name) {
  (void)db, (void)number, (void)name;
}

static void *db = NULL;
static sj_buf value;
static uint32_t codec;

static void check(sj_buf found, uint32_t as) {
  const char *expected = "{\"name\":\"Ada\"}";
  if (as != SJ_JSON || found.len != strlen(expected) || memcmp(found.ptr, expected, found.len) != 0) exit(1);
  sj_buf_free(&found);
}

SNIPPETS

int main(void) {
CALLS  return 0;
}
