package scrubjay

import (
	"context"
	"time"
)

// GetMany reads these keys in one go and returns the values of those that have one.
func GetMany[T any](ctx context.Context, cache *CacheService, keys []string) (map[string]T, error) {
	values := make(map[string]T, len(keys))
	asked, err := takeCopies(ctx, cache, keys, values)
	if err != nil {
		return nil, err
	}
	if len(asked) == 0 && len(values) > 0 {
		return values, nil
	}
	flat := flatten(asked)
	call, answer, err := cache.do(ctx, "get_many", func(call *call) (reply, bool) { return capiGetMany(cache.handle, call, flat) })
	if err != nil {
		return nil, err
	}
	defer call.release()
	for i, item := range answer.items(len(asked)) {
		if item.status != statusHit {
			continue
		}
		value, err := decodeKept[T](cache, asked[i], item)
		if err != nil {
			capiNoteUndecodable(cache.handle, asked[i])
			continue
		}
		values[asked[i]] = value
	}
	return values, nil
}

// SetMany stores these values in one go, each for ttl: 1 ms to 365 days, or [DefaultTTL].
func SetMany[T any](ctx context.Context, cache *CacheService, values map[string]T, ttl time.Duration, opts ...SetOption) (Receipt, error) {
	var entries flatEntries
	for key, value := range values {
		bytes, err := encode("set_many", value)
		if err != nil {
			return Receipt{}, err
		}
		entries.add(key, bytes)
		bytes.release()
	}
	put := newPut(ttl, opts)
	return cache.write(ctx, "set_many", func(call *call) (reply, bool) { return capiSetMany(cache.handle, call, &entries, put) })
}

// flat is many byte strings as the library takes them: one buffer, and where each ends.
type flat struct {
	bytes []byte
	ends  []uint64
}

func (f *flat) add(text string) {
	f.bytes = append(f.bytes, text...)
	f.ends = append(f.ends, uint64(len(f.bytes)))
}

func flatten(keys []string) flat {
	size := 0
	for _, key := range keys {
		size += len(key)
	}
	f := flat{bytes: make([]byte, 0, size), ends: make([]uint64, 0, len(keys))}
	for _, key := range keys {
		f.add(key)
	}
	return f
}

// flatEntries are keys and values.
type flatEntries struct {
	keys   flat
	values flat
	codecs []uint32
}

func (f *flatEntries) add(key string, value encoded) {
	f.keys.add(key)
	f.values.bytes = append(f.values.bytes, value.bytes...)
	f.values.ends = append(f.values.ends, uint64(len(f.values.bytes)))
	f.codecs = append(f.codecs, value.codec)
}

// unique is keys without repetitions, each where it came first.
func unique(keys []string) []string {
	seen := make(map[string]struct{}, len(keys))
	once := make([]string, 0, len(keys))
	for _, key := range keys {
		if _, again := seen[key]; !again {
			seen[key] = struct{}{}
			once = append(once, key)
		}
	}
	return once
}

// list is what the strings were.
func (f *flat) list() []string {
	list := make([]string, len(f.ends))
	start := uint64(0)
	for i, end := range f.ends {
		list[i], start = string(f.bytes[start:end]), end
	}
	return list
}
