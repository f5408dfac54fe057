// The header in C99, twice in one file, as -pedantic as it gets.

#include <scrubjay.h>
#include <scrubjay.h>

int main(void) {
  sj_put_opts put = SJ_PUT_OPTS_INIT;
  sj_fetch_opts fetch = SJ_FETCH_OPTS_INIT;
  return put.size == sizeof put && fetch.size == sizeof fetch && sj_text("abc").len == 3 ? 0 : 1;
}
