// The caches of one scenario, and its steps.

#ifndef RUNNER_H
#define RUNNER_H

#include <stdint.h>

#include <scrubjay.h>

#include "json.h"

typedef struct runner runner;

// `url` and `prefix` are those of caches whose options do not say; NULL for none. They live as long as the runner.
runner *runner_new(const char *url, const char *prefix);
// Closes and frees the caches too. No step may be running.
void runner_free(runner *r);

// The leases inside which a step runs: none, or those of the fetch that runs it.
typedef struct held {
  const uint64_t *leases;
  size_t count;
} held;

// One step under way, and what it needs.
typedef struct scope {
  runner *runner;
  arena *memory;
  const json *step;
  held held;
  // The cache it names; NULL for the operations that need none.
  sj_cache *cache;
  failure *f;
} scope;

// Does a step, a list of steps, a scenario: false with the reason when it is not as expected.
bool runner_step(runner *r, const json *step, held inside, failure *f);
bool runner_steps(runner *r, const json *steps, held inside, failure *f);
bool runner_scenario(runner *r, const json *scenario, failure *f);

// Opens a cache under a name; the one that had it is closed. Returns the status, with its error.
int32_t runner_open(scope *s, const char *name, const json *options, sj_error **error);

// The token of a receipt, as text of 32 digits, under a name; NULL for a name that is not known. It lives as long as the
// runner.
void runner_remember(runner *r, const char *name, const sj_receipt *receipt);
const char *runner_token(runner *r, const char *name);

// Tries every 5 ms until it succeeds, or the time is over.
bool poll_until(double seconds, bool (*attempt)(void *user, failure *f), void *user, failure *f);

#endif
