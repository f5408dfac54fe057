package scrubjay

import (
	"context"
	"errors"
	"time"
)

// GetOrFetchMany returns the values of keys. It runs fetch once with those that have none and that nobody else is
// loading, in the order of keys, stores what that returns for ttl, and waits for what others are loading; when such
// a load is abandoned, fetch runs for that key.
//
// A key that fetch leaves out of its map stays absent. When keys fail, the values of the others are returned
// together with a [*PartialError]. The rest is as in [GetOrFetch].
func GetOrFetchMany[T any](ctx context.Context, cache *CacheService, keys []string, ttl time.Duration, fetch func(ctx context.Context, missing []string) (map[string]T, error), opts ...SetOption) (map[string]T, error) {
	keys = unique(keys)
	load := manyLoad[T]{
		cache:  cache,
		put:    newPut(ttl, opts),
		fetch:  fetch,
		values: make(map[string]T, len(keys)),
		failed: map[string]error{},
	}
	asked, err := takeCopies(ctx, cache, keys, load.values)
	if err != nil {
		return nil, err
	}
	if err := load.run(ctx, asked); err != nil {
		return nil, err
	}
	if len(load.failed) > 0 {
		return load.values, &PartialError{Failed: load.failed, Values: load.values}
	}
	return load.values, nil
}

const opFetchMany = "get_or_fetch_many"

// errAbsent is the fetch of one key that fetch(missing) left out: no failure, the lease goes back.
var errAbsent = errors.New("scrubjay: the fetch left the key out")

type manyLoad[T any] struct {
	cache  *CacheService
	put    put
	fetch  func(context.Context, []string) (map[string]T, error)
	values map[string]T
	failed map[string]error
}

// led is a key that this caller is to load. Lease 0: unshared, and nothing is stored.
type led struct {
	key   string
	lease uint64
}

func (m *manyLoad[T]) run(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return m.cache.failure
	}
	flat := flatten(keys)
	start := func(call *call) (reply, bool) {
		return capiBeginMany(m.cache.handle, call, flat, m.put, heldLeases(ctx))
	}
	call, answer, err := m.cache.doWith(ctx, opFetchMany, newManyCall(len(keys)), start)
	if err != nil {
		return err
	}
	var (
		leads, refresh []led
		again          []string
		others         = waitingKeys{call: call, cache: m.cache, keys: map[uint64]string{}}
	)
	defer others.withdraw()
	for i, item := range answer.items(len(keys)) {
		switch item.status {
		case statusWaiting:
			others.add(call.token+1+uint64(i), keys[i])
		default:
			m.settle(keys[i], *item, &leads, &refresh, &again)
		}
	}
	m.refreshBehind(ctx, refresh)
	if err := m.lead(ctx, leads); err != nil {
		return err
	}
	for _, key := range again {
		if err := m.loadAgain(ctx, key); err != nil {
			return err
		}
	}
	for len(others.keys) > 0 {
		key, answer, err := others.next(ctx)
		if err != nil {
			return err
		}
		var leads, refresh []led
		var again []string
		m.settle(key, answer, &leads, &refresh, &again)
		m.refreshBehind(ctx, refresh)
		if err := m.lead(ctx, leads); err != nil {
			return err
		}
		if len(again) > 0 {
			if err := m.loadAgain(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle sorts the answer for one key: a value, an error, or something still to be done.
func (m *manyLoad[T]) settle(key string, answer reply, leads, refresh *[]led, again *[]string) {
	switch {
	case answer.status < 0:
		m.failed[key] = answer.failure(opFetchMany)
	case answer.status == statusLead || answer.status == statusBypass:
		*leads = append(*leads, led{key, answer.lease})
	default:
		value, err := decodeKept[T](m.cache, key, &answer)
		if err == nil {
			m.values[key] = value
			if answer.lease != 0 {
				*refresh = append(*refresh, led{key, answer.lease})
			}
			return
		}
		capiNoteUndecodable(m.cache.handle, key)
		if answer.lease != 0 {
			*leads = append(*leads, led{key, answer.lease})
		} else {
			*again = append(*again, key)
		}
	}
}

// lead runs fetch once for these keys and answers their leases. It fails only when ctx is over.
func (m *manyLoad[T]) lead(ctx context.Context, leads []led) error {
	if len(leads) == 0 {
		return nil
	}
	keys, leases := make([]string, len(leads)), make([]uint64, 0, len(leads))
	for i, lead := range leads {
		keys[i] = lead.key
		if lead.lease != 0 {
			leases = append(leases, lead.lease)
		}
	}
	answered := 0
	defer func() {
		for _, lead := range leads[answered:] {
			m.abandon(lead)
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	inside, scope := withLease(ctx, leases...)
	fetched, err := m.fetch(inside, keys)
	if err != nil && isEndOf(ctx, err) {
		return err
	}
	for _, lead := range leads {
		answered++
		value, found := fetched[lead.key]
		switch {
		case err != nil:
			m.fail(lead, kindOf(err), err)
		case found:
			m.fulfil(lead, value, scope.put(m.put, lead.key))
		default:
			m.abandon(lead)
		}
	}
	return nil
}

func (m *manyLoad[T]) abandon(lead led) {
	if lead.lease != 0 {
		capiAbandon(m.cache.handle, lead.lease)
	}
}

func (m *manyLoad[T]) fulfil(lead led, value T, put put) {
	if lead.lease == 0 {
		m.values[lead.key] = value
		return
	}
	bytes, err := encode(opFetchMany, value)
	if err != nil {
		m.fail(lead, ErrInvalidValue, err)
		return
	}
	defer bytes.release()
	if err := capiFulfil(m.cache.handle, lead.lease, bytes, put); err != nil {
		m.failed[lead.key] = err
		return
	}
	m.values[lead.key] = value
}

func (m *manyLoad[T]) fail(lead led, kind Kind, err error) {
	if lead.lease == 0 {
		m.failed[lead.key] = err
		return
	}
	if value, err := failed[T](m.cache, lead.lease, kind, err, false); err != nil {
		m.failed[lead.key] = err
	} else {
		m.values[lead.key] = value
	}
}

// loadAgain loads a key whose stored value is of another type, past what is stored.
func (m *manyLoad[T]) loadAgain(ctx context.Context, key string) error {
	value, err := load(ctx, m.cache, key, m.put, true, func(ctx context.Context) (T, error) {
		fetched, err := m.fetch(ctx, []string{key})
		scopeOf(ctx).alone(key)
		value, found := fetched[key]
		if err == nil && !found {
			err = errAbsent
		}
		return value, err
	})
	switch {
	case err == nil:
		m.values[key] = value
	case ctx.Err() != nil:
		return ctx.Err()
	case err != errAbsent:
		m.failed[key] = err
	}
	return nil
}

func (m *manyLoad[T]) refreshBehind(ctx context.Context, leads []led) {
	if len(leads) == 0 {
		return
	}
	behind := manyLoad[T]{cache: m.cache, put: m.put, fetch: m.fetch, values: map[string]T{}, failed: map[string]error{}}
	started := m.cache.refreshes.start(ctx, func(ctx context.Context) { _ = behind.lead(ctx, leads) })
	if !started {
		for _, lead := range leads {
			m.abandon(lead)
		}
	}
}

// waitingKeys are the keys that others are loading, by the token under which each will be answered.
type waitingKeys struct {
	call  *call
	cache *CacheService
	keys  map[uint64]string
	early []reply
}

func (w *waitingKeys) add(token uint64, key string) {
	w.keys[token] = key
	if answer, ok := w.call.register(token); ok {
		w.early = append(w.early, answer)
	}
}

// next waits for one of them.
func (w *waitingKeys) next(ctx context.Context) (string, reply, error) {
	var answer reply
	if last := len(w.early) - 1; last >= 0 {
		answer, w.early = w.early[last], w.early[:last]
	} else {
		select {
		case answer = <-w.call.answers:
		case <-ctx.Done():
			return "", reply{}, ctx.Err()
		}
	}
	answer.collect(nil)
	key := w.keys[answer.token]
	delete(w.keys, answer.token)
	return key, answer, nil
}

// withdraw gives back what was not waited for: the tokens, and the leases of answers that came nevertheless.
func (w *waitingKeys) withdraw() {
	for _, answer := range w.early {
		w.drop(answer)
		delete(w.keys, answer.token)
	}
	for token := range w.keys {
		if !withdraw(token) {
			// One answer is there, or about to come; of this token or another of these.
			w.drop(<-w.call.answers)
		}
	}
}

func (w *waitingKeys) drop(answer reply) {
	answer.collect(nil)
	if answer.lease != 0 {
		capiAbandon(w.cache.handle, answer.lease)
	}
}
