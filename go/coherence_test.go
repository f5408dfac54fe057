package scrubjay_test

import (
	"math"
	"syscall"
	"testing"
	"time"

	"scrubjay"
)

// listening opens a cache that a server tells of writes.
func listening(t *testing.T, server *redis, maxStaleness time.Duration) *scrubjay.CacheService {
	t.Helper()
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "coherence", MaxStaleness: &maxStaleness})
	store(t, cache, "warm", 1, time.Minute)
	eventually(t, "the first session", func() bool { return cache.Stats().PushSessions == 1 })
	return cache
}

// Hits from Go's own memory end when another process writes, though nothing would be asked for an hour.
func TestCopiesEndAtOnceWhenAnotherCacheWrites(t *testing.T) {
	server := startRedis(t)
	mine, theirs := listening(t, server, time.Hour), listening(t, server, time.Hour)
	for i := range 50 {
		store(t, theirs, "k", i, time.Minute)
		eventually(t, "the new value is seen", func() bool {
			got := -1
			return mine.Get(ctx, "k", &got) == nil && got == i
		})
		if got := load[int](t, mine, "k"); got != i {
			t.Fatal(got, i)
		}
	}
	if stats := mine.Stats(); stats.HitsL1 < 50 || stats.HitsL2 > 60 {
		t.Errorf("%+v", stats)
	}
}

// A server that is silent is not believed for longer than max_staleness, by Go's own memory neither.
func TestCopiesEndWithoutAnswers(t *testing.T) {
	server := startRedis(t)
	const bound = 400 * time.Millisecond
	cache := listening(t, server, bound)
	store(t, cache, "k", 1, time.Minute)
	begun := time.Now()
	for time.Since(begun) < 2*bound {
		load[int](t, cache, "k")
	}
	if err := server.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.command.Process.Signal(syscall.SIGCONT) }()
	silent, last := time.Now(), time.Now()
	for time.Since(silent) < 2*bound {
		asked, hits := time.Now(), cache.Stats().HitsL1
		if cache.Get(ctx, "k", new(int)) == nil && cache.Stats().HitsL1 > hits {
			last = asked
		}
	}
	// Its clock moves every 10 ms, on a thread that a busy machine may keep waiting.
	if last.Sub(silent) > bound+100*time.Millisecond {
		t.Errorf("a hit %v after the last answer", last.Sub(silent))
	}
}

func TestTheStalenessBoundIsTold(t *testing.T) {
	server := startRedis(t)
	half := 500 * time.Millisecond
	for _, c := range []struct {
		options scrubjay.Options
		bound   time.Duration
	}{
		{scrubjay.Options{}, 0},
		{scrubjay.Options{URL: server.addr()}, time.Second},
		{scrubjay.Options{URL: server.addr(), MaxStaleness: &half}, half},
		{scrubjay.Options{URL: server.addr(), L1Bytes: scrubjay.Ptr(int64(0))}, 0},
	} {
		cache := open(t, c.options)
		store(t, cache, "k", 1, time.Minute)
		if bound := cache.EffectiveStalenessBound(); bound != c.bound {
			t.Errorf("%v instead of %v", bound, c.bound)
		}
	}
	server.ask(t, "ACL SETUSER plain on nopass ~* &* +@all -@scripting")
	plain := open(t, scrubjay.Options{URL: "redis://plain:any@" + server.addr()})
	store(t, plain, "k", 1, time.Minute)
	if bound := plain.EffectiveStalenessBound(); bound != math.MaxInt64 {
		t.Errorf("%v without scripts", bound)
	}
	if bound := scrubjay.NewCacheService("no address://", "").EffectiveStalenessBound(); bound != 0 {
		t.Errorf("%v of no cache", bound)
	}
}
