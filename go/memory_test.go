package scrubjay_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

func memory[K comparable, V any](t testing.TB, options scrubjay.MemoryOptions[K, V]) *scrubjay.MemoryCache[K, V] {
	t.Helper()
	cache, err := scrubjay.NewMemoryCache(options)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func put[K comparable, V any](t testing.TB, cache *scrubjay.MemoryCache[K, V], key K, value V, ttl time.Duration) {
	t.Helper()
	if err := cache.Set(key, value, ttl); err != nil {
		t.Fatal(err)
	}
}

func TestMemorySetGetDelete(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[string, *user]{})
	if _, ok := cache.Get("ada"); ok || cache.Has("ada") || cache.Delete("ada") || cache.Len() != 0 {
		t.Fatal("an empty cache has something")
	}
	ada := &user{1, "Ada"}
	put(t, cache, "ada", ada, time.Minute)
	put(t, cache, "nobody", nil, time.Minute)
	if got, ok := cache.Get("ada"); !ok || got != ada {
		t.Fatal("not the object that was set", got, ok)
	}
	if got, ok := cache.Get("nobody"); !ok || got != nil {
		t.Fatal("a nil is a value", got, ok)
	}
	put(t, cache, "ada", &user{2, "Ada"}, time.Minute)
	if got, ok := cache.Get("ada"); !ok || got.ID != 2 || cache.Len() != 2 {
		t.Fatal(got, ok, cache.Len())
	}
	if !cache.Has("ada") || !cache.Delete("ada") || cache.Delete("ada") || cache.Has("ada") {
		t.Fatal("delete")
	}
	if _, ok := cache.Get("ada"); ok || cache.Len() != 1 {
		t.Fatal("deleted, and there", cache.Len())
	}
	cache.Clear()
	if _, ok := cache.Get("nobody"); ok || cache.Len() != 0 {
		t.Fatal("cleared, and there", cache.Len())
	}
	if stats := cache.Stats(); stats.Hits != 3 || stats.Misses != 3 || stats.Entries != 0 || stats.Bytes != 0 {
		t.Fatalf("%+v", stats)
	}
}

type point struct{ X, Y int32 }

// Keys of every kind find what was set under an equal key.
func TestMemoryKeys(t *testing.T) {
	t.Run("texts", func(t *testing.T) {
		cache := memory(t, scrubjay.MemoryOptions[string, int]{})
		for n := range 200 {
			put(t, cache, strings.Repeat("k", n), n, time.Minute)
			put(t, cache, strings.Repeat("k", n)+"x", -n, time.Minute)
		}
		for n := range 200 {
			long, ok := cache.Get(strings.Repeat("k", n))
			other, okToo := cache.Get(strings.Repeat("k", n) + "x")
			if !ok || !okToo || long != n || other != -n {
				t.Fatal(n, long, other)
			}
		}
	})
	t.Run("numbers", func(t *testing.T) {
		keysOf[int](t, 0, 1, -1, math.MaxInt, math.MinInt)
		keysOf[uint32](t, 0, 1, math.MaxUint32)
		keysOf[int8](t, 0, 1, -1, 127)
		keysOf(t, 0.5, -0.5, math.Inf(1))
	})
	t.Run("structs", func(t *testing.T) {
		keysOf(t, point{1, 2}, point{2, 1}, point{})
		keysOf(t, [2]string{"a", "bc"}, [2]string{"ab", "c"})
		keysOf[any](t, 1, "1", int64(1), point{1, 2}, nil)
	})
	t.Run("named", func(t *testing.T) {
		type id string
		keysOf[id](t, "a", "b", "")
	})
	t.Run("both zeros are one key", func(t *testing.T) {
		cache := memory(t, scrubjay.MemoryOptions[float64, int]{})
		put(t, cache, 0.0, 1, time.Minute)
		if got, ok := cache.Get(math.Copysign(0, -1)); !ok || got != 1 {
			t.Fatal(got, ok)
		}
	})
	t.Run("what cannot be a key panics", func(t *testing.T) {
		cache := memory(t, scrubjay.MemoryOptions[any, int]{})
		defer func() {
			if recover() == nil {
				t.Fatal("a slice was a key")
			}
			put(t, cache, any("still"), 1, time.Minute)
		}()
		_ = cache.Set([]int{1}, 1, time.Minute)
	})
}

func keysOf[K comparable](t *testing.T, keys ...K) {
	t.Helper()
	cache := memory(t, scrubjay.MemoryOptions[K, int]{})
	for i, key := range keys {
		put(t, cache, key, i, time.Minute)
	}
	for i, key := range keys {
		if got, ok := cache.Get(key); !ok || got != i {
			t.Errorf("%v: %d, %v", key, got, ok)
		}
	}
}

func TestMemoryOptionsAreChecked(t *testing.T) {
	type options = scrubjay.MemoryOptions[string, int]
	for name, test := range map[string]struct {
		options options
		names   string
	}{
		"entries":   {options{MaxEntries: -1}, "MaxEntries"},
		"bytes":     {options{MaxBytes: -1}, "MaxBytes"},
		"too many":  {options{MaxEntries: math.MaxInt64}, "max_entries"},
		"ttl":       {options{TTL: -time.Second}, "ttl"},
		"ttl short": {options{TTL: time.Microsecond}, "ttl"},
		"ttl long":  {options{TTL: 366 * 24 * time.Hour}, "ttl"},
	} {
		_, err := scrubjay.NewMemoryCache(test.options)
		if !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMemoryTTLsAreChecked(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[string, int]{})
	put(t, cache, "k", 1, scrubjay.DefaultTTL)
	for _, ttl := range []time.Duration{0, -1, time.Microsecond, 366 * 24 * time.Hour, time.Duration(math.MinInt64)} {
		if err := cache.Set("k", 2, ttl); !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), "ttl") {
			t.Errorf("%v: %v", ttl, err)
		}
	}
	if got, ok := cache.Get("k"); !ok || got != 1 {
		t.Fatal("a refused Set changed something")
	}
	// The longest is far beyond what the table can tell.
	for _, ttl := range []time.Duration{time.Millisecond, 13 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour} {
		put(t, cache, "k", 3, ttl)
	}
	if got, ok := cache.Get("k"); !ok || got != 3 {
		t.Fatal(got, ok)
	}
}

func TestMemoryEntriesExpire(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[string, int]{TTL: 30 * time.Millisecond})
	start := time.Now()
	put(t, cache, "default", 1, scrubjay.DefaultTTL)
	put(t, cache, "brief", 2, 30*time.Millisecond)
	put(t, cache, "long", 3, time.Minute)
	for _, key := range []string{"default", "brief"} {
		eventually(t, key+" expires", func() bool { return !cache.Has(key) })
	}
	if time.Since(start) < 20*time.Millisecond {
		t.Error("they expired at once")
	}
	if got, ok := cache.Get("long"); !ok || got != 3 {
		t.Error("the long one went, too")
	}
	eventually(t, "the expired ones are gone unread", func() bool { return cache.Len() == 1 && cache.Stats().Expired == 2 })
}

// What expired can be collected with nobody reading: the library rings, and Go lets go of it.
func TestMemoryOfExpiredValuesComesBack(t *testing.T) {
	const count = 5000
	var freed atomic.Int64
	cache := memory(t, scrubjay.MemoryOptions[int, *[64]int]{})
	for i := range count {
		value := new([64]int)
		runtime.AddCleanup(value, func(int) { freed.Add(1) }, 0)
		put(t, cache, i, value, time.Duration(1+i%20)*time.Millisecond)
	}
	eventually(t, "every value is collected", func() bool {
		runtime.GC()
		return freed.Load() == count
	})
	if cache.Len() != 0 {
		t.Error(cache.Len())
	}
	runtime.KeepAlive(cache)
}

// So can what was evicted, replaced, deleted and cleared.
func TestMemoryOfDroppedValuesComesBack(t *testing.T) {
	const bound, count = 100, 2000
	var freed atomic.Int64
	cache := memory(t, scrubjay.MemoryOptions[int, *[64]int]{MaxEntries: bound})
	set := func(key int) {
		value := new([64]int)
		runtime.AddCleanup(value, func(int) { freed.Add(1) }, 0)
		put(t, cache, key, value, time.Minute)
	}
	for i := range count {
		set(i)
	}
	collected := func(want int64) func() bool {
		return func() bool { runtime.GC(); return freed.Load() >= want }
	}
	eventually(t, "the evicted ones", collected(count-bound))
	for key := range cache.Keys() {
		set(key)
	}
	eventually(t, "the replaced ones", collected(count))
	cache.Clear()
	eventually(t, "the cleared ones", collected(count+bound))
}

// A cache that nobody uses goes, with its memory in the library.
func TestMemoryCachesAreCollected(t *testing.T) {
	tiers := scrubjay.LiveTiers()
	for i := range 50 {
		cache := memory(t, scrubjay.MemoryOptions[int, int]{})
		put(t, cache, i, i, time.Hour)
		put(t, cache, -i-1, i, 10*time.Millisecond)
	}
	eventually(t, "they are freed", func() bool { runtime.GC(); return scrubjay.LiveTiers() <= tiers })
}

func TestMemoryIsBounded(t *testing.T) {
	t.Run("entries", func(t *testing.T) {
		cache := memory(t, scrubjay.MemoryOptions[int, int]{MaxEntries: 1000})
		for i := range 10_000 {
			put(t, cache, i, i, time.Hour)
		}
		stats := cache.Stats()
		if cache.Len() > 1000 || cache.Len() < 900 || stats.Evictions != uint64(10_000-cache.Len()) || stats.Entries != uint64(cache.Len()) {
			t.Errorf("%d held, %+v", cache.Len(), stats)
		}
		for key, value := range cache.All() {
			if key != value {
				t.Fatal(key, value)
			}
		}
	})
	t.Run("bytes", func(t *testing.T) {
		cache := memory(t, scrubjay.MemoryOptions[string, []byte]{MaxBytes: 1 << 20})
		for i := range 3000 {
			put(t, cache, fmt.Sprint(i), make([]byte, 1000), time.Hour)
		}
		if stats := cache.Stats(); cache.Len() > 1000 || cache.Len() < 700 || stats.Bytes > 1<<20 {
			t.Errorf("%d held, %+v", cache.Len(), stats)
		}
	})
	t.Run("weigher", func(t *testing.T) {
		cache := memory(t, scrubjay.MemoryOptions[int, int]{MaxBytes: 1 << 20, Weigher: func(_ int, value int) int64 { return int64(value) }})
		for i := range 100 {
			put(t, cache, i, 100_000, time.Hour)
		}
		if cache.Len() > 10 || cache.Len() < 5 {
			t.Error(cache.Len())
		}
		put(t, cache, 1000, -5, time.Hour)
		if !cache.Has(1000) {
			t.Error("a negative weight is none")
		}
	})
	t.Run("too large", func(t *testing.T) {
		var told []string
		cache := memory(t, scrubjay.MemoryOptions[string, []byte]{MaxBytes: 10_000, OnEvict: func(key string, value []byte, reason scrubjay.EvictReason) {
			told = append(told, fmt.Sprintf("%s %d %s", key, len(value), reason))
		}})
		put(t, cache, "k", make([]byte, 10), time.Hour)
		put(t, cache, "k", make([]byte, 20_000), time.Hour)
		if want := []string{"k 10 replaced", "k 20000 capacity"}; cache.Has("k") || cache.Len() != 0 || !slices.Equal(told, want) {
			t.Error(cache.Len(), told)
		}
	})
}

// What is used stays, what is not goes.
func TestMemoryKeepsWhatIsUsed(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[int, int]{MaxEntries: 1000})
	for i := range 100 {
		put(t, cache, -i, i, time.Hour)
	}
	for i := range 20_000 {
		put(t, cache, 1+i, i, time.Hour)
		for n := range 2 {
			cache.Get(-(2*i + n) % 100)
		}
	}
	kept := 0
	for i := range 100 {
		if cache.Has(-i) {
			kept++
		}
	}
	if kept < 95 {
		t.Errorf("of 100 entries in use %d are left", kept)
	}
}

func TestMemoryListener(t *testing.T) {
	type event struct {
		key    string
		value  int
		reason scrubjay.EvictReason
	}
	var (
		mutex  sync.Mutex
		events []event
		cache  *scrubjay.MemoryCache[string, int]
	)
	cache = memory(t, scrubjay.MemoryOptions[string, int]{OnEvict: func(key string, value int, reason scrubjay.EvictReason) {
		// It may use the cache.
		cache.Has(key)
		mutex.Lock()
		defer mutex.Unlock()
		events = append(events, event{key, value, reason})
	}})
	put(t, cache, "a", 1, time.Minute)
	put(t, cache, "a", 2, time.Minute)
	cache.Delete("a")
	put(t, cache, "b", 3, 5*time.Millisecond)
	eventually(t, "b expires", func() bool { mutex.Lock(); defer mutex.Unlock(); return len(events) == 3 })
	put(t, cache, "c", 4, time.Minute)
	cache.Clear()
	want := []event{{"a", 1, scrubjay.Replaced}, {"a", 2, scrubjay.Removed}, {"b", 3, scrubjay.Expired}, {"c", 4, scrubjay.Cleared}}
	if !slices.Equal(events, want) {
		t.Error(events)
	}
	for reason, name := range map[scrubjay.EvictReason]string{scrubjay.Capacity: "capacity", scrubjay.Expired: "expired", 0: "unknown"} {
		if reason.String() != name {
			t.Error(reason, name)
		}
	}
}

func TestMemoryIterators(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[int, string]{})
	want := map[int]string{}
	for i := range 1000 {
		put(t, cache, i, fmt.Sprint(i), time.Minute)
		want[i] = fmt.Sprint(i)
	}
	cache.Delete(7)
	delete(want, 7)
	put(t, cache, 8, "brief", time.Millisecond)
	delete(want, 8)
	eventually(t, "8 expires", func() bool { return !cache.Has(8) })
	if got := maps.Collect(cache.All()); !maps.Equal(got, want) {
		t.Error(len(got))
	}
	if got := slices.Sorted(cache.Keys()); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Error(len(got))
	}
	if got := slices.Sorted(cache.Values()); !slices.Equal(got, slices.Sorted(maps.Values(want))) {
		t.Error(len(got))
	}
	// It may change while it is gone through, and the walk may end early.
	seen := 0
	for key := range cache.All() {
		cache.Delete(key)
		put(t, cache, -key-1, "new", time.Minute)
		if seen++; seen == 500 {
			break
		}
	}
	eventually(t, "as many are held as were replaced", func() bool { return cache.Len() == len(want) })
	if stats := cache.Stats(); stats.Hits+stats.Misses != 0 {
		t.Error("an iterator counted as reads")
	}
}
