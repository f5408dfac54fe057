package scrubjay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"scrubjay"
)

// What the allocators may keep for themselves.
const allowedGrowth = 48 << 20

func residentBytes(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// SCALE=1 is a million operations; tests run a part of that.
func operations() int {
	scale, err := strconv.ParseFloat(os.Getenv("SCALE"), 64)
	if err != nil {
		scale = 0.05
	}
	return max(int(scale*1e6), 20_000)
}

func soak(t *testing.T, cache *scrubjay.CacheService, count int) {
	t.Helper()
	down := errors.New("down")
	for i := range count / 4 {
		key := fmt.Sprintf("key:%d", i%50_000)
		if _, err := cache.Set(ctx, key, i, time.Duration(1+i%50)*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		var value int
		if err := cache.Get(ctx, key, &value); err != nil && !errors.Is(err, scrubjay.ErrMiss) {
			t.Fatal(err)
		}
		_, err := scrubjay.GetOrFetch(ctx, cache, fmt.Sprintf("fetched:%d", i), time.Minute, func(context.Context) (int, error) {
			if i%7 == 0 {
				return 0, down
			}
			return i, nil
		})
		if err != nil && err != down {
			t.Fatal(err)
		}
		if _, err := cache.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemoryStaysFlat(t *testing.T) {
	bound := int64(4 << 20)
	cache := open(t, scrubjay.Options{L1Bytes: &bound})
	soak(t, cache, 20_000)
	runtime.GC()
	before := residentBytes(t)
	soak(t, cache, operations())
	runtime.GC()
	if grown := residentBytes(t) - before; grown > allowedGrowth {
		t.Errorf("resident memory grew by %d bytes", grown)
	}
}
