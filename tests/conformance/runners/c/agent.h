// Steps that another program sends.

#ifndef AGENT_H
#define AGENT_H

#include <stdio.h>

// Until the end of `in`. Returns the exit status of the program.
int run_agent(FILE *in, FILE *out);

#endif
