package scrubjay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

// assertOverloaded checks that every operation is refused and changes nothing: "kept" is 1.
func assertOverloaded(t *testing.T, cache *scrubjay.CacheService) {
	t.Helper()
	calls := map[string]func() error{
		"Get":     func() error { return cache.Get(ctx, "absent", new(int)) },
		"GetMany": func() error { _, err := scrubjay.GetMany[int](ctx, cache, []string{"kept", "absent"}); return err },
		"Set":     func() error { _, err := cache.Set(ctx, "kept", 2, time.Minute); return err },
		"SetMany": func() error {
			_, err := scrubjay.SetMany(ctx, cache, map[string]int{"kept": 2}, time.Minute)
			return err
		},
		"Delete":     func() error { _, err := cache.Delete(ctx, "kept"); return err },
		"DeleteMany": func() error { _, err := cache.DeleteMany(ctx, []string{"kept"}); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, scrubjay.ErrOverloaded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var kept int
	if err := cache.Get(ctx, "kept", &kept); err != nil || kept != 1 {
		t.Error("something has changed:", kept, err)
	}
}

func openPaused(t *testing.T) (*scrubjay.CacheService, *redis) {
	t.Helper()
	server := startRedis(t)
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "overload", L1Bytes: scrubjay.Ptr(int64(1 << 30)), MaxStaleness: scrubjay.Ptr(time.Minute), L2Timeout: time.Minute})
	if _, err := cache.Set(ctx, "kept", 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	server.pause(t)
	return cache, server
}

// Callers that leave make no room: what they asked for is still on its way.
func TestMoreOperationsThanMayBeInFlight(t *testing.T) {
	cache, server := openPaused(t)
	first := make(chan error, 1)
	go func() {
		_, err := cache.Set(ctx, "first", 1, time.Minute)
		first <- err
	}()
	eventually(t, "it is on its way", func() bool { return cache.Stats().Entries == 2 })
	var full atomic.Bool
	var left sync.WaitGroup
	for caller := range 100 {
		left.Add(1)
		go func() {
			defer left.Done()
			for i := 0; !full.Load(); i++ {
				impatient, cancel := context.WithTimeout(ctx, time.Millisecond)
				err := cache.Get(impatient, fmt.Sprint(caller, "-", i), new(int))
				cancel()
				if errors.Is(err, scrubjay.ErrOverloaded) {
					full.Store(true)
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}
		}()
	}
	left.Wait()
	assertOverloaded(t, cache)
	// A fetch goes on as if Redis could not be reached.
	value, err := scrubjay.GetOrFetchFunc(ctx, cache, "other", time.Minute, func() (int, error) { return 2, nil })
	if value != 2 || err != nil {
		t.Error(value, err)
	}
	server.unpause(t)
	if err := <-first; err != nil {
		t.Error(err)
	}
	eventually(t, "there is room again", func() bool {
		receipt, err := cache.Set(ctx, "kept", 2, time.Minute)
		return err == nil && !receipt.Pending
	})
}

func TestMoreBytesThanMayBeInFlight(t *testing.T) {
	cache, server := openPaused(t)
	value := make([]byte, 8<<20)
	landed := make(chan error, 8)
	for n := range cap(landed) {
		go func() {
			receipt, err := cache.Set(ctx, fmt.Sprint("k", n), value, time.Minute)
			if err == nil && receipt.Pending {
				err = errors.New("it is pending")
			}
			landed <- err
		}()
	}
	// Memory has each of them before it is on its way.
	eventually(t, "all are on their way", func() bool { return cache.Stats().Entries == 1+uint64(cap(landed)) })
	assertOverloaded(t, cache)
	server.unpause(t)
	for range cap(landed) {
		if err := <-landed; err != nil {
			t.Error(err)
		}
	}
}

func TestMoreThanOneReplyMayHave(t *testing.T) {
	server := startRedis(t)
	cache := open(t, scrubjay.Options{URL: server.addr(), L1Bytes: scrubjay.Ptr(int64(0)), L2Timeout: time.Minute})
	var keys []string
	for n := range 9 {
		keys = append(keys, fmt.Sprint("k", n))
		if _, err := cache.Set(ctx, keys[n], make([]byte, 8<<20), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := scrubjay.GetMany[[]byte](ctx, cache, keys); !errors.Is(err, scrubjay.ErrOverloaded) || !strings.Contains(err.Error(), "64 MiB") {
		t.Error(err)
	}
	if found, err := scrubjay.GetMany[[]byte](ctx, cache, keys[2:]); err != nil || len(found) != 7 {
		t.Error(len(found), err)
	}
}
