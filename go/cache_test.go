package scrubjay_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

type user struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// The calls of a hand-written Go service, with our names.
func TestGuideCalls(t *testing.T) {
	server := startRedis(t)
	cache := scrubjay.NewCacheService(server.addr(), "guide")
	defer cache.Close()

	if _, err := cache.Set(ctx, "user:1", user{1, "Ada"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	var got user
	if err := cache.Get(ctx, "user:1", &got); err != nil || got != (user{1, "Ada"}) {
		t.Fatal(got, err)
	}
	got, err := scrubjay.GetOrFetchFunc(ctx, cache, "user:2", time.Minute, func() (user, error) { return user{2, "Bo"}, nil })
	if err != nil || got.Name != "Bo" {
		t.Fatal(got, err)
	}
	if _, err := cache.Delete(ctx, "user:1"); err != nil {
		t.Fatal(err)
	}
	if err := cache.Get(ctx, "user:1", &got); !errors.Is(err, scrubjay.ErrMiss) {
		t.Fatal(err)
	}
	if got.Name != "Bo" {
		t.Fatal("a miss changed its destination")
	}
}

func TestNullsAndEmptyValuesAreHits(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		for key, value := range map[string]any{"nil": nil, "zero": 0.0, "false": false, "text": "", "list": []any{}, "map": map[string]any{}} {
			if _, err := cache.Set(ctx, key, value, time.Minute); err != nil {
				t.Fatal(key, err)
			}
			var got any = "something else"
			if err := cache.Get(ctx, key, &got); err != nil || !reflect.DeepEqual(got, value) {
				t.Errorf("%s: %#v, %v", key, got, err)
			}
			var runs atomic.Int64
			if _, err := scrubjay.GetOrFetch(ctx, cache, key, time.Minute, counted[any](&runs, "fetched")); err != nil || runs.Load() != 0 {
				t.Errorf("%s: the fetch ran, %v", key, err)
			}
		}
	})
}

func TestBytesAreRaw(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		for _, value := range [][]byte{{}, {0, 0xff, 0xfe}, []byte("null"), []byte(strings.Repeat("x", 1<<20))} {
			if _, err := cache.Set(ctx, "k", value, time.Minute); err != nil {
				t.Fatal(err)
			}
			var got []byte
			if err := cache.Get(ctx, "k", &got); err != nil || string(got) != string(value) {
				t.Fatalf("%d bytes became %d, %v", len(value), len(got), err)
			}
			var whatever any
			if err := cache.Get(ctx, "k", &whatever); err != nil || string(whatever.([]byte)) != string(value) {
				t.Fatal(err)
			}
			var text string
			if err := cache.Get(ctx, "k", &text); !errors.Is(err, scrubjay.ErrMiss) {
				t.Fatal("bytes were read as a string")
			}
		}
	})
}

func TestIntegersStayExact(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		type numbers struct {
			Big   uint64
			Small int
			Any   any
			List  []any
		}
		in := numbers{math.MaxUint64, 3, uint64(math.MaxUint64), []any{int64(1) << 53, 1<<53 - 1, 1.5}}
		for _, opts := range [][]scrubjay.SetOption{nil, {scrubjay.WithCodec(scrubjay.MsgPack)}} {
			if _, err := cache.Set(ctx, "n", in, time.Minute, opts...); err != nil {
				t.Fatal(err)
			}
			var out numbers
			if err := cache.Get(ctx, "n", &out); err != nil {
				t.Fatal(err)
			}
			want := numbers{math.MaxUint64, 3, json.Number("18446744073709551615"), []any{json.Number("9007199254740992"), float64(1<<53 - 1), 1.5}}
			if !reflect.DeepEqual(out, want) {
				t.Errorf("%#v", out)
			}
		}
	})
}

func TestWhatDoesNotFitIsACountedMiss(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if _, err := cache.Set(ctx, "k", "text", time.Minute); err != nil {
			t.Fatal(err)
		}
		got := 7
		if err := cache.Get(ctx, "k", &got); !errors.Is(err, scrubjay.ErrMiss) || got != 7 {
			t.Fatal(got, err)
		}
		if n := cache.Stats().DecodeMisses; n != 1 {
			t.Fatal("decode_misses", n)
		}
		var runs atomic.Int64
		if got, err := scrubjay.GetOrFetch(ctx, cache, "k", time.Minute, counted(&runs, 9)); got != 9 || err != nil || runs.Load() != 1 {
			t.Fatal(got, err, runs.Load())
		}
		if err := cache.Get(ctx, "k", &got); err != nil || got != 9 {
			t.Fatal(got, err)
		}
	})
}

func TestMany(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if _, err := scrubjay.SetMany(ctx, cache, map[string]any{"a": 1, "b": "two", "c": []byte("three")}, time.Minute); err != nil {
			t.Fatal(err)
		}
		got, err := scrubjay.GetMany[any](ctx, cache, []string{"a", "b", "a", "c", "none"})
		if want := map[string]any{"a": 1.0, "b": "two", "c": []byte("three")}; err != nil || !reflect.DeepEqual(got, want) {
			t.Fatal(got, err)
		}
		if _, err := cache.DeleteMany(ctx, []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		if got, err = scrubjay.GetMany[any](ctx, cache, []string{"a", "b", "c"}); err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		if _, err := cache.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		if got, err = scrubjay.GetMany[any](ctx, cache, []string{"c"}); err != nil || len(got) != 0 {
			t.Fatal(got, err)
		}
		if got, err = scrubjay.GetMany[any](ctx, cache, nil); err != nil || len(got) != 0 {
			t.Fatal(got, err)
		}
	})
}

func TestErrorsNameWhatIsWrong(t *testing.T) {
	cache := open(t, scrubjay.Options{MaxValue: 1 << 10})
	set := func(key string, value any, ttl time.Duration) error {
		_, err := cache.Set(ctx, key, value, ttl)
		return err
	}
	opened := func(options scrubjay.Options) error {
		_, err := scrubjay.Open(options)
		return err
	}
	never := func(context.Context) (int, error) { t.Error("the fetch ran"); return 0, nil }
	fetched := func(key string, ttl time.Duration) error {
		_, err := scrubjay.GetOrFetch(ctx, cache, key, ttl, never)
		return err
	}
	for name, test := range map[string]struct {
		err   error
		kind  scrubjay.Kind
		names string
	}{
		"ttl 0":           {set("k", 1, 0), scrubjay.ErrInvalidOption, "ttl"},
		"ttl negative":    {set("k", 1, -time.Second), scrubjay.ErrInvalidOption, "ttl"},
		"ttl too short":   {set("k", 1, time.Microsecond), scrubjay.ErrInvalidOption, "ttl"},
		"ttl too long":    {set("k", 1, 366*24*time.Hour), scrubjay.ErrInvalidOption, "365"},
		"ttl of a fetch":  {fetched("k", 0), scrubjay.ErrInvalidOption, "ttl"},
		"empty key":       {set("", 1, time.Minute), scrubjay.ErrInvalidKey, "key"},
		"long key":        {fetched(strings.Repeat("k", 1025), time.Minute), scrubjay.ErrInvalidKey, "1024"},
		"value too large": {set("k", strings.Repeat("x", 2000), time.Minute), scrubjay.ErrInvalidValue, "max_value"},
		"not a number":    {set("k", map[string]any{"a": []float64{1, math.NaN()}}, time.Minute), scrubjay.ErrInvalidValue, "$.a[1]"},
		"dest":            {cache.Get(ctx, "k", 3), scrubjay.ErrInvalidOption, "dest"},
		"scheme":          {opened(scrubjay.Options{URL: "ftp://x"}), scrubjay.ErrInvalidOption, "url"},
		"prefix":          {opened(scrubjay.Options{Prefix: "a b"}), scrubjay.ErrInvalidOption, "prefix"},
		"default ttl":     {opened(scrubjay.Options{TTL: -1}), scrubjay.ErrInvalidOption, "ttl"},
		"jitter":          {opened(scrubjay.Options{Jitter: scrubjay.Ptr(0.9)}), scrubjay.ErrInvalidOption, "jitter"},
		"jitter NaN":      {opened(scrubjay.Options{Jitter: scrubjay.Ptr(math.NaN())}), scrubjay.ErrInvalidOption, "jitter"},
		"codec":           {opened(scrubjay.Options{Codec: "xml"}), scrubjay.ErrInvalidOption, "codec"},
		"codec of a call": {func() error { _, err := cache.Set(ctx, "k", 1, time.Minute, scrubjay.WithCodec("xml")); return err }(), scrubjay.ErrInvalidOption, "codec"},
		"unknown option":  {func() error { _, err := scrubjay.OpenJSON([]byte(`{"tll": 1}`)); return err }(), scrubjay.ErrInvalidOption, "tll"},
		"options no JSON": {func() error { _, err := scrubjay.OpenJSON([]byte(`{`)); return err }(), scrubjay.ErrInvalidOption, "JSON"},
		"closure, no key": {func() error {
			_, err := scrubjay.Cached(cache, scrubjay.CachedOptions{}, func(context.Context, int) (int, error) { return 0, nil })(ctx, 1)
			return err
		}(), scrubjay.ErrInvalidOption, "key"},
		"wrong address":    {scrubjay.NewCacheService("ftp://x", "p").Get(ctx, "k", new(int)), scrubjay.ErrInvalidOption, "url"},
		"host with a path": {scrubjay.NewCacheService("redis://localhost/not-a-number", "p").Get(ctx, "k", new(int)), scrubjay.ErrInvalidOption, "url"},
	} {
		var own *scrubjay.Error
		switch {
		case !errors.Is(test.err, test.kind):
			t.Errorf("%s: %v is no %v", name, test.err, test.kind)
		case !errors.As(test.err, &own) || !strings.Contains(own.Message, test.names):
			t.Errorf("%s: %v does not name %q", name, test.err, test.names)
		case own.Operation == "" || own.Retryable():
			t.Errorf("%s: operation %q, retryable %v", name, own.Operation, own.Retryable())
		}
	}
}

func TestABadAddressIsEveryCallsError(t *testing.T) {
	cache := scrubjay.NewCacheService("redis://localhost:port", "p")
	_, set := cache.Set(ctx, "k", 1, time.Minute)
	_, deleted := cache.Delete(ctx, "k")
	_, cleared := cache.Clear(ctx)
	_, many := scrubjay.GetMany[int](ctx, cache, []string{"k"})
	_, fetched := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (int, error) { t.Error("the fetch ran"); return 0, nil })
	_, fetchedMany := scrubjay.GetOrFetchMany(ctx, cache, nil, time.Minute, func(context.Context, []string) (map[string]int, error) { return nil, nil })
	for i, err := range []error{cache.Get(ctx, "k", new(int)), set, deleted, cleared, many, fetched, fetchedMany} {
		if !errors.Is(err, scrubjay.ErrInvalidOption) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if err := cache.Close(); err != nil {
		t.Error(err)
	}
	_ = cache.Stats()
}

func TestKindsAreTheLibrarys(t *testing.T) {
	names := map[scrubjay.Kind]string{
		scrubjay.ErrInvalidOption: "InvalidOption", scrubjay.ErrInvalidKey: "InvalidKey", scrubjay.ErrInvalidValue: "InvalidValue",
		scrubjay.ErrNotFound: "NotFound", scrubjay.ErrFetchFailed: "FetchFailed", scrubjay.ErrFetchTimeout: "FetchTimeout",
		scrubjay.ErrLeaseExpired: "LeaseExpired", scrubjay.ErrRecursiveFetch: "RecursiveFetch", scrubjay.ErrOverloaded: "Overloaded",
		scrubjay.ErrClosed: "Closed", scrubjay.ErrCancelled: "Cancelled", scrubjay.ErrUnavailable: "Unavailable", scrubjay.ErrPartial: "Partial",
		scrubjay.ErrDirtyElsewhere: "DirtyElsewhere", scrubjay.ErrUnsupported: "Unsupported", scrubjay.ErrInternal: "Internal",
	}
	for number := scrubjay.Kind(1); number <= 16; number++ {
		if names[number] == "" || number.String() != names[number] {
			t.Errorf("%d is %q here and %q in the library", number, names[number], number)
		}
	}
}

func TestEveryOptionIsTaken(t *testing.T) {
	open(t, scrubjay.Options{
		URL: "memory://", Prefix: "p", TTL: time.Second, StaleFor: scrubjay.Ptr(time.Duration(0)), Jitter: scrubjay.Ptr(0.0),
		FetchSoftTimeout: time.Second, FetchHardTimeout: 2 * time.Second, L2Timeout: time.Second, Breaker: scrubjay.Ptr(false),
		MaxStaleness: scrubjay.Ptr(time.Duration(0)), L1Bytes: scrubjay.Ptr(int64(1 << 20)), L1Entries: 10, MaxValue: 1 << 20,
		NegativeTTL: time.Second, OriginConcurrency: 2, Codec: scrubjay.MsgPack, RefreshAhead: scrubjay.Ptr(false),
	})
}

func TestCloseIsIdempotentAndFinal(t *testing.T) {
	onBoth(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if _, err := cache.Set(ctx, "k", 1, time.Minute); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := cache.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cache.Get(ctx, "k", new(int)); !errors.Is(err, scrubjay.ErrClosed) {
			t.Error(err)
		}
		_, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (int, error) { return 0, nil })
		if !errors.Is(err, scrubjay.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestAnEndedContextDoesNothing(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := cache.Set(ended, "k", 1, time.Minute); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := cache.Get(ctx, "k", new(int)); !errors.Is(err, scrubjay.ErrMiss) {
		t.Error(err)
	}
}
