package scrubjay

import (
	"context"
	"errors"
	"time"
)

// GetOrFetch returns the value of key. Where there is none it runs fetch, stores what that returns for ttl (1 ms to
// 365 days, or [DefaultTTL]), and returns it. Of all callers that miss a key at one time one runs its fetch and the
// others wait for it: in this process always, in others with Redis as far as this release shares leases.
//
//   - An error of fetch is returned unchanged to all of them, unless a value past its ttl can be served instead.
//     Nothing is stored.
//   - A fetch that returns [ErrNotFound], or an error that wraps it, says that there is nothing: that is remembered
//     for [Options.NegativeTTL], and Get answers a miss.
//   - A fetch that panics, or that fails because ctx of its caller is over, hands over: the next caller runs its own.
//   - When the key is deleted while fetch runs, its callers get the value and nothing is stored.
//
// fetch runs in the goroutine of the caller. The context it is given carries what is being loaded: pass it on to the
// cache calls inside. A hit close to its end may run fetch in a goroutine of its own, on a context that is not
// cancelled with ctx, to refresh the value while this call returns the present one. fetch must give a value that is
// right for every caller of that key; [StoreAs] says inside of it how that value is to be stored.
func GetOrFetch[T any](ctx context.Context, cache *CacheService, key string, ttl time.Duration, fetch func(context.Context) (T, error), opts ...SetOption) (T, error) {
	return load(ctx, cache, key, newPut(ttl, opts), false, fetch)
}

// GetOrFetchFunc is [GetOrFetch] for a fetch that takes no context. Such a fetch cannot be recognised when it asks
// for its own key: that ends with [Options.FetchHardTimeout] only.
func GetOrFetchFunc[T any](ctx context.Context, cache *CacheService, key string, ttl time.Duration, fetch func() (T, error), opts ...SetOption) (T, error) {
	return load(ctx, cache, key, newPut(ttl, opts), false, func(context.Context) (T, error) { return fetch() })
}

const opFetch = "get_or_fetch"

func load[T any](ctx context.Context, cache *CacheService, key string, put put, bypass bool, fetch func(context.Context) (T, error)) (T, error) {
	if !bypass {
		if value := copyOf[T](cache, key); value != nil {
			if err := ctx.Err(); err != nil {
				var none T
				return none, err
			}
			cache.copies.hits.add(1)
			return *value, nil
		}
	}
	return begin(ctx, cache, key, put, bypass, fetch)
}

// begin asks the library.
func begin[T any](ctx context.Context, cache *CacheService, key string, put put, bypass bool, fetch func(context.Context) (T, error)) (T, error) {
	var none T
	for ; ; bypass = true {
		call, answer, err := cache.do(ctx, opFetch, func(call *call) (reply, bool) {
			return capiBegin(cache.handle, call, key, put, heldLeases(ctx), bypass)
		})
		if err != nil {
			return none, err
		}
		lease := answer.lease
		switch answer.status {
		case statusLead:
			call.release()
			return lead(ctx, cache, lease, put, fetch)
		case statusBypass:
			call.release()
			return fetch(ctx)
		}
		value, err := decodeKept[T](cache, key, &answer)
		call.release()
		if err == nil {
			if lease != 0 {
				refreshBehind(ctx, cache, lease, put, fetch)
			}
			return value, nil
		}
		capiNoteUndecodable(cache.handle, key)
		switch {
		case lease != 0:
			// We were to refresh it anyhow; waiting for our own lease would be waiting for ever.
			return lead(ctx, cache, lease, put, fetch)
		case bypass:
			// Another caller of this key stores a type that is not ours.
			return fetch(ctx)
		}
	}
}

// lead runs fetch for a lease and answers the lease, in every way in which fetch can end.
func lead[T any](ctx context.Context, cache *CacheService, lease uint64, put put, fetch func(context.Context) (T, error)) (T, error) {
	var none T
	answered := false
	defer func() {
		// Also when fetch panics, or ends its goroutine: the next caller leads, and the panic goes on its way.
		if !answered {
			capiAbandon(cache.handle, lease)
		}
	}()
	if err := ctx.Err(); err != nil {
		return none, err
	}
	inside, scope := withLease(ctx, lease)
	value, err := fetch(inside)
	if err != nil {
		if err == errAbsent || isEndOf(ctx, err) {
			return none, err
		}
		kind := kindOf(err)
		remembered := kind == ErrFetchFailed && put.remembers != nil && put.remembers(err)
		answered = true
		return failed[T](cache, lease, kind, err, remembered)
	}
	bytes, err := encode(opFetch, value)
	if err != nil {
		answered = true
		return failed[T](cache, lease, ErrInvalidValue, err, false)
	}
	defer bytes.release()
	answered = true
	if err := capiFulfil(cache.handle, lease, bytes, scope.put(put, "")); err != nil {
		return none, err
	}
	return value, nil
}

// failed ends a lease with the error of its fetch. A value past its ttl is served instead where there is one.
func failed[T any](cache *CacheService, lease uint64, kind Kind, err error, remembered bool) (T, error) {
	codec, stale, ok := capiFail(cache.handle, lease, kind, err, remembered)
	if ok {
		if value, undecodable := decodeInto[T](codec, stale); undecodable == nil {
			return value, nil
		}
	}
	var none T
	return none, err
}

func refreshBehind[T any](ctx context.Context, cache *CacheService, lease uint64, put put, fetch func(context.Context) (T, error)) {
	started := cache.refreshes.start(ctx, func(ctx context.Context) {
		// Its error was told to those that wait; there is nobody else to tell.
		_, _ = lead(ctx, cache, lease, put, fetch)
	})
	if !started {
		capiAbandon(cache.handle, lease)
	}
}

// kindOf is what a failed fetch is for the callers that wait for it.
func kindOf(err error) Kind {
	if errors.Is(err, ErrNotFound) {
		return ErrNotFound
	}
	return ErrFetchFailed
}

// isEndOf reports whether err says no more than that ctx is over.
func isEndOf(ctx context.Context, err error) bool {
	return ctx.Err() != nil &&
		(errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Cause(ctx)))
}
