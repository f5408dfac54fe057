// Go moves its work from thread to thread, and glibc keeps what a thread has freed for the next use in the same arena:
// with one for each thread the memory of the library grows to nearly twice what it holds. So there is one for all;
// small blocks do not meet there, each thread has some at hand. Who has set the number of arenas, in the environment,
// keeps it. This runs before the first thread starts: glibc reads the number once.

#include <malloc.h>
#include <stdlib.h>

__attribute__((constructor)) static void one_arena(void) {
#ifdef M_ARENA_MAX
	if (getenv("MALLOC_ARENA_MAX") == NULL && getenv("GLIBC_TUNABLES") == NULL) {
		mallopt(M_ARENA_MAX, 1);
	}
#endif
}
