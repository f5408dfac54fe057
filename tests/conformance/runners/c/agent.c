#include "agent.h"

#include <stdlib.h>
#include <string.h>

#include "runner.h"

static bool answer(runner *r, const char *line, size_t len, FILE *out) {
  arena *memory = arena_new();
  failure f = {""};
  const json *step = json_parse(memory, line, len, &f);
  bool done = step != NULL && runner_step(r, step, (held){NULL, 0}, &f);
  text verdict = text_new(memory);
  text_puts(&verdict, done ? "{\"ok\": true" : "{\"ok\": false, \"why\": ");
  if (!done) {
    text_put_json(&verdict, f.why, strlen(f.why));
  }
  bool written = fprintf(out, "%s}\n", verdict.bytes) > 0 && fflush(out) == 0;
  arena_free(memory);
  return written;
}

int run_agent(FILE *in, FILE *out) {
  runner *r = runner_new(NULL, NULL);
  char *line = NULL;
  size_t room = 0;
  ssize_t len;
  bool open = true;
  while (open && (len = getline(&line, &room, in)) >= 0) {
    if (strspn(line, " \t\r\n") < (size_t)len) {
      open = answer(r, line, (size_t)len, out);
    }
  }
  free(line);
  runner_free(r);
  return open ? 0 : 1;
}
