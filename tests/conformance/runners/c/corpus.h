// Every scenario, on every backend.

#ifndef CORPUS_H
#define CORPUS_H

// Prints a line for each, writes the results to `out` where it is not NULL. Returns the exit status of the program:
// 0 when all passed, 1 when one failed, 2 when there is none.
int run_corpus(const char *folder, const char *redis, const char *out);

#endif
