// The fetch that a step describes, and what was seen of its runs.

#ifndef SOURCE_H
#define SOURCE_H

#include <pthread.h>
#include <stdatomic.h>

#include "expect.h"

typedef struct source {
  scope *s;
  const json *spec;
  // Of the calls: the ttl and the codec of the step, inside the leases of the step.
  sj_fetch_opts opts;
  // What the fetch says of the storing of its value.
  sj_put_opts brings;
  value value;
  bool recursive;
  sj_slice recursive_key;
  atomic_size_t runs;
  pthread_mutex_t mutex;
  bool broken;
  failure why;
} source;

// What a fetch says of the storing of its values: a ttl, and tags.
bool source_brings(scope *s, const json *spec, sj_put_opts *brings);

// False with the reason when the step describes no fetch.
bool source_open(source *o, scope *s);
void source_close(source *o);

// How one run ended. Free `owned` when the value was used.
typedef struct fetched {
  // SJ_OK, or an error with its message.
  int32_t status;
  value value;
  char message[400];
  sj_buf owned;
} fetched;

// Runs the fetch inside these leases.
void source_run(source *o, held inside, fetched *got);

// The same as an sj_fetch_fn, whose user is the source.
int32_t source_fetch(void *user, sj_fetch *fetch);

// Hands what a run brought to the library.
int32_t fetched_give(const source *o, const fetched *got, sj_fetch *fetch);

held fetch_held(const sj_fetch *fetch);

// A step inside the fetch went wrong.
void source_note(source *o, const failure *why);

// Nothing went wrong inside the fetch, and it ran as often as the step expects.
bool source_check(source *o);

#endif
