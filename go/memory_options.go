package scrubjay

import "time"

// MemoryOptions are the options of a [MemoryCache]. The zero value of each field is its default.
type MemoryOptions[K comparable, V any] struct {
	// MaxEntries bounds the cache in entries. Default: no such bound.
	MaxEntries int64
	// MaxBytes bounds it in bytes: keys, values and the cost of an entry itself together, as far as they live; the heap
	// grows beyond that until the garbage collector runs. Default: 64 MiB, or no such bound where MaxEntries is
	// given. Where both are given, both hold.
	MaxBytes int64
	// TTL is how long a value lives when Set is given DefaultTTL: 1 ms to 365 days. Default: 1 h.
	TTL time.Duration
	// Weigher says how many bytes a key and its value own, beside their own sizes and what the cache needs for any
	// entry. It is asked at each Set where there is a bound in bytes. Default: the texts and slices that they are, or
	// that are fields of theirs, with the elements of those, but nothing that is behind pointers, maps and interfaces:
	// give a Weigher where they own more.
	Weigher func(key K, value V) int64
	// OnEvict is told of each entry that left, and why; also of one that was refused because it is larger than the
	// bound. It runs in the goroutine whose call made the entry leave, or in one of the cache's own, and holds no lock:
	// it may use the cache. The entry has left by then, and another may be under its key.
	OnEvict func(key K, value V, reason EvictReason)
}

// An EvictReason is why an entry left a [MemoryCache].
type EvictReason int

const (
	// Capacity: there was no room; it was evicted for others, or was larger than the whole bound and never stored.
	Capacity EvictReason = iota + 1
	// Expired: its time was up.
	Expired
	// Replaced: another value was set under its key.
	Replaced
	// Removed: its key was deleted.
	Removed
	// Cleared: the cache was cleared.
	Cleared
)

// String returns the name of the reason, like "expired".
func (r EvictReason) String() string {
	switch r {
	case Capacity:
		return "capacity"
	case Expired:
		return "expired"
	case Replaced:
		return "replaced"
	case Removed:
		return "removed"
	case Cleared:
		return "cleared"
	default:
		return "unknown"
	}
}

// MemoryStats are the counters of one [MemoryCache] since it was made.
type MemoryStats struct {
	// Hits counts reads that found a value.
	Hits uint64
	// Misses counts reads that found none.
	Misses uint64
	// Evictions counts entries that left for want of room, those too large to be stored at all included.
	Evictions uint64
	// Expired counts entries that left at the end of their life.
	Expired uint64
	// Entries is how many entries are held.
	Entries uint64
	// Bytes is what they weigh together.
	Bytes uint64
}
