// After a fork the child works and the parent works, whatever was under way.

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static int32_t seven(void *user, sj_fetch *fetch) {
  (void)user;
  return sj_fetch_value(fetch, sj_text("7"), SJ_JSON);
}

// Every kind of call, in whichever process.
static void use(sj_cache *cache) {
  sj_buf value;
  sj_completion c;
  CHECK(sj_set(cache, sj_text("s"), sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  CHECK(sj_get(cache, sj_text("s"), &value, NULL, NULL) == SJ_HIT && is_text(value, "1"));
  sj_buf_free(&value);
  CHECK(sj_delete(cache, sj_text("f"), NULL, NULL) == SJ_OK);
  CHECK(sj_get_or_fetch(cache, sj_text("f"), NULL, seven, NULL, &value, NULL, NULL) == SJ_OK && is_text(value, "7"));
  sj_buf_free(&value);
  sj_queue *queue = sj_queue_new_fd();
  int32_t status = sj_begin(cache, sj_text("b"), NULL, queue, 1, &c);
  if (status == SJ_PENDING) {
    struct pollfd one = {sj_queue_fd(queue), POLLIN, 0};
    CHECK(poll(&one, 1, 20000) == 1 && sj_queue_wait(queue, &c, 1, 0) == 1);
    status = c.status;
  }
  CHECK(status == SJ_LEAD && sj_abandon(cache, c.lease) == SJ_OK);
  sj_queue_free(queue);
}

// What `child` checks in the child; the parent waits for it.
static void in_child(void (*child)(sj_cache *cache), sj_cache *cache) {
  fflush(NULL);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    alarm(60);
    child(cache);
    _exit(0);
  }
  int status;
  CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void on(const char *url) {
  sj_cache *cache = open_cache(url, "");
  use(cache);
  uint32_t generation = sj_fork_generation();
  for (int i = 0; i < 3; i++) {
    in_child(use, cache);
    use(cache);
  }
  CHECK(sj_fork_generation() == generation);
  free_cache(cache);
}

static void in_memory(void) { on("memory://"); }

static void over_redis(void) { on(redis_url()); }

static uint32_t parents_generation;

static void starts_empty(sj_cache *cache) {
  sj_buf value;
  CHECK(sj_fork_generation() != parents_generation);
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_MISS);
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"child\""), NULL, NULL, NULL) == SJ_OK);
}

static void the_memory_of_the_child_is_its_own(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_buf value;
  parents_generation = sj_fork_generation();
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"parent\""), NULL, NULL, NULL) == SJ_OK);
  in_child(starts_empty, cache);
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_HIT && is_text(value, "\"parent\""));
  sj_buf_free(&value);
  free_cache(cache);
}

static void reads_redis(sj_cache *cache) {
  sj_buf value;
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_HIT && is_text(value, "\"parent\""));
  sj_buf_free(&value);
  CHECK(sj_set(cache, sj_text("child"), sj_text("2"), NULL, NULL, NULL) == SJ_OK);
}

static void redis_is_shared(void) {
  sj_cache *cache = open_cache(redis_url(), "");
  sj_buf value;
  CHECK(sj_set(cache, sj_text("k"), sj_text("\"parent\""), NULL, NULL, NULL) == SJ_OK);
  in_child(reads_redis, cache);
  CHECK(sj_get(cache, sj_text("child"), &value, NULL, NULL) == SJ_HIT && is_text(value, "2"));
  sj_buf_free(&value);
  free_cache(cache);
}

// A cache that the parent opened and never used: prefork servers.
static void opened_before_the_fork(void) {
  sj_cache *cache = open_cache(redis_url(), "");
  in_child(use, cache);
  in_child(use, cache);
  use(cache);
  free_cache(cache);
}

static sj_queue *parents_queue;

static void leaves_the_lease(sj_cache *cache) {
  sj_completion c;
  sj_queue *queue = sj_queue_new();
  // The parent's fetch is not this process's.
  int32_t status = sj_begin(cache, sj_text("k"), NULL, queue, 1, &c);
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
    status = c.status;
  }
  CHECK(status == SJ_LEAD && sj_fulfil(cache, c.lease, sj_text("1"), NULL, NULL, NULL) == SJ_OK);
  sj_queue_free(queue);
  sj_queue_free(parents_queue);
  sj_close(cache, NULL, NULL);
  sj_cache_free(cache);
}

static void a_lease_and_a_queue_across_the_fork(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_completion c;
  parents_queue = sj_queue_new_fd();
  CHECK(sj_begin(cache, sj_text("k"), NULL, parents_queue, 1, &c) == SJ_LEAD);
  uint64_t lease = c.lease;
  CHECK(sj_begin(cache, sj_text("k"), NULL, parents_queue, 2, &c) == SJ_PENDING);
  in_child(leaves_the_lease, cache);
  CHECK(sj_fulfil(cache, lease, sj_text("5"), NULL, NULL, NULL) == SJ_OK);
  CHECK(sj_queue_wait(parents_queue, &c, 1, 20000) == 1 && is_text(c.value, "5"));
  sj_buf_free(&c.value);
  sj_queue_free(parents_queue);
  free_cache(cache);
}

#ifndef __SANITIZE_ADDRESS__
// Not under AddressSanitizer: its own allocator keeps a lock across the fork that another thread held.

static atomic_bool stop;

static void *busy(void *user) {
  sj_cache *cache = user;
  sj_buf value;
  for (unsigned i = 0; !atomic_load(&stop); i++) {
    char key[16];
    snprintf(key, sizeof key, "k%u", i % 50);
    if (sj_get_or_fetch(cache, sj_text(key), NULL, seven, NULL, &value, NULL, NULL) >= 0) {
      sj_buf_free(&value);
    }
    sj_delete(cache, sj_text(key), NULL, NULL);
  }
  return NULL;
}

// Forks while other threads are inside the library: no lock of theirs is held in the child.
static void while_threads_are_busy(void) {
  sj_cache *cache = open_cache(redis_url(), "");
  pthread_t threads[4];
  atomic_store(&stop, false);
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, busy, cache) == 0);
  }
  for (int i = 0; i < 20; i++) {
    in_child(use, cache);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  use(cache);
  free_cache(cache);
}
#endif

int main(void) {
  RUN(in_memory);
  RUN(over_redis);
  RUN(the_memory_of_the_child_is_its_own);
  RUN(redis_is_shared);
  RUN(opened_before_the_fork);
  RUN(a_lease_and_a_queue_across_the_fork);
#ifndef __SANITIZE_ADDRESS__
  RUN(while_threads_are_busy);
#endif
  return 0;
}
