// The header in C++: its functions link, its macros and sj_text compile.

#include <scrubjay.h>
#include <scrubjay.h>

static int32_t load(void *, sj_fetch *fetch) { return sj_fetch_value(fetch, sj_text("1"), SJ_JSON); }

int main() {
  sj_put_opts put = SJ_PUT_OPTS_INIT;
  sj_fetch_opts fetch = SJ_FETCH_OPTS_INIT;
  sj_cache *cache = nullptr;
  sj_buf value = {};
  put.ttl_ms = 1000;
  fetch.ttl_ms = put.ttl_ms;
  if (sj_open(sj_text("{}"), &cache, nullptr) != SJ_OK ||
      sj_set(cache, sj_text("k"), sj_text("2"), &put, nullptr, nullptr) != SJ_OK ||
      sj_get_or_fetch(cache, sj_text("f"), &fetch, load, nullptr, &value, nullptr, nullptr) != SJ_OK) {
    return 1;
  }
  sj_buf_free(&value);
  sj_cache_free(cache);
  return 0;
}
