package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"scrubjay"
)

// leaderPatience is how long a leader waits for the others to wait for it.
const leaderPatience = 20 * time.Second

// fetch makes the fetch that a step describes. runs counts its runs; a step that fails inside it is in broken.
func (r *runner) fetch(cache *scrubjay.CacheService, s step, runs *atomic.Int64, broken *atomic.Pointer[error]) (func(context.Context) (any, error), error) {
	spec := s.Fetch
	if spec == nil {
		return nil, errors.New("there is no fetch")
	}
	var value any
	if spec.Value != nil {
		var err error
		if value, err = build(spec.Value); err != nil {
			return nil, err
		}
	}
	var recursive string
	if spec.Recursive != nil {
		var err error
		if recursive, err = buildKey(spec.Recursive); err != nil {
			return nil, err
		}
	}
	// One error for all runs: the callers must be given this very one.
	var failure error
	switch {
	case spec.Error != nil:
		failure = &originError{*spec.Error}
	case spec.NotFound:
		failure = scrubjay.ErrNotFound
	case spec.Value == nil && spec.Recursive == nil:
		return nil, errors.New("the fetch has no result")
	}
	var fetch func(context.Context) (any, error)
	fetch = func(ctx context.Context) (any, error) {
		runs.Add(1)
		if err := r.steps(ctx, spec.During); err != nil {
			broken.Store(&err)
		}
		if spec.Recursive != nil {
			return scrubjay.GetOrFetch(ctx, cache, recursive, ttlOf(s), fetch, optionsOf(s)...)
		}
		scrubjay.StoreAs(ctx, spec.options()...)
		return value, failure
	}
	return fetch, nil
}

// options is what the fetch says of the storing of its value.
func (f *fetchSpec) options() []scrubjay.SetOption {
	var opts []scrubjay.SetOption
	if f.TTL != nil {
		opts = append(opts, scrubjay.WithTTL(ttlOf(step{TTL: f.TTL})))
	}
	if f.Tags != nil {
		opts = append(opts, scrubjay.WithTags(f.Tags...))
	}
	return opts
}

func (r *runner) getOrFetch(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	key, err := buildKey(s.Key)
	if err != nil {
		return err
	}
	var runs atomic.Int64
	var broken atomic.Pointer[error]
	fetch, err := r.fetch(cache, s, &runs, &broken)
	if err != nil {
		return err
	}
	actual, err := scrubjay.GetOrFetch(ctx, cache, key, ttlOf(s), fetch, optionsOf(s)...)
	if inside := broken.Load(); inside != nil {
		return fmt.Errorf("inside the fetch: %w", *inside)
	}
	if err := expectFetches(s, &runs); err != nil {
		return err
	}
	if err := expectError(s, err); err != nil || s.ExpectError != "" {
		return err
	}
	return expectValue(s, actual)
}

func expectFetches(s step, runs *atomic.Int64) error {
	if s.ExpectFetches != nil && runs.Load() != *s.ExpectFetches {
		return fmt.Errorf("the fetch ran %d times, expected %d", runs.Load(), *s.ExpectFetches)
	}
	return nil
}

// outcome is how one of many callers ended.
type outcome struct {
	value any
	err   error
	// led: the first to run its fetch.
	led      bool
	panicked any
}

// concurrent lets many callers ask for one key at once. The first fetch returns when all others wait for it.
func (r *runner) concurrent(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	key, err := buildKey(s.Key)
	if err != nil {
		return err
	}
	var runs atomic.Int64
	var broken atomic.Pointer[error]
	fetch, err := r.fetch(cache, s, &runs, &broken)
	if err != nil {
		return err
	}
	switch s.Leader {
	case "", "cancel", "panic":
	default:
		return fmt.Errorf("unknown leader %q", s.Leader)
	}
	before := cache.Stats().Waits
	othersWait := func() {
		err := poll(ctx, leaderPatience, func() error {
			if waits := cache.Stats().Waits - before; waits < uint64(s.Count-1) {
				return fmt.Errorf("%d callers wait, expected %d", waits, s.Count-1)
			}
			return nil
		})
		if err != nil {
			broken.Store(&err)
		}
	}
	var first atomic.Bool
	outcomes := make([]outcome, s.Count)
	var callers sync.WaitGroup
	for i := range outcomes {
		callers.Add(1)
		go func() {
			defer callers.Done()
			mine := &outcomes[i]
			defer func() { mine.panicked = recover() }()
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			mine.value, mine.err = scrubjay.GetOrFetch(own, cache, key, ttlOf(s), func(ctx context.Context) (any, error) {
				if !first.CompareAndSwap(false, true) {
					return fetch(ctx)
				}
				mine.led = true
				othersWait()
				switch s.Leader {
				case "cancel":
					runs.Add(1)
					cancel()
					<-ctx.Done()
					return nil, ctx.Err()
				case "panic":
					runs.Add(1)
					panic("the leader panics")
				}
				return fetch(ctx)
			}, optionsOf(s)...)
		}()
	}
	callers.Wait()
	if inside := broken.Load(); inside != nil {
		return *inside
	}
	if err := expectFetches(s, &runs); err != nil {
		return err
	}
	return expectOutcomes(s, outcomes)
}

func expectOutcomes(s step, outcomes []outcome) error {
	var shared error
	for i, o := range outcomes {
		switch {
		case o.led && s.Leader == "cancel":
			if !errors.Is(o.err, context.Canceled) {
				return fmt.Errorf("the cancelled leader got %s, %v", show(o.value), o.err)
			}
		case o.led && s.Leader == "panic":
			if o.panicked == nil {
				return errors.New("the panic did not reach the leader's caller")
			}
		case o.panicked != nil:
			return fmt.Errorf("caller %d panicked: %v", i, o.panicked)
		case s.ExpectError != "":
			if err := expectError(s, o.err); err != nil {
				return fmt.Errorf("caller %d: %w", i, err)
			}
			if shared == nil {
				shared = o.err
			}
			if s.Fetch.Error != nil && o.err != shared {
				return fmt.Errorf("caller %d got another error object", i)
			}
		case o.err != nil:
			return fmt.Errorf("caller %d: %w", i, o.err)
		default:
			if err := expectValue(s, o.value); err != nil {
				return fmt.Errorf("caller %d: %w", i, err)
			}
		}
	}
	return nil
}
