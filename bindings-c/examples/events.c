// One thread, one epoll, many calls at once, and nothing that waits but epoll_wait: events [URL]
//
// A thousand requests ask for twenty users. Whoever is first for a user sends a query to the database, which answers
// later through the same epoll; the others are answered with it.
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <scrubjay.h>

enum { REQUESTS = 1000, USERS = 20 };

// A query that the database has not answered.
typedef struct query {
  uint64_t token;
  // 0: what comes is for this request alone.
  uint64_t lease;
  // The request has its answer: what comes replaces it in time.
  bool refresh;
} query;

static sj_cache *cache;
static query queries[REQUESTS];
static int sent, loads, answered, failed;

// A request has its answer: the tokens are the numbers of the requests.
static void respond(uint64_t token, sj_slice user) {
  (void)token, (void)user;
  answered++;
}

// An answer of the library, at once or through the queue.
static void on_completion(sj_completion *c) {
  bool hit = c->status == SJ_HIT || c->status == SJ_STALE;
  if (c->lease != 0 || c->status == SJ_BYPASS) {
    // Ours to load. The query goes out; nobody waits here.
    queries[sent++] = (query){c->token, c->lease, hit};
  }
  if (hit) {
    respond(c->token, (sj_slice){c->value.ptr, c->value.len});
  } else if (c->status < 0) {
    fprintf(stderr, "%s: %.*s\n", sj_kind_name(c->status), (int)c->value.len, (const char *)c->value.ptr);
    failed++;
  }
  sj_buf_free(&c->value);
}

// The database answers all its queries. Every lease must be answered: with sj_fulfil, sj_fail or sj_abandon.
static void on_database(void) {
  while (sent > 0) {
    query q = queries[--sent];
    sj_slice user = sj_text("{\"name\": \"Ada\"}");
    loads++;
    if (q.lease != 0) {
      // SJ_ERR_LEASE_EXPIRED says that it came too late to be stored; the value is as good as any.
      sj_fulfil(cache, q.lease, user, NULL, NULL, NULL);
    }
    if (!q.refresh) {
      respond(q.token, user);
    }
  }
}

static void on_queue(sj_queue *queue) {
  sj_completion batch[64];
  ptrdiff_t count;
  while ((count = sj_queue_wait(queue, batch, 64, 0)) > 0) {
    for (ptrdiff_t i = 0; i < count; i++) {
      on_completion(&batch[i]);
    }
  }
}

static void request(sj_queue *queue, uint64_t token) {
  char key[32];
  snprintf(key, sizeof key, "user:%d", (int)(token % USERS));
  sj_completion c;
  if (sj_begin(cache, sj_text(key), NULL, queue, token, &c) != SJ_PENDING) {
    on_completion(&c);
  }
}

int main(int count, char **arguments) {
  char options[300];
  snprintf(options, sizeof options, "{\"url\": \"%s\", \"prefix\": \"events\"}",
           count > 1 ? arguments[1] : "memory://");
  sj_queue *queue = sj_queue_new_fd();
  if (queue == NULL || sj_open(sj_text(options), &cache, NULL) != SJ_OK) {
    return 1;
  }

  // The database of this example: it answers a few milliseconds after it was asked.
  int database = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec later = {{0, 5000000}, {0, 5000000}};
  timerfd_settime(database, 0, &later, NULL);

  int loop = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event readable = {.events = EPOLLIN, .data = {.fd = sj_queue_fd(queue)}};
  epoll_ctl(loop, EPOLL_CTL_ADD, readable.data.fd, &readable);
  readable.data.fd = database;
  epoll_ctl(loop, EPOLL_CTL_ADD, database, &readable);

  for (uint64_t token = 0; token < REQUESTS; token++) {
    request(queue, token);
  }
  while (answered + failed < REQUESTS) {
    struct epoll_event ready[8];
    int woken = epoll_wait(loop, ready, 8, 10000);
    if (woken <= 0) {
      break;
    }
    for (int i = 0; i < woken; i++) {
      if (ready[i].data.fd == database) {
        uint64_t ticks;
        if (read(database, &ticks, sizeof ticks) > 0) {
          on_database();
        }
      } else {
        on_queue(queue);
      }
    }
  }
  printf("%d requests answered, %d failed, %d queries\n", answered, failed, loads);

  close(database);
  close(loop);
  sj_queue_free(queue);
  sj_clear(cache, NULL, NULL);
  sj_close(cache, NULL, NULL);
  sj_cache_free(cache);
  return answered == REQUESTS ? 0 : 1;
}
