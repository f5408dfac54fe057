package scrubjay_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

const crowd = 1000

// together runs call in count goroutines and returns what each got, in no order.
func together(count int, call func() (string, error)) (values []string, errs []error) {
	var mutex sync.Mutex
	var group sync.WaitGroup
	for range count {
		group.Add(1)
		go func() {
			defer group.Done()
			value, err := call()
			mutex.Lock()
			defer mutex.Unlock()
			values, errs = append(values, value), append(errs, err)
		}()
	}
	group.Wait()
	return values, errs
}

// waits blocks until count callers wait for the fetch of another.
func waits(t *testing.T, cache *scrubjay.CacheService, count uint64) {
	eventually(t, fmt.Sprint(count, " callers wait"), func() bool { return cache.Stats().Waits >= count })
}

func TestThousandCallersOneFetch(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		var runs atomic.Int64
		values, errs := together(crowd, func() (string, error) {
			return scrubjay.GetOrFetch(ctx, cache, "cold", time.Minute, func(context.Context) (string, error) {
				runs.Add(1)
				waits(t, cache, crowd-1)
				return "fetched", nil
			})
		})
		for i := range values {
			if values[i] != "fetched" || errs[i] != nil {
				t.Fatal(values[i], errs[i])
			}
		}
		if stats := cache.Stats(); runs.Load() != 1 || stats.Loads != 1 {
			t.Fatalf("%d fetches, counted %d", runs.Load(), stats.Loads)
		}
	})
}

func TestAllGetTheLeadersOwnError(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		own := errors.New("the database is away")
		var runs atomic.Int64
		_, errs := together(crowd, func() (string, error) {
			return scrubjay.GetOrFetch(ctx, cache, "cold", time.Minute, func(context.Context) (string, error) {
				runs.Add(1)
				waits(t, cache, crowd-1)
				return "", own
			})
		})
		for _, err := range errs {
			if err != own {
				t.Fatalf("%#v", err)
			}
		}
		if runs.Load() != 1 {
			t.Fatal(runs.Load(), "fetches")
		}
		eventually(t, "the error is forgotten", func() bool {
			// The waiter forgets what was released with the next answers it takes.
			_, _ = scrubjay.GetOrFetchFunc(ctx, cache, "another", time.Millisecond, func() (string, error) { return "", own })
			return scrubjay.KeptErrors() <= scrubjay.GraveSize
		})
	})
}

func TestErrorsNobodyWaitsForAreForgotten(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	for i := range 10 * scrubjay.GraveSize {
		_, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (int, error) { return 0, fmt.Errorf("error %d", i) })
		if err == nil {
			t.Fatal("no error")
		}
	}
	// And the last one, which was not released yet.
	if kept := scrubjay.KeptErrors(); kept > scrubjay.GraveSize+1 {
		t.Fatal(kept, "errors are kept")
	}
}

func TestACancelledLeaderHandsOver(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		mine, cancel := context.WithCancel(ctx)
		var runs atomic.Int64
		fetch := func(ctx context.Context) (string, error) {
			if runs.Add(1) == 1 {
				waits(t, cache, crowd-1)
				cancel()
				<-ctx.Done()
				return "", fmt.Errorf("query: %w", ctx.Err())
			}
			return "second", nil
		}
		leading := make(chan struct{})
		cancelled := make(chan error)
		go func() {
			_, err := scrubjay.GetOrFetch(mine, cache, "cold", time.Minute, func(ctx context.Context) (string, error) {
				close(leading)
				return fetch(ctx)
			})
			cancelled <- err
		}()
		<-leading
		values, errs := together(crowd-1, func() (string, error) { return scrubjay.GetOrFetch(ctx, cache, "cold", time.Minute, fetch) })
		for i := range values {
			if values[i] != "second" || errs[i] != nil {
				t.Fatal(values[i], errs[i])
			}
		}
		if err := <-cancelled; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if runs.Load() != 2 {
			t.Fatal(runs.Load(), "fetches")
		}
	})
}

func TestAPanicHandsOverAndGoesOn(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		leading := make(chan struct{})
		panicked := make(chan any)
		go func() {
			defer func() { panicked <- recover() }()
			_, _ = scrubjay.GetOrFetch(ctx, cache, "cold", time.Minute, func(context.Context) (string, error) {
				close(leading)
				waits(t, cache, 10)
				panic("boom")
			})
		}()
		<-leading
		values, errs := together(10, func() (string, error) {
			return scrubjay.GetOrFetch(ctx, cache, "cold", time.Minute, func(context.Context) (string, error) { return "second", nil })
		})
		for i := range values {
			if values[i] != "second" || errs[i] != nil {
				t.Fatal(values[i], errs[i])
			}
		}
		if boom := <-panicked; boom != "boom" {
			t.Fatal(boom)
		}
	})
}

func TestACallerThatGivesUpHarmsNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		release := make(chan struct{})
		leader := make(chan error)
		leading := make(chan struct{})
		go func() {
			value, err := scrubjay.GetOrFetch(ctx, cache, "cold", time.Minute, func(context.Context) (string, error) {
				close(leading)
				<-release
				return "fetched", nil
			})
			if value != "fetched" {
				err = fmt.Errorf("%q, %v", value, err)
			}
			leader <- err
		}()
		<-leading
		impatient, giveUp := context.WithCancel(ctx)
		gaveUp := make(chan error)
		go func() {
			_, err := scrubjay.GetOrFetch(impatient, cache, "cold", time.Minute, func(context.Context) (string, error) { return "", errors.New("ran") })
			gaveUp <- err
		}()
		waits(t, cache, 1)
		giveUp()
		if err := <-gaveUp; err != context.Canceled {
			t.Fatal(err)
		}
		close(release)
		if err := <-leader; err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFetchThatAsksForItsOwnKey(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		var fetch func(ctx context.Context) (string, error)
		fetch = func(ctx context.Context) (string, error) {
			return scrubjay.GetOrFetch(ctx, cache, "self", time.Minute, fetch)
		}
		if _, err := fetch(ctx); !errors.Is(err, scrubjay.ErrRecursiveFetch) {
			t.Fatal(err)
		}
	})
}

func TestADeleteDuringTheFetchWins(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		value, err := scrubjay.GetOrFetch(ctx, cache, "k", time.Minute, func(ctx context.Context) (string, error) {
			_, err := cache.Delete(ctx, "k")
			return "old", err
		})
		if value != "old" || err != nil {
			t.Fatal(value, err)
		}
		if err := cache.Get(ctx, "k", &value); !errors.Is(err, scrubjay.ErrMiss) {
			t.Fatal("the value of before the delete was stored:", err)
		}
	})
}

func TestNotFoundIsRemembered(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		var runs atomic.Int64
		for range 3 {
			_, err := scrubjay.GetOrFetch(ctx, cache, "none", time.Minute, func(context.Context) (string, error) {
				runs.Add(1)
				return "", fmt.Errorf("user 7: %w", scrubjay.ErrNotFound)
			})
			if !errors.Is(err, scrubjay.ErrNotFound) {
				t.Fatal(err)
			}
		}
		if runs.Load() != 1 {
			t.Fatal(runs.Load(), "fetches")
		}
		if err := cache.Get(ctx, "none", new(string)); !errors.Is(err, scrubjay.ErrMiss) {
			t.Fatal(err)
		}
	})
}

func TestAValueThatCannotBeStoredIsTheLeadersError(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	_, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (map[int]string, error) { return map[int]string{1: "x"}, nil })
	if !errors.Is(err, scrubjay.ErrInvalidValue) {
		t.Fatal(err)
	}
}

func TestAFailedFetchGivesTheStaleValue(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		// Long enough that the clock of hits, which ticks every 10 ms, leaves most of the time in which it is stale.
		if _, err := cache.Set(ctx, "k", "old", 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the value is past its ttl", func() bool { return errors.Is(cache.Get(ctx, "k", new(string)), scrubjay.ErrMiss) })
		value, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (string, error) { return "", errors.New("away") })
		if value != "old" || err != nil {
			t.Fatal(value, err)
		}
	})
}

func TestASlowFetchTimesOutForItsWaiters(t *testing.T) {
	cache := open(t, scrubjay.Options{FetchHardTimeout: 50 * time.Millisecond})
	release, leading, leader := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		value, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (string, error) {
			close(leading)
			<-release
			return "late", nil
		})
		if value != "late" {
			err = fmt.Errorf("%q, %v", value, err)
		}
		leader <- err
	}()
	<-leading
	_, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (string, error) { return "", errors.New("ran") })
	if !errors.Is(err, scrubjay.ErrFetchTimeout) {
		t.Error(err)
	}
	var own *scrubjay.Error
	if !errors.As(err, &own) || !own.Retryable() {
		t.Error("a timeout is worth another try")
	}
	close(release)
	if err := <-leader; err != nil {
		t.Error("the leader has its value all the same:", err)
	}
	if err := cache.Get(ctx, "k", new(string)); !errors.Is(err, scrubjay.ErrMiss) {
		t.Error("a late value was stored")
	}
}

func TestCloseEndsThoseWhoWait(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	release, leading := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (int, error) { close(leading); <-release; return 1, nil })
		done <- err
	}()
	<-leading
	waiter := make(chan error)
	go func() {
		_, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (int, error) { return 2, nil })
		waiter <- err
	}()
	waits(t, cache, 1)
	if err := cache.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiter; !errors.Is(err, scrubjay.ErrClosed) {
		t.Error(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error("the leader has its value all the same:", err)
	}
}
