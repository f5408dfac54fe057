package main

import (
	"context"
	"math/rand/v2"
	"time"

	"scrubjay"
)

// writeOn writes until it is told to stop.
func (w *worker) writeOn(rng *rand.Rand) {
	for !w.stoppedWriting.Load() {
		time.Sleep(time.Duration(rng.ExpFloat64() / w.config.Writes * float64(time.Second)))
		w.write(rng)
	}
}

// write makes a new version in the truth; then the key is deleted, or set by the only one who writes it.
func (w *worker) write(rng *rand.Rand) {
	key, ok := w.choose(rng)
	if !ok {
		return
	}
	b := begin(opDelete, 0)
	ver := w.truth.write(key)
	if rng.Float64() < 0.3 {
		time.Sleep(time.Duration(rng.Float64() * float64(3*time.Millisecond)))
	}
	if key%2 == 0 && rng.Float64() < 0.5 && !isAbsent(key, ver) {
		b.op = opSet
	}
	var flags uint8
	receipt := w.acknowledged(b.op, key, ver)
	if receipt.Pending {
		flags = flagPending
	}
	w.log.note(b, key, ver, key, flags)
	if receipt.Pending {
		w.returned.Add(1)
	}
}

func (w *worker) acknowledged(op uint8, key uint32, ver int64) scrubjay.Receipt {
	for {
		var receipt scrubjay.Receipt
		var err error
		if op == opSet {
			receipt, err = w.cache.Set(context.Background(), name(key), w.value(key, ver), ttl(key))
		} else {
			receipt, err = w.cache.Delete(context.Background(), name(key))
		}
		if err == nil {
			return receipt
		}
		// Nothing has happened then.
		time.Sleep(20 * time.Millisecond)
	}
}

// choose an odd key, or an even one of this worker.
func (w *worker) choose(rng *rand.Rand) (uint32, bool) {
	key := rng.Uint32N(w.config.Keys)
	if key%2 == 1 {
		return key, true
	}
	own := (key/2/w.config.Workers*w.config.Workers + w.config.Worker) * 2
	return own, own < w.config.Keys
}

// watchLanding writes down when what was pending has landed, and lets the log be seen.
func (w *worker) watchLanding() {
	for {
		// In this order: what is covered was written down before the record of its landing begins.
		returned := w.returned.Load()
		b := begin(opLanded, 0)
		if w.isPending() && w.cache.Stats().Pending == 0 {
			w.log.note(b, 0, -1, 0, 0)
			w.landed.Store(returned)
		}
		w.log.flush()
		// Nobody needs it; but where it is moved, this shows that it was.
		clockOfTheDay()
		time.Sleep(20 * time.Millisecond)
	}
}
