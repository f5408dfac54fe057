package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"scrubjay"
)

// A runner has the caches of one scenario and does its steps.
type runner struct {
	defaults map[string]any
	mutex    sync.Mutex
	caches   map[string]*scrubjay.CacheService
	// tokens are those of receipts, by the names under which they are remembered.
	tokens map[string]scrubjay.Token
}

func newRunner(defaults map[string]any) *runner {
	return &runner{defaults: defaults, caches: map[string]*scrubjay.CacheService{}, tokens: map[string]scrubjay.Token{}}
}

// operations has what each operation does.
var operations map[string]func(*runner, context.Context, *scrubjay.CacheService, step) error

func init() {
	// Here, because some of them run steps themselves.
	operations = map[string]func(*runner, context.Context, *scrubjay.CacheService, step) error{
		"get":               (*runner).get,
		"set":               (*runner).set,
		"delete":            (*runner).delete,
		"clear":             (*runner).clear,
		"invalidate_tags":   (*runner).invalidateTags,
		"get_many":          (*runner).getMany,
		"set_many":          (*runner).setMany,
		"delete_many":       (*runner).deleteMany,
		"get_or_fetch":      (*runner).getOrFetch,
		"get_or_fetch_many": (*runner).getOrFetchMany,
		"concurrent":        (*runner).concurrent,
		"stats":             (*runner).stats,
		"update":            (*runner).update,
		"explain":           (*runner).explain,
		"close":             (*runner).close,
		"observe":           (*runner).observe,
	}
}

func (r *runner) step(ctx context.Context, s step) error {
	if s.Cache == "" {
		s.Cache = "a"
	}
	switch s.Op {
	case "open":
		return expectError(s, r.open(s.Cache, s.Options))
	case "eventually":
		return r.eventually(ctx, s)
	}
	operation, ok := operations[s.Op]
	if !ok {
		return fmt.Errorf("unknown operation %q", s.Op)
	}
	r.mutex.Lock()
	cache, ok := r.caches[s.Cache]
	r.mutex.Unlock()
	if !ok {
		return fmt.Errorf("no cache %q is open", s.Cache)
	}
	return operation(r, ctx, cache, s)
}

// open opens a cache under a name, with the defaults of the scenario where the options do not say.
func (r *runner) open(name string, options map[string]json.RawMessage) error {
	all := map[string]any{}
	for option, value := range r.defaults {
		all[option] = value
	}
	for option, value := range options {
		plain, err := build(value)
		if err != nil {
			return err
		}
		all[option] = plain
		if _, err := json.Marshal(plain); err != nil {
			// A number that JSON does not have: its description is no number either, and as wrong.
			all[option] = value
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	cache, err := scrubjay.OpenJSON(text)
	if err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if before := r.caches[name]; before != nil {
		_ = before.Close()
	}
	r.caches[name] = cache
	return nil
}

func (r *runner) closeAll() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, cache := range r.caches {
		_ = cache.Close()
	}
}

func (r *runner) eventually(ctx context.Context, s step) error {
	if s.Step == nil {
		return errors.New("there is no step to repeat")
	}
	if s.Within == 0 {
		s.Within = 10
	}
	if s.Step.Cache == "" {
		s.Step.Cache = s.Cache
	}
	return poll(ctx, time.Duration(s.Within*float64(time.Second)), func() error { return r.step(ctx, *s.Step) })
}

// poll tries every 5 ms until it succeeds, or returns the error of the first attempt that began after the time: an
// earlier one saw what was allowed then, however long it took to say so.
func poll(ctx context.Context, within time.Duration, try func() error) error {
	deadline := time.Now().Add(within)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		began := time.Now()
		err := try()
		if err == nil {
			return nil
		}
		if began.After(deadline) {
			return fmt.Errorf("not within %v: %w", within, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// An originError is the error of a fetch, as a program would have its own.
type originError struct{ text string }

func (e *originError) Error() string { return e.text }

// kindName is the kind of an error, as the corpus names it.
func kindName(err error) string {
	var (
		origin  *originError
		partial *scrubjay.PartialError
		own     *scrubjay.Error
		kind    scrubjay.Kind
	)
	switch {
	case errors.As(err, &partial):
		return scrubjay.ErrPartial.String()
	case errors.As(err, &origin):
		return scrubjay.ErrFetchFailed.String()
	case errors.As(err, &own):
		return own.Kind.String()
	case errors.As(err, &kind):
		return kind.String()
	case errors.Is(err, context.Canceled):
		return scrubjay.ErrCancelled.String()
	}
	return ""
}

// expectError compares how an operation ended. Where an error is expected it returns nil when that came.
func expectError(s step, err error) error {
	switch {
	case s.ExpectError == "":
		return err
	case err == nil:
		return fmt.Errorf("%s was expected, nothing went wrong", s.ExpectError)
	case kindName(err) != s.ExpectError:
		return fmt.Errorf("%s was expected, not %s: %w", s.ExpectError, kindName(err), err)
	}
	for _, name := range s.ExpectNames {
		if !strings.Contains(err.Error(), name) {
			return fmt.Errorf("%q is not in the message: %w", name, err)
		}
	}
	return nil
}

func expectValue(s step, actual any) error {
	if s.Expect == nil {
		return nil
	}
	expected, err := build(s.Expect)
	if err != nil {
		return err
	}
	if !same(expected, actual) {
		return fmt.Errorf("expected %s, got %s", show(expected), show(actual))
	}
	return nil
}

func ttlOf(s step) time.Duration {
	if s.TTL == nil {
		return scrubjay.DefaultTTL
	}
	return duration(s.TTL)
}

func optionsOf(s step) []scrubjay.SetOption {
	var opts []scrubjay.SetOption
	if s.Codec != "" {
		opts = append(opts, scrubjay.WithCodec(scrubjay.Codec(s.Codec)))
	}
	if s.Tags != nil {
		opts = append(opts, scrubjay.WithTags(s.Tags...))
	}
	return opts
}
