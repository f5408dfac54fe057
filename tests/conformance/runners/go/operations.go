package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"scrubjay"
)

func (r *runner) get(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	key, err := buildKey(s.Key)
	if err != nil {
		return err
	}
	var actual any
	err = cache.Get(ctx, key, &actual)
	switch {
	case s.ExpectMiss:
		if !errors.Is(err, scrubjay.ErrMiss) {
			return fmt.Errorf("a miss was expected, got %s, %v", show(actual), err)
		}
		return nil
	case err != nil || s.ExpectError != "":
		return expectError(s, err)
	}
	return expectValue(s, actual)
}

func (r *runner) set(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	key, err := buildKey(s.Key)
	if err != nil {
		return err
	}
	value, err := build(s.Value)
	if err != nil {
		return err
	}
	receipt, err := cache.Set(ctx, key, value, ttlOf(s), optionsOf(s)...)
	return r.expectReceipt(s, receipt, err)
}

func (r *runner) delete(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	key, err := buildKey(s.Key)
	if err != nil {
		return err
	}
	receipt, err := cache.Delete(ctx, key)
	return r.expectReceipt(s, receipt, err)
}

func (r *runner) clear(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	receipt, err := cache.Clear(ctx)
	return r.expectReceipt(s, receipt, err)
}

func (r *runner) invalidateTags(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	receipt, err := cache.InvalidateTags(ctx, s.Tags...)
	return r.expectReceipt(s, receipt, err)
}

func (r *runner) expectReceipt(s step, receipt scrubjay.Receipt, err error) error {
	if err := expectError(s, err); err != nil {
		return err
	}
	if s.ExpectPending != nil && receipt.Pending != *s.ExpectPending {
		return fmt.Errorf("pending is %v", receipt.Pending)
	}
	if s.Remember != "" {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.tokens[s.Remember] = receipt.Token
	}
	return nil
}

func (r *runner) observe(_ context.Context, cache *scrubjay.CacheService, s step) error {
	keys, err := buildKeys(s.Keys)
	if err != nil {
		return err
	}
	text := s.Token
	if s.TokenOf != "" {
		r.mutex.Lock()
		token, ok := r.tokens[s.TokenOf]
		r.mutex.Unlock()
		if !ok {
			return fmt.Errorf("no token %q is remembered", s.TokenOf)
		}
		text = token.String()
	}
	token, err := scrubjay.ParseToken(text)
	if err == nil {
		err = cache.Observe(token, keys...)
	}
	return expectError(s, err)
}

func (r *runner) getMany(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	keys, err := buildKeys(s.Keys)
	if err != nil {
		return err
	}
	actual, err := scrubjay.GetMany[any](ctx, cache, keys)
	if err := expectError(s, err); err != nil || s.ExpectError != "" {
		return err
	}
	return expectEntries(s, actual)
}

func (r *runner) setMany(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	entries, err := buildEntries(s.Entries)
	if err != nil {
		return err
	}
	receipt, err := scrubjay.SetMany(ctx, cache, entries, ttlOf(s), optionsOf(s)...)
	return r.expectReceipt(s, receipt, err)
}

func (r *runner) deleteMany(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	keys, err := buildKeys(s.Keys)
	if err != nil {
		return err
	}
	receipt, err := cache.DeleteMany(ctx, keys)
	return r.expectReceipt(s, receipt, err)
}

// expectEntries compares a map with the pairs expected: these keys, no others.
func expectEntries(s step, actual map[string]any) error {
	if s.Expect == nil {
		return nil
	}
	var pairs [][2]json.RawMessage
	if err := decodeStrict(s.Expect, &pairs); err != nil {
		return err
	}
	expected, err := buildEntries(pairs)
	if err != nil {
		return err
	}
	if !same(expected, actual) {
		return fmt.Errorf("expected %s, got %s", show(expected), show(actual))
	}
	return nil
}

func (r *runner) stats(_ context.Context, cache *scrubjay.CacheService, s step) error {
	text, err := json.Marshal(cache.Stats())
	if err != nil {
		return err
	}
	var actual, expected map[string]json.RawMessage
	if err := json.Unmarshal(text, &actual); err != nil {
		return err
	}
	if err := json.Unmarshal(s.Expect, &expected); err != nil {
		return err
	}
	for field, value := range expected {
		if string(actual[field]) != string(value) {
			return fmt.Errorf("%s is %s, expected %s", field, actual[field], value)
		}
	}
	return nil
}

func (r *runner) close(_ context.Context, cache *scrubjay.CacheService, s step) error {
	return expectError(s, cache.Close())
}

func (r *runner) getOrFetchMany(ctx context.Context, cache *scrubjay.CacheService, s step) error {
	keys, err := buildKeys(s.Keys)
	if err != nil {
		return err
	}
	if s.Fetch == nil {
		return errors.New("there is no fetch")
	}
	values, err := buildEntries(s.Fetch.Values)
	if err != nil {
		return err
	}
	asked := [][]string{}
	actual, err := scrubjay.GetOrFetchMany(ctx, cache, keys, ttlOf(s), func(ctx context.Context, missing []string) (map[string]any, error) {
		asked = append(asked, missing)
		switch {
		case s.Fetch.Error != nil:
			return nil, &originError{*s.Fetch.Error}
		case s.Fetch.NotFound:
			return nil, scrubjay.ErrNotFound
		}
		for _, key := range missing {
			scrubjay.StoreKeyAs(ctx, key, s.Fetch.options()...)
		}
		return values, r.steps(ctx, s.Fetch.During)
	}, optionsOf(s)...)
	var partial *scrubjay.PartialError
	if errors.As(err, &partial) && s.ExpectFailed != nil {
		if err := expectFailed(s, partial); err != nil {
			return err
		}
		if s.ExpectError == "" {
			err = nil
		}
	} else if s.ExpectFailed != nil {
		return fmt.Errorf("a partial failure was expected, got %v", err)
	}
	if err := expectError(s, err); err != nil {
		return err
	}
	if s.ExpectMissing != nil {
		expected := make([][]string, len(s.ExpectMissing))
		for i, texts := range s.ExpectMissing {
			if expected[i], err = buildKeys(texts); err != nil {
				return err
			}
		}
		if fmt.Sprintf("%q", expected) != fmt.Sprintf("%q", asked) {
			return fmt.Errorf("the fetch was asked for %q, expected %q", asked, expected)
		}
	}
	return expectEntries(s, actual)
}

func expectFailed(s step, partial *scrubjay.PartialError) error {
	expected, err := buildKeys(s.ExpectFailed)
	if err != nil {
		return err
	}
	var actual []string
	for key := range partial.Failed {
		actual = append(actual, key)
	}
	sort.Strings(expected)
	sort.Strings(actual)
	if fmt.Sprintf("%q", expected) != fmt.Sprintf("%q", actual) {
		return fmt.Errorf("failed are %q, expected %q", actual, expected)
	}
	return nil
}
