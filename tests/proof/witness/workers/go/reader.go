package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"scrubjay"
)

// errFetch is how the truth fails now and then.
var errFetch = errors.New("the truth failed")

// course is how a fetch goes: it takes its time before and after it looks, and fails now and then.
type course struct {
	before, after time.Duration
	fails         bool
}

func (w *worker) draw(rng *rand.Rand) course {
	pause := func() time.Duration {
		if rng.Float64() < 0.2 {
			return time.Duration(rng.Float64() * float64(5*time.Millisecond))
		}
		return 0
	}
	c := course{before: pause(), after: pause(), fails: rng.Float64() < w.config.Fail}
	if rng.Float64() < 0.02 {
		c.after += 50 * time.Millisecond
	}
	return c
}

func (w *worker) look(keys []uint32, c course) ([]int64, error) {
	time.Sleep(c.before)
	vers := w.truth.read(keys)
	time.Sleep(c.after)
	if c.fails {
		return nil, errFetch
	}
	return vers, nil
}

// readOn reads until it is told to stop, at the pace that it was told.
func (w *worker) readOn(rng *rand.Rand) {
	pace := w.config.Pace / float64(w.config.Readers)
	begun, done := time.Now(), 0
	for !w.stoppedReading.Load() {
		for range 1 + rng.IntN(15) {
			done += w.read(rng)
		}
		ahead := time.Duration(float64(done)/pace*float64(time.Second)) - time.Since(begun)
		if ahead < -500*time.Millisecond {
			// What an outage has kept it from is not made up for.
			begun, done = time.Now(), 0
		}
		time.Sleep(ahead)
	}
}

// read makes one call, and returns how many keys that read.
func (w *worker) read(rng *rand.Rand) int {
	key, kind := rng.Uint32N(w.config.Keys), rng.Float64()
	if kind < 0.45 {
		w.get(key)
		return 1
	}
	if kind < 0.85 {
		w.getOrFetch(key, w.draw(rng), opGetOrFetch)
		return 1
	}
	var keys []uint32
	for _, key := range rng.Perm(int(w.config.Keys))[:2+rng.IntN(5)] {
		keys = append(keys, uint32(key))
	}
	if kind < 0.92 {
		w.getMany(keys)
	} else {
		w.getOrFetchMany(keys, w.draw(rng))
	}
	return len(keys)
}

// found writes down what a read found.
func (w *worker) found(b begun, key uint32, v value, ok bool, flags uint8) {
	if ok {
		w.log.note(b, key, v.V, v.K, flags)
	} else {
		w.log.note(b, key, -1, key, flags|flagMiss)
	}
}

func loadedFlag(loaded *atomic.Bool) uint8 {
	if loaded.Load() {
		return flagLoaded
	}
	return 0
}

func (w *worker) get(key uint32) {
	var v value
	b := begin(opGet, w.bound())
	err := w.cache.Get(context.Background(), name(key), &v)
	if err != nil && !errors.Is(err, scrubjay.ErrMiss) {
		w.log.note(b, key, -1, key, flagFailed)
		return
	}
	w.found(b, key, v, err == nil, 0)
}

func (w *worker) getOrFetch(key uint32, c course, op uint8) {
	// A refresh may run behind this call.
	var loaded atomic.Bool
	b := begin(op, w.bound())
	v, err := scrubjay.GetOrFetch(context.Background(), w.cache, name(key), ttl(key), func(context.Context) (value, error) {
		loaded.Store(true)
		vers, err := w.look([]uint32{key}, c)
		if err != nil {
			return value{}, err
		}
		if isAbsent(key, vers[0]) {
			return value{}, scrubjay.ErrNotFound
		}
		return w.value(key, vers[0]), nil
	})
	flags := loadedFlag(&loaded)
	switch {
	case errors.Is(err, scrubjay.ErrNotFound):
		w.log.note(b, key, -1, key, flags|flagNegative)
	case err != nil:
		w.log.note(b, key, -1, key, flags|flagFailed)
	default:
		w.found(b, key, v, true, flags)
	}
}

func (w *worker) getMany(keys []uint32) {
	var flags uint8
	b := begin(opGetMany, w.bound())
	values, err := scrubjay.GetMany[value](context.Background(), w.cache, names(keys))
	if err != nil {
		flags = flagFailed
	}
	for _, key := range keys {
		v, ok := values[name(key)]
		w.found(b, key, v, ok, flags)
	}
}

func (w *worker) getOrFetchMany(keys []uint32, c course) {
	var loaded atomic.Bool
	b := begin(opGetOrFetchMany, w.bound())
	load := func(_ context.Context, missing []string) (map[string]value, error) {
		loaded.Store(true)
		numbers := make([]uint32, len(missing))
		for i, name := range missing {
			numbers[i] = number(name)
		}
		vers, err := w.look(numbers, c)
		if err != nil {
			return nil, err
		}
		values := map[string]value{}
		for i, key := range numbers {
			if !isAbsent(key, vers[i]) {
				values[name(key)] = w.value(key, vers[i])
			}
		}
		return values, nil
	}
	values, err := scrubjay.GetOrFetchMany(context.Background(), w.cache, names(keys), time.Minute, load)
	var partial *scrubjay.PartialError
	whole := err != nil && !errors.As(err, &partial)
	for _, key := range keys {
		flags := loadedFlag(&loaded)
		if whole || (partial != nil && partial.Failed[name(key)] != nil) {
			flags |= flagFailed
		}
		v, ok := values[name(key)]
		w.found(b, key, v, ok, flags)
	}
}

// readLast reads every key once more.
func (w *worker) readLast() {
	for key := range w.config.Keys {
		w.getOrFetch(key, course{}, opLast)
	}
	w.log.flush()
}
