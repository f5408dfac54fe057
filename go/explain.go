package scrubjay

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// An Explanation is what a cache knows of one key. What there is not is zero.
type Explanation struct {
	// Tier would answer a read now: "l1", the memory of this process, "l2", the shared tier, or "": a miss.
	Tier string
	// Reason is why: "fresh", "absent", "expired", "invalidated", "held" (a writer is at work), "loading", "pending" (an
	// invalidation has not landed), "damaged", "foreign" (of another release) or "unreachable".
	Reason string
	// Stale: there is a value past its time, for when a fetch fails or is slow.
	Stale bool
	// Age is how long ago the value was stored.
	Age time.Duration
	// TTL is how long it stays fresh; negative where it is not any more.
	TTL time.Duration
	// StaleTTL is how long it may be served stale from now on, its fresh time included.
	StaleTTL time.Duration
	// Version is the number of its write in the sequence of the shared tier.
	Version uint64
	// Tags are the tags of the value.
	Tags []string
	// Lease is who loads it now, nil for nobody.
	Lease *LeaseSeen
	// Hold is of the writers that are between their intent and their invalidation, nil for none.
	Hold *HoldSeen
	// LoadTime is how long its last load took.
	LoadTime time.Duration
	// Codec is "json", "msgpack" or "raw".
	Codec string
	// Bytes is the length of the value as it is stored.
	Bytes int
	// Negative: it is a remembered "not found".
	Negative bool
	// Reachable: the shared tier could be asked, or there is none.
	Reachable bool
}

// LeaseSeen is a load that goes on.
type LeaseSeen struct {
	// Here: this process loads, and not another one.
	Here bool
	// Left is how long it has, unless it is extended.
	Left time.Duration
}

// HoldSeen is of writers that are at work.
type HoldSeen struct {
	// Writers is how many there are. One that died counts until its time is over.
	Writers int
	// Left is when the last of them is given up.
	Left time.Duration
}

// explained is an explanation as the library writes it.
type explained struct {
	Tier     string   `json:"tier"`
	Reason   string   `json:"reason"`
	Stale    bool     `json:"stale"`
	Age      float64  `json:"age"`
	TTL      float64  `json:"ttl"`
	StaleTTL float64  `json:"stale_ttl"`
	Version  uint64   `json:"version"`
	Tags     []string `json:"tags"`
	Lease    *struct {
		Here bool    `json:"here"`
		Left float64 `json:"left"`
	} `json:"lease"`
	Hold *struct {
		Writers int     `json:"writers"`
		Left    float64 `json:"left"`
	} `json:"hold"`
	LoadMS    int64  `json:"load_ms"`
	Codec     string `json:"codec"`
	Bytes     int    `json:"bytes"`
	Negative  bool   `json:"negative"`
	Reachable bool   `json:"reachable"`
}

// Explain returns what the cache knows of key: which tier would answer and why, its age and lives, who loads it and who
// is about to write it. It tells neither value nor key, changes nothing and counts as no read.
func (c *CacheService) Explain(ctx context.Context, key string) (Explanation, error) {
	call, answer, err := c.do(ctx, "explain", func(call *call) (reply, bool) { return capiExplain(c.handle, call, key) })
	if err != nil {
		return Explanation{}, err
	}
	defer call.release()
	var found explained
	if err := json.Unmarshal(answer.value, &found); err != nil {
		return Explanation{}, newError(ErrInternal, "explain", "the library's answer does not decode: %v", err)
	}
	seen := Explanation{
		Tier: found.Tier, Reason: found.Reason, Stale: found.Stale,
		Age: fromSeconds(found.Age), TTL: fromSeconds(found.TTL), StaleTTL: fromSeconds(found.StaleTTL),
		Version: found.Version, Tags: found.Tags, LoadTime: time.Duration(found.LoadMS) * time.Millisecond,
		Codec: found.Codec, Bytes: found.Bytes, Negative: found.Negative, Reachable: found.Reachable,
	}
	if lease := found.Lease; lease != nil {
		seen.Lease = &LeaseSeen{Here: lease.Here, Left: fromSeconds(lease.Left)}
	}
	if hold := found.Hold; hold != nil {
		seen.Hold = &HoldSeen{Writers: hold.Writers, Left: fromSeconds(hold.Left)}
	}
	return seen, nil
}

func fromSeconds(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1e3)) * time.Millisecond
}
