package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"scrubjay"
)

func (r *runner) update(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	keys, err := buildKeys(s.Keys)
	if err != nil {
		return err
	}
	options, err := updateOptions(s)
	if err != nil {
		return err
	}
	var runs atomic.Int64
	var broken atomic.Pointer[error]
	fetch, err := r.fetch(cache, s, &runs, &broken)
	if err != nil {
		return err
	}
	receipt, err := scrubjay.Update(ctx, cache, keys, func(ctx context.Context) error {
		_, err := fetch(ctx)
		return err
	}, options...)
	if inside := broken.Load(); inside != nil {
		return fmt.Errorf("inside the write: %w", *inside)
	}
	if err := expectFetches(s, &runs); err != nil {
		return err
	}
	if err != nil || s.ExpectError != "" {
		return expectError(s, err)
	}
	return r.expectReceipt(s, receipt, nil)
}

func updateOptions(s step) ([]scrubjay.UpdateOption, error) {
	options := []scrubjay.UpdateOption{scrubjay.WithUpdatedTags(s.Tags...)}
	for name, text := range s.Options {
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return nil, err
		}
		seconds, _ := value.(float64)
		switch duration := time.Duration(seconds * float64(time.Second)); name {
		case "intent_ttl":
			options = append(options, scrubjay.WithIntentTTL(duration))
		case "hold":
			options = append(options, scrubjay.WithHold(duration))
		case "strict":
			if value == true {
				options = append(options, scrubjay.Strict())
			}
		default:
			return nil, fmt.Errorf("unknown option %q", name)
		}
	}
	return options, nil
}

func (r *runner) explain(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	key, err := buildKey(s.Key)
	if err != nil {
		return err
	}
	seen, err := cache.Explain(ctx, key)
	if err != nil || s.ExpectError != "" {
		return expectError(s, err)
	}
	writers := 0
	if seen.Hold != nil {
		writers = seen.Hold.Writers
	}
	actual := map[string]any{
		"tier": orNull(seen.Tier), "reason": seen.Reason, "stale": seen.Stale, "codec": orNull(seen.Codec),
		"bytes": orNull(seen.Bytes), "negative": seen.Negative, "reachable": seen.Reachable, "tags": seen.Tags,
		"writers": writers, "loading": seen.Lease != nil,
	}
	var expected map[string]json.RawMessage
	if err := json.Unmarshal(s.Expect, &expected); err != nil {
		return err
	}
	for field, value := range expected {
		text, err := json.Marshal(actual[field])
		if _, ok := actual[field]; !ok || err != nil || string(text) != string(value) {
			return fmt.Errorf("%s is %s, expected %s", field, text, value)
		}
	}
	return nil
}

// orNull is nil for nothing, as the corpus says it.
func orNull[T comparable](value T) any {
	var nothing T
	if value == nothing {
		return nil
	}
	return value
}
