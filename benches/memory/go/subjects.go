package main

import (
	"context"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/maypok86/otter/v2"
	"github.com/puzpuzpuz/xsync/v4"

	"scrubjay"
)

// ttl is long enough that nothing expires while it is measured, and checked on each hit nevertheless.
const ttl = time.Hour

// A subject is a cache of 100-byte values. The loops are its own, so that no call through an interface or a closure
// is measured.
type subject struct {
	name string
	// get reads keys and returns how many were hits.
	get func(keys []string) int
	// set stores value under keys.
	set func(keys []string, value []byte)
	// value is what there is under a key, for the check after a round.
	value func(key string) ([]byte, bool)
	// settle waits until what was set can be read.
	settle func()
}

// A maker makes a subject that holds up to capacity entries.
type maker struct {
	name string
	make func(capacity int) subject
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

var makers = []maker{
	{"scrubjay", func(capacity int) subject {
		c := must(scrubjay.NewMemoryCache(scrubjay.MemoryOptions[string, []byte]{MaxEntries: int64(capacity)}))
		return subject{
			get: func(keys []string) (hits int) {
				for _, key := range keys {
					if _, ok := c.Get(key); ok {
						hits++
					}
				}
				return hits
			},
			set: func(keys []string, value []byte) {
				for _, key := range keys {
					if err := c.Set(key, value, ttl); err != nil {
						panic(err)
					}
				}
			},
			value: c.Get,
		}
	}},
	{"otter+expiry", func(capacity int) subject {
		c := otter.Must(&otter.Options[string, []byte]{
			MaximumSize:      capacity,
			ExpiryCalculator: otter.ExpiryWriting[string, []byte](ttl),
		})
		return subject{
			get: func(keys []string) (hits int) {
				for _, key := range keys {
					if _, ok := c.GetIfPresent(key); ok {
						hits++
					}
				}
				return hits
			},
			set: func(keys []string, value []byte) {
				for _, key := range keys {
					c.Set(key, value)
				}
			},
			value:  c.GetIfPresent,
			settle: c.CleanUp,
		}
	}},
	{"ristretto+ttl", func(capacity int) subject {
		c := must(ristretto.NewCache(&ristretto.Config[string, []byte]{
			NumCounters: 10 * int64(capacity), MaxCost: int64(capacity), BufferItems: 64, IgnoreInternalCost: true,
		}))
		return subject{
			get: func(keys []string) (hits int) {
				for _, key := range keys {
					if _, ok := c.Get(key); ok {
						hits++
					}
				}
				return hits
			},
			set: func(keys []string, value []byte) {
				for _, key := range keys {
					c.SetWithTTL(key, value, 1, ttl)
				}
			},
			value:  c.Get,
			settle: c.Wait,
		}
	}},
	{"theine+ttl", func(capacity int) subject {
		c := must(theine.NewBuilder[string, []byte](int64(capacity)).Build())
		return subject{
			get: func(keys []string) (hits int) {
				for _, key := range keys {
					if _, ok := c.Get(key); ok {
						hits++
					}
				}
				return hits
			},
			set: func(keys []string, value []byte) {
				for _, key := range keys {
					c.SetWithTTL(key, value, 1, ttl)
				}
			},
			value:  c.Get,
			settle: c.Wait,
		}
	}},
	{"golang-lru/expirable", func(capacity int) subject {
		c := expirable.NewLRU[string, []byte](capacity, nil, ttl)
		return subject{
			get: func(keys []string) (hits int) {
				for _, key := range keys {
					if _, ok := c.Get(key); ok {
						hits++
					}
				}
				return hits
			},
			set: func(keys []string, value []byte) {
				for _, key := range keys {
					c.Add(key, value)
				}
			},
			value: c.Get,
		}
	}},
	// A concurrent map: no bound, no expiry.
	{"xsync.Map", func(int) subject {
		c := xsync.NewMap[string, []byte]()
		return subject{
			get: func(keys []string) (hits int) {
				for _, key := range keys {
					if _, ok := c.Load(key); ok {
						hits++
					}
				}
				return hits
			},
			set: func(keys []string, value []byte) {
				for _, key := range keys {
					c.Store(key, value)
				}
			},
			value: c.Load,
		}
	}},
}

// service is a CacheService whose values are read into a pointer.
var service = maker{"scrubjay", func(capacity int) subject {
	ctx := context.Background()
	c := must(scrubjay.Open(scrubjay.Options{}))
	return subject{
		get: func(keys []string) (hits int) {
			var value []byte
			for _, key := range keys {
				if c.Get(ctx, key, &value) == nil {
					hits++
				}
			}
			return hits
		},
		set: func(keys []string, value []byte) {
			for _, key := range keys {
				must(c.Set(ctx, key, value, ttl))
			}
		},
		value: func(key string) (value []byte, found bool) {
			found = c.Get(ctx, key, &value) == nil
			return value, found
		},
	}
}}

// bounded is whether a subject has a bound to evict at.
func (m maker) bounded() bool { return m.name != "xsync.Map" }
