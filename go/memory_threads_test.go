package scrubjay_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

func TestMemoryHitsAllocateNothing(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[string, []byte]{})
	numbers := memory(t, scrubjay.MemoryOptions[point, *user]{})
	put(t, cache, "key", []byte("value"), time.Minute)
	put(t, numbers, point{1, 2}, &user{}, time.Minute)
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok := cache.Get("key"); !ok {
			t.Fatal("a miss")
		}
		if _, ok := numbers.Get(point{1, 2}); !ok {
			t.Fatal("a miss")
		}
		cache.Get("no such key")
	}); n != 0 {
		t.Error(n, "allocations")
	}
}

// A loop that does nothing but read sees what others do: no load is hoisted out of it.
func TestMemoryLoopsSeeRemovals(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[string, int]{})
	for name, end := range map[string]func(){
		"delete":  func() { cache.Delete("k") },
		"clear":   cache.Clear,
		"expiry":  nil,
		"replace": func() { put(t, cache, "k", 2, time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			put(t, cache, "k", 1, time.Minute)
			if end == nil {
				put(t, cache, "k", 1, 50*time.Millisecond)
			}
			looping, ended := make(chan struct{}), make(chan int)
			go func() {
				count := 0
				for {
					if value, ok := cache.Get("k"); !ok || value != 1 {
						break
					}
					if count++; count == 1000 {
						close(looping)
					}
				}
				ended <- count
			}()
			<-looping
			if end != nil {
				end()
			}
			select {
			case <-ended:
			case <-time.After(patience):
				t.Error("the loop did not see it")
			}
		})
	}
}

// Against a plain map, from many goroutines, with keys that are reused, removed and expire: what is read under a key
// was set under it, and what a goroutine set last under a key of its own is what it reads there, or nothing.
func TestMemoryUnderContention(t *testing.T) {
	const goroutines, keys = 8, 300
	cache := memory(t, scrubjay.MemoryOptions[int, [2]int]{MaxEntries: 500})
	rounds := max(operations()/goroutines, 5000)
	deadline := time.Now().Add(time.Minute)
	var group sync.WaitGroup
	for g := range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			random := rand.New(rand.NewPCG(uint64(g), 4))
			last := map[int]int{}
			for i := range rounds {
				if i%1000 == 0 && time.Now().After(deadline) {
					return
				}
				own := random.IntN(keys)*goroutines + g
				switch op := random.IntN(10); op {
				case 0, 1, 2:
					ttl := time.Minute
					if op == 0 {
						ttl = time.Duration(1+random.IntN(20)) * time.Millisecond
					}
					last[own] = i
					if err := cache.Set(own, [2]int{own, i}, ttl); err != nil {
						t.Error(err)
						return
					}
				case 3:
					cache.Delete(own)
					delete(last, own)
				default:
					any := random.IntN(keys * goroutines)
					if value, ok := cache.Get(any); ok && value[0] != any {
						t.Errorf("under %d is what was set under %d", any, value[0])
						return
					}
					if value, ok := cache.Get(own); ok {
						if when, set := last[own]; !set || when != value[1] {
							t.Errorf("under %d is %d, and not %d (%v)", own, value[1], when, set)
							return
						}
					}
				}
			}
		}()
	}
	group.Wait()
	cache.Set(-1, [2]int{}, time.Minute)
	eventually(t, "Go holds what the library holds", func() bool { return uint64(cache.Len()) == cache.Stats().Entries })
	held := 0
	for range cache.All() {
		held++
	}
	if held > 500 {
		t.Error(held)
	}
}

// A Set does not lose a value for those who read meanwhile: they get the old one or the new one.
func TestMemoryReplacingIsNoMiss(t *testing.T) {
	cache := memory(t, scrubjay.MemoryOptions[string, int]{})
	put(t, cache, "k", 0, time.Minute)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 1; !stop.Load(); i++ {
			if err := cache.Set("k", i, time.Minute); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	last := 0
	for range 200_000 {
		value, ok := cache.Get("k")
		if !ok || value < last {
			t.Errorf("%d, %v after %d", value, ok, last)
			break
		}
		last = value
	}
	stop.Store(true)
	<-done
}
