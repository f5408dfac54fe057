package scrubjay_test

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"scrubjay"
)

// Plain entries are bare JSON, for programs that know nothing of Scrubjay: redis-cli plays one.
func TestPlainEntriesAreBareJSON(t *testing.T) {
	server := startRedis(t)
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "shop", Format: scrubjay.FormatPlain})
	store(t, cache, "user:1", map[string]string{"name": "Ada"}, time.Minute)
	if got := server.cli(t, "GET", "shop:user:1"); got != `{"name":"Ada"}` {
		t.Fatal(got)
	}
	server.cli(t, "SET", "shop:user:2", `{"name": "Bob"}`)
	if got := load[map[string]string](t, cache, "user:2"); got["name"] != "Bob" {
		t.Fatal(got)
	}
	if bound := cache.EffectiveStalenessBound(); bound != math.MaxInt64 {
		t.Error("a bound is claimed:", bound)
	}
	if _, err := cache.Set(ctx, "k", []byte("bytes"), time.Minute); !errors.Is(err, scrubjay.ErrInvalidValue) {
		t.Error(err)
	}
	if _, err := cache.Set(ctx, "k", 1, time.Minute, scrubjay.WithTags("t")); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	if _, err := cache.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	if got := server.cli(t, "DBSIZE"); got != "0" {
		t.Error(got)
	}
}

// Memory follows what other programs write, and has what they did not write.
func TestMemoryFollowsTrackedKeys(t *testing.T) {
	server := startRedis(t)
	hour := time.Hour
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "shop", Format: scrubjay.FormatPlain, Tracking: true, MaxStaleness: &hour})
	_ = cache.Get(ctx, "nothing", new(int))
	eventually(t, "the first session", func() bool { return cache.Stats().PushSessions == 1 })
	for i := range 20 {
		server.cli(t, "SET", "shop:k", strconv.Itoa(i))
		seen := func() bool {
			got := -1
			return cache.Get(ctx, "k", &got) == nil && got == i
		}
		eventually(t, "the new value is seen", seen)
		eventually(t, "memory has it", func() bool {
			hits := cache.Stats().HitsL1
			return seen() && cache.Stats().HitsL1 > hits
		})
	}
}

// Messages on a channel are keys that another program has changed; those of caches on the same channel are not.
func TestKeysOnAChannelAreInvalidated(t *testing.T) {
	const channel = "cache:invalidate"
	server := startRedis(t)
	hour := time.Hour
	options := scrubjay.Options{
		URL: server.addr(), Prefix: "shop", MaxStaleness: &hour,
		SubscribeInvalidations: channel, PublishInvalidations: channel,
	}
	cache, other := open(t, options), open(t, options)
	store(t, cache, "user:1", "old", time.Minute)
	load[string](t, other, "user:1")
	// How many heard it says who listens.
	eventually(t, "both listen", func() bool { return server.cli(t, "PUBLISH", channel, "nothing") == "2" })
	server.cli(t, "PUBLISH", channel, "user:1")
	for _, one := range []*scrubjay.CacheService{cache, other} {
		eventually(t, "it is gone", func() bool { return errors.Is(one.Get(ctx, "user:1", new(string)), scrubjay.ErrMiss) })
	}
	store(t, cache, "user:1", "new", time.Minute)
	heard := other.Stats().Invalidations
	server.cli(t, "PUBLISH", channel, "last")
	eventually(t, "the last one has come", func() bool { return other.Stats().Invalidations == heard+1 })
	if got := load[string](t, other, "user:1"); got != "new" {
		t.Error(got)
	}
}
