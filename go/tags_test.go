package scrubjay_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"scrubjay"
)

func hasKey(t *testing.T, cache *scrubjay.CacheService, key string) bool {
	t.Helper()
	var value any
	err := cache.Get(context.Background(), key, &value)
	if err != nil && !errors.Is(err, scrubjay.ErrMiss) {
		t.Fatal(err)
	}
	return err == nil
}

func invalidateTags(t *testing.T, cache *scrubjay.CacheService, tags ...string) {
	t.Helper()
	if receipt, err := cache.InvalidateTags(context.Background(), tags...); err != nil || receipt.Pending {
		t.Fatal(receipt, err)
	}
}

func TestEntriesEndWithTheirTags(t *testing.T) {
	ctx := context.Background()
	cache := scrubjay.NewCacheService("memory://", "")
	defer cache.Close()
	store := func() {
		t.Helper()
		_, err := cache.Set(ctx, "a", 1, time.Minute, scrubjay.WithTags("x", "y"))
		_, manyErr := scrubjay.SetMany(ctx, cache, map[string]int{"b": 2}, time.Minute, scrubjay.WithTags("y"))
		_, fetchErr := scrubjay.GetOrFetchFunc(ctx, cache, "c", time.Minute, func() (int, error) { return 3, nil }, scrubjay.WithTags("z"))
		fetch := func(context.Context, []string) (map[string]int, error) { return map[string]int{"d": 4}, nil }
		_, fetchManyErr := scrubjay.GetOrFetchMany(ctx, cache, []string{"d"}, time.Minute, fetch, scrubjay.WithTags("x", "z"))
		if err := errors.Join(err, manyErr, fetchErr, fetchManyErr); err != nil {
			t.Fatal(err)
		}
	}
	for tag, gone := range map[string]string{"x": "ad", "y": "ab", "z": "cd", "nobody's": ""} {
		store()
		for _, key := range strings.Split("abcd", "") {
			// Twice: the copy that this process holds ends too.
			if !hasKey(t, cache, key) || !hasKey(t, cache, key) {
				t.Errorf("%s is not there", key)
			}
		}
		invalidateTags(t, cache, tag)
		for _, key := range strings.Split("abcd", "") {
			if hasKey(t, cache, key) == strings.Contains(gone, key) {
				t.Errorf("%s after the end of %s", key, tag)
			}
		}
	}
	invalidateTags(t, cache)
}

func TestAValueMayBringItsTags(t *testing.T) {
	ctx := context.Background()
	cache := scrubjay.NewCacheService("memory://", "")
	defer cache.Close()
	one := func(ctx context.Context) (int, error) {
		scrubjay.StoreAs(ctx, scrubjay.WithTTL(time.Hour))
		scrubjay.StoreAs(ctx, scrubjay.WithTags("one"))
		return 1, nil
	}
	many := func(ctx context.Context, missing []string) (map[string]int, error) {
		values := map[string]int{}
		for _, key := range missing {
			scrubjay.StoreKeyAs(ctx, key, scrubjay.WithTags("key:"+key))
			values[key] = 2
		}
		return values, nil
	}
	load := func() {
		t.Helper()
		_, err := scrubjay.GetOrFetch(ctx, cache, "a", time.Minute, one, scrubjay.WithTags("all"))
		_, manyErr := scrubjay.GetOrFetchMany(ctx, cache, []string{"b", "c"}, time.Minute, many, scrubjay.WithTags("all"))
		if err := errors.Join(err, manyErr); err != nil {
			t.Fatal(err)
		}
	}
	for tag, gone := range map[string]string{"one": "a", "key:b": "b", "key:c": "c", "all": "abc"} {
		load()
		invalidateTags(t, cache, tag)
		for _, key := range strings.Split("abc", "") {
			if hasKey(t, cache, key) == strings.Contains(gone, key) {
				t.Errorf("%s after the end of %s", key, tag)
			}
		}
	}
	_, err := scrubjay.GetOrFetch(ctx, cache, "short", time.Minute, func(ctx context.Context) (int, error) {
		scrubjay.StoreAs(ctx, scrubjay.WithTTL(-1))
		return 1, nil
	})
	if !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	// Outside of a fetch there is nothing to be said.
	scrubjay.StoreAs(ctx, scrubjay.WithTags("one"))
}

func TestATagThatIsInvalidatedDuringAFetchKeepsItOut(t *testing.T) {
	ctx := context.Background()
	cache := scrubjay.NewCacheService("memory://", "")
	defer cache.Close()
	called := func(context.Context) (int, error) { invalidateTags(t, cache, "called"); return 1, nil }
	brought := func(ctx context.Context) (int, error) {
		invalidateTags(t, cache, "brought")
		scrubjay.StoreAs(ctx, scrubjay.WithTags("brought"))
		return 1, nil
	}
	_, err := scrubjay.GetOrFetch(ctx, cache, "a", time.Minute, called, scrubjay.WithTags("called"))
	_, otherErr := scrubjay.GetOrFetch(ctx, cache, "b", time.Minute, brought)
	if err := errors.Join(err, otherErr); err != nil {
		t.Fatal(err)
	}
	if hasKey(t, cache, "a") || hasKey(t, cache, "b") {
		t.Error("it was stored")
	}
}

func TestWhatIsNoTagIsRefused(t *testing.T) {
	ctx := context.Background()
	cache := scrubjay.NewCacheService("memory://", "")
	defer cache.Close()
	many := strings.Split(strings.Repeat("x", 17), "")
	for i := range many {
		many[i] += string(rune('a' + i))
	}
	for _, tags := range [][]string{{""}, {strings.Repeat("x", 129)}, {"\xff"}, many} {
		_, err := cache.Set(ctx, "k", 1, time.Minute, scrubjay.WithTags(tags...))
		_, fetchErr := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (int, error) { return 1, nil }, scrubjay.WithTags(tags...))
		for _, err := range []error{err, fetchErr} {
			if !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), "tags") {
				t.Errorf("%q: %v", tags, err)
			}
		}
	}
	if _, err := cache.InvalidateTags(ctx, ""); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	more, err := scrubjay.Open(scrubjay.Options{MaxTags: 17})
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if _, err := more.Set(ctx, "k", 1, time.Minute, scrubjay.WithTags(many...)); err != nil {
		t.Error(err)
	}
}

func TestFunctionsHaveTagsFromTheirArguments(t *testing.T) {
	ctx := context.Background()
	cache := scrubjay.NewCacheService("memory://", "")
	defer cache.Close()
	type user struct {
		ID   int
		Team string
	}
	opts := scrubjay.CachedOptions{Key: "user:{ID}", Tags: []string{"users", "team:{Team}"}}
	load := scrubjay.Cached(cache, opts, func(_ context.Context, u user) (int, error) { return u.ID, nil })
	for _, tag := range []string{"users", "team:b%3Ac"} {
		if _, err := load(ctx, user{7, "b:c"}); err != nil || !hasKey(t, cache, "user:7") {
			t.Fatal(err)
		}
		invalidateTags(t, cache, tag)
		if hasKey(t, cache, "user:7") {
			t.Errorf("it is there after the end of %s", tag)
		}
	}
	wrong := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: "k", Tags: []string{"{"}}, func(_ context.Context, n int) (int, error) { return n, nil })
	if _, err := wrong(ctx, 1); !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), "tags") {
		t.Error(err)
	}
}
