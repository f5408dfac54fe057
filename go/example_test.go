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
