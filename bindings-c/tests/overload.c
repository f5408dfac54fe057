// More than may be in flight to a server is refused with SJ_ERR_OVERLOADED; what was let in gets its answer.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "check.h"

// As many operations, and as many values of this length, as may be in flight.
enum { OPERATIONS = 10000, LONG = 8, EIGHT_MIB = 8 << 20 };

// Has the server carry out no write, nor what comes behind one on its connection; or go on.
static void tell_server(const char *command) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  address.sin_port = htons((uint16_t)strtoul(strrchr(redis_url(), ':') + 1, NULL, 10));
  char answer[5];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
  CHECK(send(fd, command, strlen(command), 0) == (ssize_t)strlen(command));
  CHECK(recv(fd, answer, sizeof answer, MSG_WAITALL) == 5 && memcmp(answer, "+OK\r\n", 5) == 0);
  close(fd);
}

static sj_cache *open_patient(void) {
  sj_cache *cache = open_cache(redis_url(), "\"l2_timeout\": 60, \"max_staleness\": 60, \"l1_bytes\": 1073741824");
  CHECK(sj_set(cache, sj_text("kept"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  return cache;
}

static void check_refused(int32_t status, sj_error *error) {
  CHECK(status == SJ_ERR_OVERLOADED && sj_error_code(error) == SJ_ERR_OVERLOADED);
  CHECK(sj_kind_retryable(status) == 1);
  sj_error_free(error);
}

static void check_refused_async(int32_t status, sj_completion *c) {
  CHECK(status == SJ_ERR_OVERLOADED && c->status == SJ_ERR_OVERLOADED);
  sj_buf_free(&c->value);
}

// Every call is refused, those that block and those through a queue, and changes nothing: "kept" is 1.
static void check_overloaded(sj_cache *cache) {
  const uint64_t end[] = {4};
  sj_error *error = NULL;
  sj_buf value = {0};
  int32_t status = sj_get(cache, sj_text("none"), &value, NULL, &error);
  check_refused(status, error);
  status = sj_set(cache, sj_text("kept"), sj_text("2"), NULL, NULL, &error);
  check_refused(status, error);
  status = sj_delete(cache, sj_text("kept"), NULL, &error);
  check_refused(status, error);
  status = sj_get_many(cache, sj_text("none"), end, 1, &value, &error);
  check_refused(status, error);
  status = sj_set_many(cache, sj_text("kept"), end, sj_text("2222"), end, NULL, 1, NULL, NULL, &error);
  check_refused(status, error);
  status = sj_delete_many(cache, sj_text("kept"), end, 1, NULL, &error);
  check_refused(status, error);

  sj_queue *queue = sj_queue_new();
  sj_completion c;
  check_refused_async(sj_get_async(cache, sj_text("none"), queue, 1, &c), &c);
  check_refused_async(sj_set_async(cache, sj_text("kept"), sj_text("2"), NULL, queue, 2, &c), &c);
  check_refused_async(sj_delete_many_async(cache, sj_text("kept"), end, 1, queue, 3, &c), &c);
  CHECK(sj_queue_wait(queue, &c, 1, 0) == 0);
  CHECK(sj_get(cache, sj_text("kept"), &value, NULL, NULL) == SJ_HIT && is_text(value, "1"));
  sj_buf_free(&value);

  // A fetch goes on as if the server could not be reached.
  CHECK(sj_begin(cache, sj_text("fetched"), NULL, queue, 4, &c) == SJ_PENDING);
  CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1 && c.status == SJ_LEAD);
  CHECK(sj_fulfil(cache, c.lease, sj_text("3"), NULL, NULL, NULL) == SJ_OK);
  sj_queue_free(queue);
}

// Takes `count` answers, all of one status.
static void collect(sj_queue *queue, int count, int32_t status) {
  static sj_completion batch[256];
  while (count > 0) {
    ptrdiff_t taken = sj_queue_wait(queue, batch, 256, 20000);
    CHECK(taken > 0);
    count -= (int)taken;
    while (taken-- > 0) {
      CHECK(batch[taken].status == status && batch[taken].receipt.pending == 0);
      sj_buf_free(&batch[taken].value);
    }
  }
}

static void more_operations_than_may_be_in_flight(void) {
  sj_cache *cache = open_patient();
  sj_queue *queue = sj_queue_new(), *others = sj_queue_new();
  sj_completion c;
  tell_server("CLIENT PAUSE 60000 WRITE\r\n");
  CHECK(sj_set_async(cache, sj_text("first"), sj_text("1"), NULL, others, 1, &c) == SJ_PENDING);
  for (uint64_t token = 1; token < OPERATIONS; token++) {
    CHECK(sj_get_async(cache, sj_text("none"), queue, token, &c) == SJ_PENDING);
  }
  check_overloaded(cache);
  tell_server("CLIENT UNPAUSE\r\n");
  collect(others, 1, SJ_OK);
  collect(queue, OPERATIONS - 1, SJ_MISS);
  sj_queue_free(others);
  CHECK(sj_set(cache, sj_text("kept"), sj_text("2"), NULL, NULL, NULL) == SJ_OK);
  sj_queue_free(queue);
  free_cache(cache);
}

static void more_bytes_than_may_be_in_flight(void) {
  sj_cache *cache = open_patient();
  sj_queue *queue = sj_queue_new();
  sj_completion c;
  sj_slice bytes = {calloc(EIGHT_MIB, 1), EIGHT_MIB};
  CHECK(bytes.ptr != NULL);
  sj_put_opts raw = SJ_PUT_OPTS_INIT;
  raw.codec = SJ_RAW;
  tell_server("CLIENT PAUSE 60000 WRITE\r\n");
  for (uint64_t token = 1; token <= LONG; token++) {
    CHECK(sj_set_async(cache, sj_text("long"), bytes, &raw, queue, token, &c) == SJ_PENDING);
  }
  check_overloaded(cache);
  tell_server("CLIENT UNPAUSE\r\n");
  collect(queue, LONG, SJ_OK);
  free((void *)bytes.ptr);
  sj_queue_free(queue);
  free_cache(cache);
}

int main(void) {
  RUN(more_operations_than_may_be_in_flight);
  RUN(more_bytes_than_may_be_in_flight);
  return 0;
}
