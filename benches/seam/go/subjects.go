package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"scrubjay"
)

const ttl = time.Hour

// A subject reads and writes the values of one size.
type subject struct {
	name string
	get  func(key string) ([]byte, error)
	many func(keys []string) ([][]byte, error)
	set  func(key string, value []byte) error
	// load gives the value of a key that is not stored, and stores it: what fetch brings.
	load  func(key string, fetch func() ([]byte, error)) ([]byte, error)
	close func()
}

// byHand loads as programs do that have a client and no cache: they read, fetch and write. absent says whether an error
// of get is that of a missing key.
func (s subject) byHand(absent func(error) bool) subject {
	s.load = func(key string, fetch func() ([]byte, error)) ([]byte, error) {
		if found, err := s.get(key); !absent(err) {
			return found, err
		}
		value, err := fetch()
		if err != nil {
			return nil, err
		}
		return value, s.set(key, value)
	}
	return s
}

// open makes every subject. Keys of the peers have the size in front.
func open(address, label string) ([]subject, error) {
	ours, err := openOurs(address, label)
	if err != nil {
		return nil, err
	}
	goRedis, err := openGoRedis(address, label)
	if err != nil {
		return nil, err
	}
	fast, err := openRueidis(address, label)
	return []subject{ours, goRedis, fast}, err
}

func openOurs(address, label string) (subject, error) {
	ctx, none := context.Background(), int64(0)
	cache, err := scrubjay.Open(scrubjay.Options{URL: address, Prefix: "bench" + label, L1Bytes: &none})
	if err != nil {
		return subject{}, err
	}
	return subject{
		name: "scrubjay",
		get: func(key string) (value []byte, err error) {
			err = cache.Get(ctx, key, &value)
			return value, err
		},
		many: func(keys []string) ([][]byte, error) {
			found, err := scrubjay.GetMany[[]byte](ctx, cache, keys)
			values := make([][]byte, len(keys))
			for i, key := range keys {
				values[i] = found[key]
			}
			return values, err
		},
		set: func(key string, value []byte) error {
			_, err := cache.Set(ctx, key, value, ttl)
			return err
		},
		load: func(key string, fetch func() ([]byte, error)) ([]byte, error) {
			return scrubjay.GetOrFetchFunc(ctx, cache, key, ttl, fetch)
		},
		close: func() { _ = cache.Close() },
	}, nil
}

func openGoRedis(address, label string) (subject, error) {
	ctx := context.Background()
	options, err := redis.ParseURL(address)
	if err != nil {
		return subject{}, err
	}
	client := redis.NewClient(options)
	made := subject{
		name: "go-redis",
		get:  func(key string) ([]byte, error) { return client.Get(ctx, label+":"+key).Bytes() },
		many: func(keys []string) ([][]byte, error) {
			found, err := client.MGet(ctx, prefixed(label, keys)...).Result()
			values := make([][]byte, len(found))
			for i := range found {
				text, _ := found[i].(string)
				values[i] = []byte(text)
			}
			return values, err
		},
		set:   func(key string, value []byte) error { return client.Set(ctx, label+":"+key, value, ttl).Err() },
		close: func() { _ = client.Close() },
	}
	return made.byHand(func(err error) bool { return errors.Is(err, redis.Nil) }), nil
}

func openRueidis(address, label string) (subject, error) {
	ctx := context.Background()
	options, err := rueidis.ParseURL(address)
	if err != nil {
		return subject{}, err
	}
	options.DisableCache = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		return subject{}, err
	}
	made := subject{
		name: "rueidis",
		get: func(key string) ([]byte, error) {
			return client.Do(ctx, client.B().Get().Key(label+":"+key).Build()).AsBytes()
		},
		many: func(keys []string) ([][]byte, error) {
			found, err := client.Do(ctx, client.B().Mget().Key(prefixed(label, keys)...).Build()).AsStrSlice()
			values := make([][]byte, len(found))
			for i := range found {
				values[i] = []byte(found[i])
			}
			return values, err
		},
		set: func(key string, value []byte) error {
			command := client.B().Set().Key(label + ":" + key).Value(rueidis.BinaryString(value)).Ex(ttl).Build()
			return client.Do(ctx, command).Error()
		},
		close: client.Close,
	}
	return made.byHand(rueidis.IsRedisNil), nil
}

func prefixed(label string, keys []string) []string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = label + ":" + key
	}
	return all
}
