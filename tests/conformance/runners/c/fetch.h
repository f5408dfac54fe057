// The operations that load.

#ifndef FETCH_H
#define FETCH_H

#include "runner.h"

bool op_get_or_fetch(scope *s);
bool op_get_or_fetch_many(scope *s);
bool op_concurrent(scope *s);

#endif
