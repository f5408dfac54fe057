// Many threads that ask for one key at once.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "source.h"

// How long a leader waits for the others to wait for it, in seconds.
#define LEADER_PATIENCE 20

// A thousand threads of the usual 8 MiB would ask for 8 GiB.
#define STACK (256 * 1024)

typedef struct crowd {
  source source;
  sj_slice key;
  size_t count;
  // What the first leader does instead of its fetch.
  enum { FETCHES, CANCELLED, DIES } leader;
  atomic_flag led;
  size_t waits_before;
} crowd;

// One of the callers, and how it ended.
typedef struct caller {
  crowd *of;
  pthread_t thread;
  bool first;
  int32_t status;
  uint32_t codec;
  sj_buf value;
  char message[400];
} caller;

static bool waits(sj_cache *cache, size_t *count) {
  failure f;
  sj_buf packed;
  if (sj_stats_json(cache, &packed) != SJ_OK) {
    return false;
  }
  arena *memory = arena_new();
  const json *stats = json_parse(memory, (const char *)packed.ptr, packed.len, &f);
  bool done = json_count(json_field(stats, "waits"), count);
  arena_free(memory);
  sj_buf_free(&packed);
  return done;
}

static bool all_others_wait(void *user, failure *f) {
  crowd *c = user;
  size_t count;
  if (!waits(c->source.s->cache, &count)) {
    return fail(f, "there are no statistics");
  }
  return count - c->waits_before + 1 >= c->count ||
         fail(f, "%zu callers wait, expected %zu", count - c->waits_before, c->count - 1);
}

// True for the first leader, when all others wait for it.
static bool leads_first(caller *me) {
  crowd *c = me->of;
  if (atomic_flag_test_and_set(&c->led)) {
    return false;
  }
  failure f = {""};
  me->first = true;
  if (!poll_until(LEADER_PATIENCE, all_others_wait, c, &f)) {
    source_note(&c->source, &f);
  }
  return true;
}

static int32_t fetch_one(void *user, sj_fetch *fetch) {
  caller *me = user;
  if (leads_first(me) && me->of->leader == CANCELLED) {
    atomic_fetch_add(&me->of->source.runs, 1);
    return SJ_ERR_CANCELLED;
  }
  return source_fetch(&me->of->source, fetch);
}

static void call(caller *me) {
  crowd *c = me->of;
  sj_error *error = NULL;
  me->status = sj_get_or_fetch(c->source.s->cache, c->key, &c->source.opts, fetch_one, me, &me->value, &me->codec,
                               &error);
  snprintf(me->message, sizeof me->message, "%s", sj_error_message(error));
  sj_error_free(error);
}

// Runs the fetch of a lease and answers for it.
static void lead(caller *me, uint64_t lease) {
  crowd *c = me->of;
  sj_cache *cache = c->source.s->cache;
  fetched got;
  held inside = {&lease, 1};
  if (leads_first(me)) {
    atomic_fetch_add(&c->source.runs, 1);
    sj_abandon(cache, lease);
    return;
  }
  source_run(&c->source, inside, &got);
  if (got.status == SJ_OK) {
    sj_put_opts opts = c->source.brings;
    opts.codec = got.value.codec;
    me->status = sj_fulfil(cache, lease, got.value.bytes, &opts, NULL, NULL);
    // Kept as the others keep theirs: for the comparison, until the caller is freed.
    me->codec = got.value.codec;
    me->value.ptr = got.value.bytes.ptr;
    me->value.len = got.value.bytes.len;
    me->value.owner = got.owned.owner;
  } else {
    sj_completion stale;
    memcpy(me->message, got.message, sizeof me->message);
    sj_fail(cache, lease, got.status, sj_text(got.message), 0, &stale);
    sj_buf_free(&stale.value);
    me->status = got.status;
  }
}

// The same call step by step, as an event loop makes it: a thread that dies in its fetch cannot return from it, and
// what is left of it abandons its lease.
static void call_by_steps(caller *me) {
  crowd *c = me->of;
  sj_completion got;
  sj_queue *queue = sj_queue_new();
  int32_t status = sj_begin(c->source.s->cache, c->key, &c->source.opts, queue, 1, &got);
  if (status == SJ_PENDING && sj_queue_wait(queue, &got, 1, -1) == 1) {
    status = got.status;
  }
  if (status == SJ_LEAD) {
    lead(me, got.lease);
  } else {
    me->status = status;
    me->codec = got.codec;
    if (status < 0) {
      snprintf(me->message, sizeof me->message, "%.*s", (int)got.value.len, (const char *)got.value.ptr);
      sj_buf_free(&got.value);
    } else {
      me->value = got.value;
    }
  }
  sj_queue_free(queue);
}

static void *start(void *user) {
  caller *me = user;
  if (me->of->leader == DIES) {
    call_by_steps(me);
  } else {
    call(me);
  }
  return NULL;
}

static bool expect_caller(scope *s, const caller *me, size_t index, const char **message) {
  if (me->first && me->of->leader != FETCHES) {
    // One that died has no result.
    return me->of->leader == DIES || me->status == SJ_ERR_CANCELLED ||
           fail(s->f, "the cancelled leader got %d %s", me->status, me->message);
  }
  sj_slice bytes = {me->value.ptr, me->value.len};
  if (!expect_failure(s, me->status, me->message) || (me->status >= 0 && !expect_value(s, me->codec, bytes))) {
    return fail_in(s->f, "caller %zu: ", index);
  }
  if (me->status < 0 && *message == NULL) {
    *message = me->message;
  }
  return me->status >= 0 || strcmp(*message, me->message) == 0 ||
         fail(s->f, "caller %zu got another error: %s", index, me->message);
}

static bool run_crowd(crowd *c) {
  scope *s = c->source.s;
  caller *callers = calloc(c->count, sizeof(caller));
  pthread_attr_t small;
  if (callers == NULL || pthread_attr_init(&small) != 0 || pthread_attr_setstacksize(&small, STACK) != 0) {
    abort();
  }
  size_t started = 0;
  while (started < c->count) {
    callers[started].of = c;
    if (pthread_create(&callers[started].thread, &small, start, &callers[started]) != 0) {
      break;
    }
    started++;
  }
  for (size_t i = 0; i < started; i++) {
    pthread_join(callers[i].thread, NULL);
  }
  bool done = started == c->count ? source_check(&c->source) : fail(s->f, "only %zu threads started", started);
  const char *message = NULL;
  for (size_t i = 0; i < started; i++) {
    done = done && expect_caller(s, &callers[i], i, &message);
    sj_buf_free(&callers[i].value);
  }
  pthread_attr_destroy(&small);
  free(callers);
  return done;
}

static bool prepare(crowd *c) {
  scope *s = c->source.s;
  const json *leader = json_field(s->step, "leader");
  if (leader == NULL) {
    c->leader = FETCHES;
  } else if (json_is(leader, "cancel")) {
    c->leader = CANCELLED;
  } else if (json_is(leader, "panic")) {
    c->leader = DIES;
  } else {
    return fail(s->f, "unknown leader %.*s", (int)leader->source_len, leader->source);
  }
  if (!json_count(json_field(s->step, "count"), &c->count) || c->count < 1 || c->count > 10000) {
    return fail(s->f, "count is no number of callers");
  }
  return value_key(s->memory, json_field(s->step, "key"), &c->key, s->f) &&
         (waits(s->cache, &c->waits_before) || fail(s->f, "there are no statistics"));
}

bool op_concurrent(scope *s) {
  crowd c = {.led = ATOMIC_FLAG_INIT};
  bool done = source_open(&c.source, s) && prepare(&c) && run_crowd(&c);
  source_close(&c.source);
  return done;
}
