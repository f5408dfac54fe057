// The conformance runner of the C library.
//
//   conformance-c --corpus ../.. --redis redis://localhost:6379 --out result.json
//   conformance-c --agent
//
// The first form runs every scenario in memory and over the Redis. The second does steps that another program sends,
// one JSON object a line, and answers each with {"ok": true} or {"ok": false, "why": "…"}. Its first step opens a
// cache with its url and prefix.

#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "corpus.h"

int main(int count, char **arguments) {
  const char *corpus = "", *redis = "", *out = NULL;
  for (int i = 1; i < count; i++) {
    const char **into = NULL;
    if (strcmp(arguments[i], "--agent") == 0) {
      return run_agent(stdin, stdout);
    }
    if (strcmp(arguments[i], "--corpus") == 0) {
      into = &corpus;
    } else if (strcmp(arguments[i], "--redis") == 0) {
      into = &redis;
    } else if (strcmp(arguments[i], "--out") == 0) {
      into = &out;
    }
    if (into == NULL || i + 1 == count) {
      fprintf(stderr, "usage: %s --corpus DIR --redis URL --out FILE | --agent\n", arguments[0]);
      return 2;
    }
    *into = arguments[++i];
  }
  return run_corpus(corpus, redis, out);
}
