package scrubjay_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"scrubjay"
)

// onBothTiers runs a test over memory alone, and over a Redis.
func onBothTiers(t *testing.T, test func(t *testing.T, cache *scrubjay.CacheService)) {
	t.Run("memory", func(t *testing.T) { test(t, open(t, scrubjay.Options{})) })
	t.Run("redis", func(t *testing.T) {
		test(t, open(t, scrubjay.Options{URL: startRedis(t).addr(), Prefix: "update", L2Timeout: 2 * time.Second}))
	})
}

// loads tells whether a fetch of k runs: it is not stored.
func loads(t testing.TB, cache *scrubjay.CacheService, key string) bool {
	t.Helper()
	ran := false
	_, err := scrubjay.GetOrFetchFunc(ctx, cache, key, time.Minute, func() (string, error) {
		ran = true
		return "loaded", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ran
}

func explain(t testing.TB, cache *scrubjay.CacheService, key string) scrubjay.Explanation {
	t.Helper()
	seen, err := cache.Explain(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func isFree(t testing.TB, cache *scrubjay.CacheService, key string) {
	t.Helper()
	eventually(t, "no writer is at work", func() bool { return explain(t, cache, key).Hold == nil })
	eventually(t, "loads are stored", func() bool { return !loads(t, cache, key) })
}

func isMiss(t testing.TB, cache *scrubjay.CacheService, key string) {
	t.Helper()
	var value string
	if err := cache.Get(ctx, key, &value); err != scrubjay.ErrMiss {
		t.Fatalf("%q, %v", value, err)
	}
}

func TestNothingIsStoredWhileItIsWritten(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if _, err := cache.Set(ctx, "k", "old", time.Minute); err != nil {
			t.Fatal(err)
		}
		receipt, err := scrubjay.Update(ctx, cache, []string{"k", "l"}, func(context.Context) error {
			isMiss(t, cache, "k")
			if !loads(t, cache, "k") || !loads(t, cache, "k") {
				t.Error("a load was stored")
			}
			if _, err := cache.Set(ctx, "k", "which is newer?", time.Minute); err != nil {
				t.Error(err)
			}
			isMiss(t, cache, "k")
			if seen := explain(t, cache, "k"); seen.Reason != "held" || seen.Hold.Writers != 1 || seen.Hold.Left > 30*time.Second {
				t.Errorf("%+v", seen)
			}
			return nil
		})
		if err != nil || receipt.Pending {
			t.Fatal(receipt, err)
		}
		isMiss(t, cache, "k")
		isFree(t, cache, "k")
	})
}

func TestTheErrorOfAWriteIsItsOwn(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		rolledBack := errors.New("rolled back")
		if _, err := scrubjay.Update(ctx, cache, []string{"k"}, func(context.Context) error { return rolledBack }); err != rolledBack {
			t.Fatal(err)
		}
		isFree(t, cache, "k")
		func() {
			defer func() {
				if recover() != "in the write" {
					t.Error("the panic was lost")
				}
			}()
			_, _ = scrubjay.Update(ctx, cache, []string{"k"}, func(context.Context) error { panic("in the write") })
		}()
		isFree(t, cache, "k")
		// A context that ends in the write: the write is waited for, and the keys are invalidated.
		cancelled, cancel := context.WithCancel(ctx)
		_, err := scrubjay.Update(cancelled, cache, []string{"k"}, func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		isFree(t, cache, "k")
		_, err = scrubjay.Update(cancelled, cache, []string{"k"}, func(context.Context) error { t.Error("it must not run"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

func TestAContextThatEndsBeforeTheIntentIsAnswered(t *testing.T) {
	server := startRedis(t)
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "early", L2Timeout: 20 * time.Second})
	if _, err := cache.Set(ctx, "k", "old", time.Minute); err != nil {
		t.Fatal(err)
	}
	server.pause(t)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := scrubjay.Update(short, cache, []string{"k"}, func(context.Context) error { t.Error("it must not run"); return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	server.unpause(t)
	isFree(t, cache, "k")
}

func TestAKeyIsFreeWhenItsLastWriterIsDone(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		var running sync.WaitGroup
		words := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		ended := make(chan struct{}, 2)
		for _, word := range words {
			running.Add(1)
			go func() {
				_, err := scrubjay.Update(ctx, cache, []string{"k"}, func(context.Context) error {
					running.Done()
					<-word
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				ended <- struct{}{}
			}()
		}
		running.Wait()
		if seen := explain(t, cache, "k"); seen.Hold.Writers != 2 {
			t.Errorf("%+v", seen.Hold)
		}
		close(words[0])
		<-ended
		if seen := explain(t, cache, "k"); seen.Hold.Writers != 1 || !loads(t, cache, "k") || !loads(t, cache, "k") {
			t.Errorf("%+v", seen.Hold)
		}
		close(words[1])
		<-ended
		isFree(t, cache, "k")
	})
}

func TestWhatCannotBeIsRefusedBeforeTheWrite(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	for _, c := range []struct {
		keys    []string
		option  scrubjay.UpdateOption
		kind    scrubjay.Kind
		message string
	}{
		{[]string{"k"}, scrubjay.WithIntentTTL(0), scrubjay.ErrInvalidOption, "intent_ttl must be 0.1 to 3600 seconds"},
		{[]string{"k"}, scrubjay.WithIntentTTL(99 * time.Millisecond), scrubjay.ErrInvalidOption, "is 0.099"},
		{[]string{"k"}, scrubjay.WithIntentTTL(-time.Second), scrubjay.ErrInvalidOption, "intent_ttl must not be negative"},
		{[]string{"k"}, scrubjay.WithIntentTTL(2 * time.Hour), scrubjay.ErrInvalidOption, "is 7200"},
		{[]string{"k"}, scrubjay.WithHold(2 * time.Hour), scrubjay.ErrInvalidOption, "hold must be 0 to 3600 seconds"},
		{[]string{"k"}, scrubjay.WithHold(-1), scrubjay.ErrInvalidOption, "hold"},
		{[]string{"k", ""}, scrubjay.Strict(), scrubjay.ErrInvalidKey, "key"},
	} {
		_, err := scrubjay.Update(ctx, cache, c.keys, func(context.Context) error { t.Error("it must not run"); return nil }, c.option)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%v, not %q", err, c.message)
		}
	}
	if _, err := scrubjay.Update(ctx, cache, []string{"k"}, nil); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	if _, err := cache.Explain(ctx, ""); !errors.Is(err, scrubjay.ErrInvalidKey) {
		t.Error(err)
	}
	isFree(t, cache, "k")
	_ = cache.Close()
	if _, err := cache.Explain(ctx, "k"); !errors.Is(err, scrubjay.ErrClosed) {
		t.Error(err)
	}
}

func TestAServerThatIsAwayStopsAStrictUpdateOnly(t *testing.T) {
	cache := open(t, scrubjay.Options{URL: "127.0.0.1:1"})
	ran := 0
	write := func(context.Context) error { ran++; return nil }
	if _, err := scrubjay.Update(ctx, cache, []string{"k"}, write, scrubjay.Strict()); !errors.Is(err, scrubjay.ErrUnavailable) || ran != 0 {
		t.Fatal(err, ran)
	}
	receipt, err := scrubjay.Update(ctx, cache, []string{"k"}, write)
	if err != nil || !receipt.Pending || ran != 1 {
		t.Fatal(receipt, err, ran)
	}
	if seen := explain(t, cache, "k"); seen.Reason != "pending" {
		t.Errorf("%+v", seen)
	}
	if seen := explain(t, cache, "elsewhere"); seen.Reachable {
		t.Errorf("%+v", seen)
	}
}

func TestExplanations(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		if seen := explain(t, cache, "k"); seen.Tier != "" || seen.Reason != "absent" || !seen.Reachable {
			t.Errorf("%+v", seen)
		}
		if _, err := cache.Set(ctx, "k", "twelve", time.Minute); err != nil {
			t.Fatal(err)
		}
		seen := explain(t, cache, "k")
		if seen.Tier != "l1" || seen.Reason != "fresh" || seen.Stale || seen.Codec != "json" || seen.Bytes != 8 ||
			seen.TTL < 40*time.Second || seen.TTL > time.Minute || seen.Age > 20*time.Second || seen.StaleTTL < seen.TTL {
			t.Errorf("%+v", seen)
		}
		_, err := scrubjay.GetOrFetchFunc(ctx, cache, "l", time.Minute, func() (bool, error) {
			lease := explain(t, cache, "l").Lease
			return lease != nil && lease.Here && lease.Left > 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var here bool
		if err := cache.Get(ctx, "l", &here); err != nil || !here {
			t.Error(here, err)
		}
	})
}

// A process that writes and is killed: see TestAWriterThatIsKilled.
func TestHelperThatIsKilled(t *testing.T) {
	addr := os.Getenv("SCRUBJAY_TEST_KILLED")
	if addr == "" {
		return
	}
	cache := scrubjay.NewCacheService(addr, "killed")
	_, _ = scrubjay.Update(ctx, cache, []string{"k"}, func(context.Context) error {
		_, _ = os.Stdout.WriteString("written\n")
		select {}
	}, scrubjay.WithIntentTTL(500*time.Millisecond))
}

func TestAWriterThatIsKilled(t *testing.T) {
	server := startRedis(t)
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "killed", MaxStaleness: scrubjay.Ptr(time.Duration(0))})
	if _, err := cache.Set(ctx, "k", "old", time.Minute); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=TestHelperThatIsKilled")
	child.Env = append(os.Environ(), "SCRUBJAY_TEST_KILLED="+server.addr())
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	isMiss(t, cache, "k")
	if !loads(t, cache, "k") {
		t.Error("the old value is there")
	}
	eventually(t, "its hold is over", func() bool { return !loads(t, cache, "k") })
}

func TestNothingWithTheTagsOfAWriteIsStoredOrReadMeanwhile(t *testing.T) {
	onBothTiers(t, func(t *testing.T, cache *scrubjay.CacheService) {
		load := func(value string) string {
			t.Helper()
			found, err := scrubjay.GetOrFetchFunc(ctx, cache, "k", time.Minute, func() (string, error) { return value, nil }, scrubjay.WithTags("users", "all"))
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		load("old")
		if _, err := cache.Set(ctx, "free", "as before", time.Minute, scrubjay.WithTags("all")); err != nil {
			t.Fatal(err)
		}
		receipt, err := scrubjay.Update(ctx, cache, nil, func(ctx context.Context) error {
			isMiss(t, cache, "k")
			if first, second := load("old too"), load("old again"); first != "old too" || second != "old again" {
				t.Fatal("what is loaded is kept", first, second)
			}
			if _, err := cache.Set(ctx, "k", "which is newer?", time.Minute, scrubjay.WithTags("users")); err != nil {
				return err
			}
			isMiss(t, cache, "k")
			isThere(t, cache, "free", "as before")
			return nil
		}, scrubjay.WithUpdatedTags("users"))
		if err != nil || receipt.Pending {
			t.Fatal(receipt, err)
		}
		isMiss(t, cache, "k")
		eventually(t, "it is free again", func() bool {
			var value string
			return load("new") == "new" && cache.Get(ctx, "k", &value) == nil
		})
		full := errors.New("rolled back")
		if _, err := scrubjay.Update(ctx, cache, []string{"l"}, func(context.Context) error { return full }, scrubjay.WithUpdatedTags("users")); err != full {
			t.Fatal(err)
		}
		isMiss(t, cache, "k")
		if _, err := scrubjay.Update(ctx, cache, nil, func(context.Context) error { return nil }, scrubjay.WithUpdatedTags("")); !errors.Is(err, scrubjay.ErrInvalidOption) {
			t.Fatal(err)
		}
	})
}
