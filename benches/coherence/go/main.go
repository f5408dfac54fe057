// The worker of Go: goroutines. See ../run.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"scrubjay"
)

const (
	keyCount    = 100
	ttl         = time.Hour
	fetchTime   = 5 * time.Millisecond
	warmCallers = 2
	coldCallers = 4
	burst       = 500
	pause       = time.Millisecond
	hitCount    = 4_000
	// slow is what no hit takes.
	slow = time.Millisecond
)

type user struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

var (
	ctx   = context.Background()
	keys  [keyCount]string
	users = map[string]user{}
	colds atomic.Int64
)

// caches are one with Redis, and one in memory alone.
type caches struct{ shared, alone *scrubjay.CacheService }

func open(url string) *caches {
	c := &caches{scrubjay.NewCacheService(url, "bench"), scrubjay.NewCacheService("", "bench")}
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%08d", i)
		users[keys[i]] = user{i, keys[i]}
		must(c.alone.Set(ctx, keys[i], users[keys[i]], ttl))
	}
	return c
}

// ready waits until Redis tells of writes, and memory has all keys.
func (c *caches) ready() any {
	for {
		before := c.shared.Stats()
		for key, expected := range users {
			found := must(scrubjay.GetOrFetch(ctx, c.shared, key, ttl, func(context.Context) (user, error) { return expected, nil }))
			check(found == expected)
		}
		after := c.shared.Stats()
		if after.HitsL1-before.HitsL1 == keyCount && after.BreakerState == "closed" && after.CoherenceLagMs > 0 {
			return struct{}{}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// hits times hits of both, in turn.
func (c *caches) hits(rounds int) any {
	times := map[string][]float64{}
	names, subjects := [2]string{"on", "off"}, [2]*scrubjay.CacheService{c.shared, c.alone}
	for round := -10; round < rounds; round++ {
		for turn := range subjects {
			which := (turn + round&1) % 2
			var found user
			begun := time.Now()
			for i := range hitCount {
				if err := subjects[which].Get(ctx, keys[i*37%keyCount], &found); err != nil {
					log.Fatal(err)
				}
			}
			took := time.Since(begun)
			check(found == users[keys[(hitCount-1)*37%keyCount]])
			if round >= 0 {
				times[names[which]] = append(times[names[which]], float64(took.Nanoseconds())/hitCount)
			}
		}
	}
	return times
}

// load has warm and cold callers side by side.
func (c *caches) load(seconds float64) any {
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var (
		all   sync.WaitGroup
		mutex sync.Mutex
		warm  []time.Duration
		cold  [][2]any
	)
	for range warmCallers {
		all.Add(1)
		go func() {
			defer all.Done()
			times := c.warm(end)
			mutex.Lock()
			defer mutex.Unlock()
			warm = append(warm, times...)
		}()
	}
	for range coldCallers {
		all.Add(1)
		go func() {
			defer all.Done()
			calls := c.cold(end)
			mutex.Lock()
			defer mutex.Unlock()
			cold = append(cold, calls...)
		}()
	}
	all.Wait()
	slices.Sort(warm)
	fast, _ := slices.BinarySearch(warm, slow)
	return map[string]any{
		"warm": map[string]float64{
			"p50_us":   micros(warm[len(warm)/2]),
			"p99_us":   micros(warm[len(warm)*99/100]),
			"slow_ppm": float64(len(warm)-fast) * 1e6 / float64(len(warm)),
		},
		"cold": cold,
	}
}

func (c *caches) warm(end time.Time) (times []time.Duration) {
	for n := 0; time.Now().Before(end); n += burst {
		for i := n; i < n+burst; i++ {
			key := keys[i%keyCount]
			begun := time.Now()
			found, err := scrubjay.GetOrFetch(ctx, c.shared, key, ttl, func(context.Context) (user, error) {
				time.Sleep(fetchTime)
				return users[key], nil
			})
			times = append(times, time.Since(begun))
			check(err == nil && found.Name == key)
		}
		time.Sleep(pause)
	}
	return times
}

func (c *caches) cold(end time.Time) (calls [][2]any) {
	for n := 0; time.Now().Before(end); n++ {
		key := fmt.Sprint("cold:", colds.Add(1))
		cache, state := c.shared, c.shared.Stats().BreakerState
		if n%2 == 1 {
			cache, state = c.alone, "alone"
		}
		var fetched time.Duration
		begun := time.Now()
		found, err := scrubjay.GetOrFetch(ctx, cache, key, ttl, func(context.Context) (string, error) {
			fetching := time.Now()
			time.Sleep(fetchTime)
			fetched = time.Since(fetching)
			return key, nil
		})
		calls = append(calls, [2]any{micros(time.Since(begun) - fetched), state})
		check(err == nil && found == key)
		time.Sleep(2 * fetchTime)
	}
	return calls
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func check(ok bool) {
	if !ok {
		log.Fatal("a wrong value")
	}
}

func main() {
	var c *caches
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		var answer any
		switch command {
		case "ready":
			if c == nil {
				c = open(argument)
			}
			answer = c.ready()
		case "hits":
			answer = c.hits(must(strconv.Atoi(argument)))
		case "load":
			answer = c.load(must(strconv.ParseFloat(argument, 64)))
		}
		fmt.Printf("%s\n", must(json.Marshal(answer)))
	}
}
