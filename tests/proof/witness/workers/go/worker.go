package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"scrubjay"
)

type config struct {
	Options json.RawMessage `json:"options"`
	Truth   string          `json:"truth"`
	Log     string          `json:"log"`
	Worker  uint32          `json:"worker"`
	Workers uint32          `json:"workers"`
	Keys    uint32          `json:"keys"`
	Readers int             `json:"readers"`
	Pace    float64         `json:"pace"`
	Writes  float64         `json:"writes"`
	Padding int             `json:"padding"`
	Fail    float64         `json:"fail"`
	Seed    uint64          `json:"seed"`
}

// value names its key and its version.
type value struct {
	K uint32 `json:"k"`
	V int64  `json:"v"`
	P string `json:"p"`
}

// worker is what all readers and the writer share.
type worker struct {
	config         config
	cache          *scrubjay.CacheService
	truth          *truth
	log            *log
	padding        string
	stoppedReading atomic.Bool
	stoppedWriting atomic.Bool
	// How many writes have returned that had not reached the shared tier, and how many of these have since.
	returned, landed atomic.Uint64
}

func newWorker(config config) (*worker, error) {
	cache, err := scrubjay.OpenJSON(config.Options)
	if err != nil {
		return nil, err
	}
	truth, err := connectTruth(config.Truth)
	if err != nil {
		return nil, err
	}
	log, err := openLog(config.Log, uint16(config.Worker))
	if err != nil {
		return nil, err
	}
	return &worker{
		config:  config,
		cache:   cache,
		truth:   truth,
		log:     log,
		padding: strings.Repeat(".", config.Padding),
	}, nil
}

// bound is the staleness that the cache claims now.
func (w *worker) bound() time.Duration { return w.cache.EffectiveStalenessBound() }

func (w *worker) value(key uint32, ver int64) value { return value{K: key, V: ver, P: w.padding} }

func (w *worker) isPending() bool { return w.returned.Load() > w.landed.Load() }

func name(key uint32) string { return "key:" + strconv.FormatUint(uint64(key), 10) }

func names(keys []uint32) []string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = name(key)
	}
	return list
}

// number is the key of a name.
func number(name string) uint32 {
	key, err := strconv.ParseUint(strings.TrimPrefix(name, "key:"), 10, 32)
	if err != nil {
		fail(fmt.Errorf("no name of ours: %w", err))
	}
	return uint32(key)
}

// ttl of a key: some values end soon, so that they are refreshed and loaded again without any write.
func ttl(key uint32) time.Duration {
	if key%8 == 5 {
		return 300 * time.Millisecond
	}
	return time.Minute
}

// isAbsent tells whether this version of the key says that there is nothing.
func isAbsent(key uint32, ver int64) bool { return key%4 == 3 && ver%4 == 3 }
