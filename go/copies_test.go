package scrubjay_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

type document struct {
	ID    int               `json:"id"`
	Tags  []string          `json:"tags"`
	Attrs map[string]string `json:"attrs"`
}

func store(t testing.TB, cache *scrubjay.CacheService, key string, value any, ttl time.Duration) {
	t.Helper()
	if _, err := cache.Set(ctx, key, value, ttl); err != nil {
		t.Fatal(err)
	}
}

func load[T any](t testing.TB, cache *scrubjay.CacheService, key string) T {
	t.Helper()
	var value T
	if err := cache.Get(ctx, key, &value); err != nil {
		t.Fatal(key, err)
	}
	return value
}

// decodes counts how often it is decoded.
type decodes struct{ Text string }

var decoded atomic.Int64

func (d *decodes) UnmarshalJSON(text []byte) error {
	decoded.Add(1)
	d.Text = strings.Trim(string(text), `"`)
	return nil
}

func (d decodes) MarshalJSON() ([]byte, error) { return []byte(`"` + d.Text + `"`), nil }

func TestAValueIsDecodedOnce(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	store(t, cache, "k", decodes{"text"}, time.Minute)
	decoded.Store(0)
	for range 10 {
		if got := load[decodes](t, cache, "k"); got.Text != "text" {
			t.Fatal(got)
		}
		got, err := scrubjay.GetOrFetch(ctx, cache, "k", time.Minute, func(context.Context) (decodes, error) { return decodes{}, errors.New("ran") })
		if err != nil || got.Text != "text" {
			t.Fatal(got, err)
		}
		many, err := scrubjay.GetMany[decodes](ctx, cache, []string{"k", "none"})
		if err != nil || len(many) != 1 || many["k"].Text != "text" {
			t.Fatal(many, err)
		}
		many, err = scrubjay.GetOrFetchMany(ctx, cache, []string{"k"}, time.Minute, func(context.Context, []string) (map[string]decodes, error) { return nil, errors.New("ran") })
		if err != nil || many["k"].Text != "text" {
			t.Fatal(many, err)
		}
	}
	if n := decoded.Load(); n != 1 {
		t.Errorf("decoded %d times", n)
	}
	if stats := cache.Stats(); stats.HitsL1 != 40 || stats.Misses != 10 {
		t.Errorf("%+v", stats)
	}
	if stats := cache.Stats(); stats.HitsL1 != 40 {
		t.Errorf("counted twice: %+v", stats)
	}
}

func TestIsolateDecodesEachHit(t *testing.T) {
	cache := open(t, scrubjay.Options{Isolate: true})
	store(t, cache, "k", document{1, []string{"a"}, map[string]string{"b": "c"}}, time.Minute)
	for range 3 {
		got := load[document](t, cache, "k")
		if got.Tags[0] != "a" || got.Attrs["b"] != "c" {
			t.Fatal("another caller's change is seen", got)
		}
		got.Tags[0], got.Attrs["b"] = "changed", "changed"
	}
}

// Without it, hits share what the value leads to, and own what it is.
func TestHitsShareWhatIsDecoded(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	store(t, cache, "k", document{1, []string{"a"}, nil}, time.Minute)
	first, second := load[document](t, cache, "k"), load[document](t, cache, "k")
	if &first.Tags[0] != &second.Tags[0] {
		t.Error("decoded twice")
	}
	first.ID = 9
	if third := load[document](t, cache, "k"); third.ID != 1 {
		t.Error("a copy was changed by the reader of another", third)
	}
	// What is stored is never the object that was given.
	given := document{2, []string{"mine"}, nil}
	store(t, cache, "given", given, time.Minute)
	given.Tags[0] = "changed"
	if got := load[document](t, cache, "given"); got.Tags[0] != "mine" {
		t.Error("the object that was set is served", got)
	}
}

func TestEachTypeGetsItsOwnDecoding(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	type other struct{ ID float64 }
	store(t, cache, "k", document{ID: 1}, time.Minute)
	for range 3 {
		if got := load[document](t, cache, "k"); got.ID != 1 {
			t.Fatal(got)
		}
		if got := load[other](t, cache, "k"); got.ID != 1 {
			t.Fatal(got)
		}
		if got := load[any](t, cache, "k"); got.(map[string]any)["id"] != 1.0 {
			t.Fatal(got)
		}
		var text string
		if err := cache.Get(ctx, "k", &text); !errors.Is(err, scrubjay.ErrMiss) {
			t.Fatal(text, err)
		}
		// That it did not decode took it from memory, as it does without copies.
		store(t, cache, "k", document{ID: 1}, time.Minute)
	}
	store(t, cache, "bytes", []byte("raw"), time.Minute)
	for range 3 {
		if got := load[[]byte](t, cache, "bytes"); !bytes.Equal(got, []byte("raw")) {
			t.Fatal(got)
		}
		if got := load[any](t, cache, "bytes"); !reflect.DeepEqual(got, []byte("raw")) {
			t.Fatal(got)
		}
	}
}

// What is heavy for its text is not kept: the bound would not hold.
func TestHeavyValuesAreNotKept(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	type light struct{ Numbers []int64 }
	store(t, cache, "k", map[string]any{"numbers": make([]int, 1000)}, time.Minute)
	shared := func(read func() any) bool {
		return reflect.ValueOf(read()).Pointer() == reflect.ValueOf(read()).Pointer()
	}
	heavy := func() any { return load[map[string]any](t, cache, "k")["numbers"] }
	if shared(heavy) {
		t.Error("16 bytes for each digit and its comma were kept")
	}
	store(t, cache, "k", map[string]any{"numbers": strings.Split(strings.Repeat("a-rather-long-word ", 1000), " ")}, time.Minute)
	type words struct{ Numbers []string }
	if !shared(func() any { return load[words](t, cache, "k").Numbers }) {
		t.Error("texts in a struct were not kept")
	}
	store(t, cache, "k", light{[]int64{1 << 60, 1 << 61, 1 << 62}}, time.Minute)
	if !shared(func() any { return load[light](t, cache, "k").Numbers }) {
		t.Error("numbers in a struct were not kept")
	}
}

func TestACopyIsNoLongerServed(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		miss := func(key string) {
			t.Helper()
			if err := cache.Get(ctx, key, new(int)); !errors.Is(err, scrubjay.ErrMiss) {
				t.Errorf("%s: %v", key, err)
			}
		}
		warm := func(key string, value int, ttl time.Duration) {
			t.Helper()
			store(t, cache, key, value, ttl)
			for range 3 {
				if got := load[int](t, cache, key); got != value {
					t.Fatal(key, got)
				}
			}
		}
		warm("replaced", 1, time.Minute)
		warm("replaced", 2, time.Minute)
		warm("deleted", 1, time.Minute)
		if _, err := cache.Delete(ctx, "deleted"); err != nil {
			t.Fatal(err)
		}
		miss("deleted")
		warm("many", 1, time.Minute)
		if _, err := cache.DeleteMany(ctx, []string{"many", "other"}); err != nil {
			t.Fatal(err)
		}
		miss("many")
		if _, err := scrubjay.SetMany(ctx, cache, map[string]int{"replaced": 3}, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := load[int](t, cache, "replaced"); got != 3 {
			t.Error(got)
		}
		warm("expires", 1, 300*time.Millisecond)
		eventually(t, "it expires", func() bool { return errors.Is(cache.Get(ctx, "expires", new(int)), scrubjay.ErrMiss) })
		warm("cleared", 1, time.Minute)
		if _, err := cache.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		miss("cleared")
		warm("closed", 1, time.Minute)
		if err := cache.Close(); err != nil {
			t.Fatal(err)
		}
		if err := cache.Get(ctx, "closed", new(int)); !errors.Is(err, scrubjay.ErrClosed) {
			t.Error(err)
		}
		if _, err := scrubjay.GetMany[int](ctx, cache, []string{"closed"}); !errors.Is(err, scrubjay.ErrClosed) {
			t.Error(err)
		}
	})
}

// What another process changes ends the copies here, too: as fast as max_staleness promises.
func TestCopiesEndWhenAnotherCacheWrites(t *testing.T) {
	server := startRedis(t)
	mine := open(t, scrubjay.Options{URL: server.addr(), Prefix: "copies"})
	theirs := open(t, scrubjay.Options{URL: server.addr(), Prefix: "copies"})
	store(t, mine, "k", 1, time.Minute)
	if load[int](t, mine, "k") != 1 || load[int](t, mine, "k") != 1 {
		t.Fatal("not there")
	}
	store(t, theirs, "k", 2, time.Minute)
	eventually(t, "the new value is seen", func() bool { return load[int](t, mine, "k") == 2 })
}

// With max_staleness 0 each hit asks the shared tier.
func TestNoCopiesWithoutStaleness(t *testing.T) {
	server := startRedis(t)
	options := scrubjay.Options{URL: server.addr(), Prefix: "fresh", MaxStaleness: scrubjay.Ptr(time.Duration(0))}
	mine, theirs := open(t, options), open(t, options)
	for i := range 50 {
		store(t, theirs, "k", i, time.Minute)
		if got := load[int](t, mine, "k"); got != i {
			t.Fatal(got, i)
		}
	}
}

func TestAnEndedContextGetsNoCopy(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	store(t, cache, "k", 1, time.Minute)
	load[int](t, cache, "k")
	load[int](t, cache, "k")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	got := 7
	_, fetched := scrubjay.GetOrFetch(ended, cache, "k", time.Minute, func(context.Context) (int, error) { return 2, nil })
	_, many := scrubjay.GetMany[int](ended, cache, []string{"k"})
	_, fetchedMany := scrubjay.GetOrFetchMany(ended, cache, []string{"k"}, time.Minute, func(context.Context, []string) (map[string]int, error) { return nil, nil })
	for _, err := range []error{cache.Get(ended, "k", &got), fetched, many, fetchedMany} {
		if !errors.Is(err, context.Canceled) || got != 7 {
			t.Error(err, got)
		}
	}
	if err := cache.Get(ctx, "k", (*int)(nil)); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	if err := cache.Get(ctx, "k", nil); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
}

func TestHitsOfAServiceAllocateNothing(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	store(t, cache, "k", document{1, []string{"a", "b"}, map[string]string{"c": "d"}}, time.Minute)
	with, cancel := context.WithCancel(ctx)
	defer cancel()
	var got document
	if n := testing.AllocsPerRun(1000, func() {
		if err := cache.Get(with, "k", &got); err != nil || got.ID != 1 {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Error(n, "allocations")
	}
	fetch := func(context.Context) (document, error) { return document{}, errors.New("ran") }
	if n := testing.AllocsPerRun(1000, func() {
		if got, err := scrubjay.GetOrFetch(with, cache, "k", time.Minute, fetch); err != nil || got.ID != 1 {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Error(n, "allocations of GetOrFetch")
	}
}

// A loop of hits sees a delete by another goroutine.
func TestServiceLoopsSeeDeletes(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	for name, read := range map[string]func() bool{
		"Get":        func() bool { var value int; return cache.Get(ctx, "k", &value) == nil },
		"GetOrFetch": func() bool { _, err := scrubjay.GetOrFetch(ctx, cache, "k", time.Minute, notFound); return err == nil },
	} {
		t.Run(name, func(t *testing.T) {
			store(t, cache, "k", 1, time.Minute)
			looping, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for count := 0; read(); count++ {
					if count == 1000 {
						close(looping)
					}
				}
			}()
			<-looping
			if _, err := cache.Delete(ctx, "k"); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
			case <-time.After(patience):
				t.Error("the loop did not see it")
			}
		})
	}
}

func notFound(context.Context) (int, error) { return 0, scrubjay.ErrNotFound }

// collectable is decoded with something whose end can be seen.
type collectable struct{ *decodes }

var collected atomic.Int64

func (c *collectable) UnmarshalJSON([]byte) error {
	c.decodes = &decodes{}
	runtime.AddCleanup(c.decodes, func(int) { collected.Add(1) }, 0)
	return nil
}

func TestMemoryOfCopiesComesBack(t *testing.T) {
	const count = 500
	cache := open(t, scrubjay.Options{StaleFor: scrubjay.Ptr(time.Duration(0)), RefreshAhead: scrubjay.Ptr(false)})
	for name, end := range map[string]func(){
		"expired": nil,
		"deleted": func() { _, _ = cache.DeleteMany(ctx, numbered(count)) },
		"cleared": func() { _, _ = cache.Clear(ctx) },
		"replaced": func() {
			for _, key := range numbered(count) {
				store(t, cache, key, "new", time.Minute)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ttl := time.Minute
			if end == nil {
				ttl = 700 * time.Millisecond
			}
			collected.Store(0)
			for _, key := range numbered(count) {
				store(t, cache, key, "value", ttl)
				load[collectable](t, cache, key)
			}
			if end != nil {
				runtime.GC()
				if n := collected.Load(); n != 0 {
					t.Fatalf("%d were not kept", n)
				}
				end()
			}
			eventually(t, "every copy is collected", func() bool { runtime.GC(); return collected.Load() == count })
		})
	}
}

func numbered(count int) []string {
	keys := make([]string, count)
	for i := range keys {
		keys[i] = "key:" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
	}
	return keys
}

// Readers never see what was deleted before they began, and never a value of another key.
func TestCopiesUnderContention(t *testing.T) {
	cache := open(t, scrubjay.Options{L1Bytes: scrubjay.Ptr(int64(1 << 20))})
	var latest [16]atomic.Int64
	var group sync.WaitGroup
	rounds := operations() / 10
	for g := range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range rounds {
				n := (i*7 + g) % len(latest)
				key := numbered(len(latest))[n]
				if g == 0 {
					// One writer for each key: what is set is newer than all before.
					store(t, cache, key, [2]int64{int64(n), int64(i)}, time.Minute)
					latest[n].Store(int64(i))
					continue
				}
				before := latest[n].Load()
				var got [2]int64
				err := cache.Get(ctx, key, &got)
				if err == nil && (got[0] != int64(n) || got[1] < before) {
					t.Errorf("%v of key %d after %d", got, n, before)
					return
				}
				if err != nil && !errors.Is(err, scrubjay.ErrMiss) {
					t.Error(err)
					return
				}
			}
		}()
	}
	group.Wait()
}
