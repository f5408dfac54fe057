// Updates, and what is known of a key.

#ifndef UPDATE_H
#define UPDATE_H

#include "runner.h"

bool op_update(scope *s);
bool op_explain(scope *s);

#endif
