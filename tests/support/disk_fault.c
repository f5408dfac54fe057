/* Loaded before a program (LD_PRELOAD), this has the disk under its journals fail while a file says so, in numbers of 64
 * bits: what goes wrong (0 nothing, 1 no room is left, 2 a sync fails), and how many calls have failed. A journal is a file
 * whose name ends in `.journal`, or in `.new` while it is made; other files are left alone. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { NO_ROOM = 1, NO_SYNC = 2 };

struct fault {
	_Atomic int64_t kind;
	_Atomic uint64_t struck;
};

static struct fault *shared;

__attribute__((constructor)) static void find(void)
{
	const char *path = getenv("SCRUBJAY_DISK_FAULT");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (file < 0)
		return;
	void *found = mmap(NULL, sizeof(struct fault), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (found != MAP_FAILED)
		shared = found;
}

static int ends_with(const char *name, size_t length, const char *ending)
{
	size_t end = strlen(ending);
	return length >= end && memcmp(name + length - end, ending, end) == 0;
}

static int strikes(int64_t kind, int fd)
{
	char link[64], name[PATH_MAX];
	if (!shared || atomic_load(&shared->kind) != kind)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, name, sizeof name);
	if (length < 0 || !(ends_with(name, (size_t)length, ".journal") || ends_with(name, (size_t)length, ".new")))
		return 0;
	atomic_fetch_add(&shared->struck, 1);
	return 1;
}

/* The kernel is asked directly: the library's own functions are the ones that are replaced. */
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
	if (strikes(NO_ROOM, fd)) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
	return pwrite64(fd, bytes, count, offset);
}

int ftruncate64(int fd, off64_t length)
{
	if (strikes(NO_ROOM, fd)) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate(int fd, off_t length)
{
	return ftruncate64(fd, length);
}

int fdatasync(int fd)
{
	if (strikes(NO_SYNC, fd)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	if (strikes(NO_SYNC, fd)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}
