package scrubjay_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"scrubjay"
)

func Example() {
	cache := scrubjay.NewCacheService("memory://", "shop")
	defer cache.Close()

	for range 2 {
		price, err := scrubjay.GetOrFetch(context.Background(), cache, "price:42", time.Minute, func(context.Context) (float64, error) {
			fmt.Println("asking the database")
			return 9.5, nil
		})
		fmt.Println(price, err)
	}
	// Output:
	// asking the database
	// 9.5 <nil>
	// 9.5 <nil>
}

func ExampleCacheService_Get() {
	ctx, cache := context.Background(), scrubjay.NewCacheService("memory://", "shop")
	defer cache.Close()

	var name string
	fmt.Println(errors.Is(cache.Get(ctx, "name", &name), scrubjay.ErrMiss))
	if _, err := cache.Set(ctx, "name", "Ada", time.Minute); err != nil {
		fmt.Println(err)
	}
	fmt.Println(cache.Get(ctx, "name", &name), name)
	// Output:
	// true
	// <nil> Ada
}

func ExampleGetOrFetchMany() {
	ctx, cache := context.Background(), scrubjay.NewCacheService("memory://", "shop")
	defer cache.Close()

	lengths, err := scrubjay.GetOrFetchMany(ctx, cache, []string{"one", "three"}, time.Minute, func(_ context.Context, missing []string) (map[string]int, error) {
		found := map[string]int{}
		for _, key := range missing {
			found[key] = len(key)
		}
		return found, nil
	})
	fmt.Println(lengths, err)
	// Output: map[one:3 three:5] <nil>
}

func ExampleCached() {
	cache := scrubjay.NewCacheService("memory://", "shop")
	defer cache.Close()

	type page struct{ Lang, Path string }
	render := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: "page:{Lang}:{Path}", TTL: time.Minute},
		func(_ context.Context, p page) (string, error) { return "<html lang=" + p.Lang + ">", nil })

	fmt.Println(render(context.Background(), page{"de", "/index"}))
	// Output: <html lang=de> <nil>
}

func ExampleKind() {
	ctx, cache := context.Background(), scrubjay.NewCacheService("memory://", "shop")
	defer cache.Close()

	_, err := scrubjay.GetOrFetchFunc(ctx, cache, "user:7", time.Minute, func() (string, error) { return "", scrubjay.ErrNotFound })
	fmt.Println(errors.Is(err, scrubjay.ErrNotFound))

	_, err = cache.Set(ctx, "", "no key", time.Minute)
	fmt.Println(errors.Is(err, scrubjay.ErrInvalidKey))
	// Output:
	// true
	// true
}

func ExampleMemoryCache() {
	type user struct{ Name string }
	users, err := scrubjay.NewMemoryCache(scrubjay.MemoryOptions[int, *user]{MaxEntries: 10_000})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := users.Set(42, &user{"Ada"}, time.Minute); err != nil {
		fmt.Println(err)
	}
	if ada, ok := users.Get(42); ok {
		fmt.Println(ada.Name)
	}
	for id, user := range users.All() {
		fmt.Println(id, user.Name)
	}
	fmt.Println(users.Delete(42), users.Len(), users.Set(42, nil, 0))
	// Output:
	// Ada
	// 42 Ada
	// true 0 scrubjay: set: InvalidOption: ttl must be 0.001 to 31536000 seconds (365 days), is 0
}

func ExampleMemoryOptions() {
	type page struct{ HTML, Links string }
	pages, err := scrubjay.NewMemoryCache(scrubjay.MemoryOptions[string, *page]{
		MaxBytes: 16 << 20,
		TTL:      5 * time.Minute,
		Weigher:  func(_ string, p *page) int64 { return int64(len(p.HTML) + len(p.Links)) },
		OnEvict:  func(url string, _ *page, reason scrubjay.EvictReason) { fmt.Println(url, reason) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, html := range []string{"<p>hi", "<p>hello"} {
		if err := pages.Set("/", &page{HTML: html}, scrubjay.DefaultTTL); err != nil {
			fmt.Println(err)
		}
	}
	// Output: / replaced
}
