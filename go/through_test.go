package scrubjay_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"scrubjay"
)

// table is a source of names by numbers.
type table struct {
	mutex sync.Mutex
	rows  map[int]string
	loads int
	// beforeStore is run by the next store.
	beforeStore func(context.Context) error
}

func newTable() *table { return &table{rows: map[int]string{}} }

func (s *table) row(id int) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.rows[id]
}

func (s *table) load(_ context.Context, id int) (string, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.loads++
	if name, ok := s.rows[id]; ok {
		return name, nil
	}
	return "", fmt.Errorf("user %d: %w", id, scrubjay.ErrNotFound)
}

func (s *table) loadMany(_ context.Context, ids []int) (map[int]string, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.loads++
	names := map[int]string{}
	for _, id := range ids {
		if name, ok := s.rows[id]; ok {
			names[id] = name
		}
	}
	return names, nil
}

func (s *table) store(ctx context.Context, id int, name string) error {
	s.mutex.Lock()
	before := s.beforeStore
	s.beforeStore = nil
	s.mutex.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return err
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.rows[id] = name
	return nil
}

func (s *table) remove(_ context.Context, id int) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.rows, id)
	return nil
}

func (s *table) through(cache *scrubjay.CacheService, writing ...scrubjay.UpdateOption) *scrubjay.WriteThrough[int, string] {
	return scrubjay.NewWriteThrough(cache, scrubjay.Source[int, string]{Load: s.load, LoadMany: s.loadMany, Store: s.store, Remove: s.remove},
		scrubjay.WriteThroughOptions[int]{Key: userKey, TTL: time.Minute, Tags: []string{"users"}, Writing: writing})
}

// stop has the next store wait: it tells when it has begun, and goes on at the word.
func (s *table) stop() (begun, word chan struct{}) {
	begun, word = make(chan struct{}), make(chan struct{})
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.beforeStore = func(context.Context) error {
		close(begun)
		<-word
		return nil
	}
	return begun, word
}

func userKey(id int) string { return "user:" + strconv.Itoa(id) }

func isThere(t testing.TB, cache *scrubjay.CacheService, key, want string) {
	t.Helper()
	var value string
	if err := cache.Get(ctx, key, &value); err != nil || value != want {
		t.Fatalf("%q, %v; want %q", value, err, want)
	}
}

func sets(t testing.TB, users *scrubjay.WriteThrough[int, string], id int, name string) {
	t.Helper()
	if receipt, err := users.Set(ctx, id, name); err != nil || receipt.Pending {
		t.Fatal(receipt, err)
	}
}

func TestAValueGoesToTheSourceAndThenIntoTheCache(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		source := newTable()
		users := source.through(cache)
		for range 2 {
			if name, err := users.Get(ctx, 7); err != scrubjay.ErrMiss {
				t.Fatal(name, err)
			}
		}
		if source.loads != 1 {
			t.Fatal("that there is none is remembered", source.loads)
		}
		sets(t, users, 7, "Ada")
		isThere(t, cache, "user:7", "Ada")
		if name, err := users.Get(ctx, 7); name != "Ada" || err != nil || source.row(7) != "Ada" || source.loads != 1 {
			t.Fatal(name, err, source)
		}
		if err := source.store(ctx, 8, "Grace"); err != nil {
			t.Fatal(err)
		}
		many, err := users.GetMany(ctx, []int{7, 8, 9})
		if err != nil || len(many) != 2 || many[7] != "Ada" || many[8] != "Grace" || source.loads != 2 {
			t.Fatal(many, err, source.loads)
		}
		if _, err := cache.InvalidateTags(ctx, "users"); err != nil {
			t.Fatal(err)
		}
		isMiss(t, cache, "user:7")
		sets(t, users, 7, "Ada")
		if _, err := users.Delete(ctx, 7); err != nil || source.row(7) != "" {
			t.Fatal(err, source)
		}
		isMiss(t, cache, "user:7")
		if _, err := users.Get(ctx, 7); err != scrubjay.ErrMiss {
			t.Fatal(err)
		}
	})
}

func TestAStoreThatFailsLeavesTheKeyInvalidated(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		source := newTable()
		users := source.through(cache)
		sets(t, users, 7, "Ada")
		full := errors.New("the disk is full")
		source.beforeStore = func(context.Context) error { return full }
		if _, err := users.Set(ctx, 7, "Grace"); err != full {
			t.Fatal(err)
		}
		isMiss(t, cache, "user:7")
		if name, err := users.Get(ctx, 7); name != "Ada" || err != nil {
			t.Fatal(name, err)
		}
		isThere(t, cache, "user:7", "Ada")
		source.beforeStore = func(context.Context) error { panic(full) }
		func() {
			defer func() {
				if recover() != full {
					t.Fatal("the panic is the caller's")
				}
			}()
			_, _ = users.Set(ctx, 7, "Grace")
		}()
		eventually(t, "no writer is at work", func() bool { return explain(t, cache, "user:7").Hold == nil })
		isMiss(t, cache, "user:7")
		sets(t, users, 7, "Grace")
		isThere(t, cache, "user:7", "Grace")
	})
}

func TestWritersOfAKeyFollowOneAnother(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		source := newTable()
		users := source.through(cache)
		source.rows[7] = "old"
		begun, word := source.stop()
		var all sync.WaitGroup
		set := func(ctx context.Context, name string, check func(error) bool) {
			all.Add(1)
			go func() {
				defer all.Done()
				if _, err := users.Set(ctx, 7, name); !check(err) {
					t.Error(name, err)
				}
			}()
		}
		fine := func(err error) bool { return err == nil }
		set(ctx, "first", fine)
		<-begun
		cancelled, cancel := context.WithCancel(ctx)
		set(cancelled, "gone", func(err error) bool { return errors.Is(err, context.Canceled) })
		set(ctx, "second", fine)
		for range 2 {
			if name, err := users.Get(ctx, 7); name != "old" || err != nil {
				t.Fatal(name, err)
			}
		}
		if source.loads != 2 {
			t.Fatal("what is loaded is not kept", source.loads)
		}
		sets(t, users, 8, "another key waits for nobody")
		cancel()
		close(word)
		all.Wait()
		if source.row(7) != "second" {
			t.Fatal(source)
		}
		isThere(t, cache, "user:7", "second")
	})
}

func TestManyWritersAndReadersLeaveWhatTheSourceHas(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		source := newTable()
		users := source.through(cache)
		var all sync.WaitGroup
		for worker := range 8 {
			all.Add(1)
			go func() {
				defer all.Done()
				for n := range 20 {
					if worker < 4 {
						if _, err := users.Set(ctx, 7, fmt.Sprint(worker, n)); err != nil {
							t.Error(err)
						}
					} else if _, err := users.Get(ctx, 7); err != nil && err != scrubjay.ErrMiss {
						t.Error(err)
					}
				}
			}()
		}
		all.Wait()
		isThere(t, cache, "user:7", source.row(7))
		if name, err := users.Get(ctx, 7); name != source.row(7) || err != nil {
			t.Fatal(name, err)
		}
	})
}

func TestWritersInTwoProcessesLeaveTheSourceRight(t *testing.T) {
	server := startRedis(t)
	options := scrubjay.Options{URL: server.addr(), Prefix: "through", L2Timeout: 2 * time.Second}
	one, two, source := open(t, options), open(t, options), newTable()
	ones, twos := source.through(one), source.through(two)
	source.beforeStore = func(ctx context.Context) error {
		_, err := twos.Set(ctx, 7, "second")
		return err
	}
	sets(t, ones, 7, "first")
	isMiss(t, one, "user:7")
	isMiss(t, two, "user:7")
	for _, users := range []*scrubjay.WriteThrough[int, string]{ones, twos} {
		if name, err := users.Get(ctx, 7); name != "first" || err != nil {
			t.Fatal(name, err)
		}
	}
	sets(t, twos, 7, "third")
	eventually(t, "it is told", func() bool {
		var name string
		return one.Get(ctx, "user:7", &name) == nil && name == "third"
	})
}

func TestWhatIsWrongIsToldBeforeTheSourceIsAsked(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		source := newTable()
		full := scrubjay.Source[int, string]{Load: source.load, Store: source.store}
		for i, users := range []*scrubjay.WriteThrough[int, string]{
			scrubjay.NewWriteThrough(cache, full, scrubjay.WriteThroughOptions[int]{}),
			scrubjay.NewWriteThrough(cache, scrubjay.Source[int, string]{}, scrubjay.WriteThroughOptions[int]{Key: userKey}),
			scrubjay.NewWriteThrough(cache, full, scrubjay.WriteThroughOptions[int]{Key: userKey, TTL: time.Nanosecond}),
			scrubjay.NewWriteThrough(cache, full, scrubjay.WriteThroughOptions[int]{Key: userKey, Tags: []string{""}}),
			source.through(cache, scrubjay.WithIntentTTL(0)),
			source.through(cache, scrubjay.WithUpdatedTags("users")),
		} {
			if _, err := users.Set(ctx, 7, "Ada"); !errors.Is(err, scrubjay.ErrInvalidOption) {
				t.Fatal(i, err)
			}
		}
		nobody := scrubjay.NewWriteThrough(cache, full, scrubjay.WriteThroughOptions[int]{Key: func(int) string { return "" }})
		if _, err := nobody.Set(ctx, 7, "Ada"); !errors.Is(err, scrubjay.ErrInvalidKey) {
			t.Fatal(err)
		}
		if _, err := source.through(cache).Set(ctx, 7, "\xff"); !errors.Is(err, scrubjay.ErrInvalidValue) {
			t.Fatal(err)
		}
		if len(source.rows) != 0 {
			t.Fatal(source)
		}
		begun, word := source.stop()
		users := source.through(cache)
		running, waiting := make(chan error), make(chan error)
		for i, channel := range []chan error{running, waiting} {
			go func() {
				_, err := users.Set(ctx, 7, strconv.Itoa(i))
				channel <- err
			}()
			<-begun
		}
		_ = cache.Close()
		if err := <-waiting; !errors.Is(err, scrubjay.ErrClosed) {
			t.Fatal(err)
		}
		close(word)
		if err := <-running; !errors.Is(err, scrubjay.ErrClosed) || source.row(7) != "0" {
			t.Fatal(err, source.row(7))
		}
	})
}

func TestWhatASourceLacksAndAWriteInsideOfItself(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		type name string
		var names *scrubjay.WriteThrough[name, string]
		names = scrubjay.NewWriteThrough(cache, scrubjay.Source[name, string]{Store: func(ctx context.Context, key name, value string) error {
			if value != "again" {
				return nil
			}
			_, err := names.Set(ctx, key, "never")
			return err
		}}, scrubjay.WriteThroughOptions[name]{})
		if _, err := names.Set(ctx, "k", "v"); err != nil {
			t.Fatal(err)
		}
		isThere(t, cache, "k", "v")
		if _, err := names.Set(ctx, "k", "again"); !errors.Is(err, scrubjay.ErrRecursiveFetch) {
			t.Fatal(err)
		}
		_, getting := names.Get(ctx, "k")
		_, many := names.GetMany(ctx, []name{"k"})
		_, deleting := names.Delete(ctx, "k")
		for _, err := range []error{getting, many, deleting} {
			if !errors.Is(err, scrubjay.ErrUnsupported) {
				t.Fatal(err)
			}
		}
		bad := errors.New("bad")
		lame := scrubjay.NewWriteThrough(cache, scrubjay.Source[name, string]{Load: func(_ context.Context, key name) (string, error) {
			switch key {
			case "bad":
				return "", bad
			case "none":
				return "", scrubjay.ErrNotFound
			}
			return "the " + string(key), nil
		}}, scrubjay.WriteThroughOptions[name]{})
		if found, err := lame.GetMany(ctx, []name{"a", "none", "b"}); err != nil || len(found) != 2 || found["b"] != "the b" {
			t.Fatal(found, err)
		}
		found, err := lame.GetMany(ctx, []name{"a", "bad"})
		if !errors.Is(err, bad) || !errors.Is(err, scrubjay.ErrPartial) || found["a"] != "the a" {
			t.Fatal(found, err)
		}
	})
}
