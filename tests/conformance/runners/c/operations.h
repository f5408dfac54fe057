// The operations of the corpus, and which fields a step of each may have.

#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "runner.h"

typedef struct operation {
  const char *name;
  bool (*run)(scope *s);
  bool needs_cache;
  const char *const *fields;
} operation;

// NULL for an unknown name.
const operation *operation_named(const json *name);

// The ttl of a step in milliseconds, as a program in C would write it: for what no int64_t can say, NaN is 0 and the
// infinities the largest and the smallest there are.
bool step_ttl(scope *s, int64_t *ttl_ms);
bool build_ttl(scope *s, const json *ttl, int64_t *ttl_ms);

// The codec of a step as `store_as`: "raw" is SJ_RAW, and what is unknown a number that is unknown too.
uint32_t step_store_as(scope *s);

#endif
