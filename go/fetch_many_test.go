package scrubjay_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"scrubjay"
)

func TestGetOrFetchMany(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if _, err := cache.Set(ctx, "b", 2, time.Minute); err != nil {
			t.Fatal(err)
		}
		var missing []string
		got, err := scrubjay.GetOrFetchMany(ctx, cache, []string{"c", "b", "a", "c", "none"}, time.Minute, func(_ context.Context, keys []string) (map[string]int, error) {
			missing = keys
			return map[string]int{"a": 1, "c": 3, "unasked": 4}, nil
		})
		if want := map[string]int{"a": 1, "b": 2, "c": 3}; err != nil || !reflect.DeepEqual(got, want) {
			t.Fatal(got, err)
		}
		if !reflect.DeepEqual(missing, []string{"c", "a", "none"}) {
			t.Fatal(missing)
		}
		stored, err := scrubjay.GetMany[int](ctx, cache, []string{"a", "c", "none", "unasked"})
		if err != nil || !reflect.DeepEqual(stored, map[string]int{"a": 1, "c": 3}) {
			t.Fatal(stored, err)
		}
	})
}

func TestGetOrFetchManyFailsPartly(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if _, err := cache.Set(ctx, "b", 2, time.Minute); err != nil {
			t.Fatal(err)
		}
		own := errors.New("away")
		got, err := scrubjay.GetOrFetchMany(ctx, cache, []string{"a", "b"}, time.Minute, func(context.Context, []string) (map[string]int, error) { return nil, own })
		var partial *scrubjay.PartialError
		if !errors.As(err, &partial) || !errors.Is(err, scrubjay.ErrPartial) || !errors.Is(err, own) {
			t.Fatal(err)
		}
		if partial.Failed["a"] != own || len(partial.Failed) != 1 || got["b"] != 2 || !reflect.DeepEqual(partial.Values, got) {
			t.Fatal(partial.Failed, got)
		}
	})
}

func TestGetOrFetchManyWaitsForOthers(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		leading, release := make(chan struct{}), make(chan struct{})
		handedOver := make(chan struct{})
		go func() {
			_, _ = scrubjay.GetOrFetchFunc(ctx, cache, "theirs", time.Minute, func() (int, error) { close(leading); <-release; return 1, nil })
		}()
		go func() {
			defer close(handedOver)
			defer func() { _ = recover() }()
			_, _ = scrubjay.GetOrFetchFunc(ctx, cache, "dropped", time.Minute, func() (int, error) { <-release; panic("boom") })
		}()
		<-leading
		eventually(t, "both lead", func() bool { return cache.Stats().Loads == 2 })
		var asked [][]string
		got, err := scrubjay.GetOrFetchMany(ctx, cache, []string{"theirs", "mine", "dropped"}, time.Minute, func(_ context.Context, keys []string) (map[string]int, error) {
			asked = append(asked, keys)
			if len(asked) == 1 {
				close(release)
			}
			return map[string]int{keys[0]: 10}, nil
		})
		<-handedOver
		if want := map[string]int{"theirs": 1, "mine": 10, "dropped": 10}; err != nil || !reflect.DeepEqual(got, want) {
			t.Fatal(got, err)
		}
		if !reflect.DeepEqual(asked, [][]string{{"mine"}, {"dropped"}}) {
			t.Fatal(asked)
		}
	})
}

func TestGetOrFetchManyCanBeGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		leading, release := make(chan struct{}), make(chan struct{})
		leader := make(chan error)
		go func() {
			_, err := scrubjay.GetOrFetchFunc(ctx, cache, "theirs", time.Minute, func() (int, error) { close(leading); <-release; return 1, nil })
			leader <- err
		}()
		<-leading
		mine, cancel := context.WithCancel(ctx)
		defer cancel()
		_, err := scrubjay.GetOrFetchMany(mine, cache, []string{"theirs", "mine"}, time.Minute, func(context.Context, []string) (map[string]int, error) {
			cancel()
			return map[string]int{"mine": 1}, nil
		})
		if err != context.Canceled {
			t.Fatal(err)
		}
		close(release)
		if err := <-leader; err != nil {
			t.Fatal(err)
		}
		if got, err := scrubjay.GetMany[int](ctx, cache, []string{"theirs", "mine"}); err != nil || len(got) != 2 {
			t.Fatal(got, err)
		}
	})
}

func TestGetOrFetchManyPastAnotherType(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if _, err := scrubjay.SetMany(ctx, cache, map[string]string{"a": "text", "b": "text"}, time.Minute); err != nil {
			t.Fatal(err)
		}
		got, err := scrubjay.GetOrFetchMany(ctx, cache, []string{"a", "b"}, time.Minute, func(_ context.Context, keys []string) (map[string]int, error) {
			return map[string]int{"a": 1}, nil
		})
		if err != nil || !reflect.DeepEqual(got, map[string]int{"a": 1}) {
			t.Fatal(got, err)
		}
	})
}
