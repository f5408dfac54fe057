package scrubjay

import (
	"context"
	"time"
)

// An UpdateOption changes how an [Update] goes.
type UpdateOption func(*updating)

// WithIntentTTL sets for how long nothing is stored should the writer die: 100 ms to 1 h, by default 30 s. It must be
// longer than the longest transaction.
func WithIntentTTL(ttl time.Duration) UpdateOption {
	return func(u *updating) {
		u.intentTTL = whole(ttl)
		if ttl == 0 {
			// Not the default, but what it says: too short.
			u.intentTTL = 1
		}
	}
}

// WithHold has nothing stored for so long after the write, up to 1 h: where fetches read a replica of the source, the
// bound of its lag.
func WithHold(hold time.Duration) UpdateOption {
	return func(u *updating) { u.hold = whole(hold) }
}

// Strict has the write not begin where the shared tier cannot be told of it: Update then returns [ErrUnavailable].
func Strict() UpdateOption {
	return func(u *updating) { u.strict = true }
}

// WithUpdatedTags has the write end these tags as well: as for the keys, nothing that has one of them is stored or read
// meanwhile, and then they are invalidated.
func WithUpdatedTags(tags ...string) UpdateOption {
	flat := flatten(tags)
	return func(u *updating) { u.tags = flat }
}

// updating is how an update goes, in milliseconds; 0 is the default.
type updating struct {
	intentTTL, hold int64
	strict          bool
	tags            flat
}

// whole rounds to milliseconds, away from zero.
func whole(d time.Duration) int64 {
	ms := d.Milliseconds()
	switch rest := d - time.Duration(ms)*time.Millisecond; {
	case rest > 0:
		ms++
	case rest < 0:
		ms--
	}
	return ms
}

// Update runs write, which changes the source of these keys, such that no old value of theirs is left after it: from
// before it runs until it has returned nothing is stored under the keys, in any process; then they are invalidated,
// whatever became of it. A process that dies in between leaves only that, for a time: see [WithIntentTTL].
//
// What write returns is returned unchanged, once the keys are invalidated. Update fails before it runs with
// [ErrInvalidKey], [ErrInvalidOption], [ErrOverloaded], [ErrClosed] or ctx.Err(), and with [Strict] with [ErrUnavailable]
// or [ErrUnsupported]; after it only with [ErrClosed]. Otherwise a shared tier that cannot be reached is no error: the
// receipt is pending.
//
// write gets ctx, and its return is waited for though ctx is done. A panic in write ends the update as well.
func Update(ctx context.Context, cache *CacheService, keys []string, write func(context.Context) error, opts ...UpdateOption) (Receipt, error) {
	if write == nil {
		return Receipt{}, newError(ErrInvalidOption, "update", "write must not be nil")
	}
	var how updating
	for _, option := range opts {
		option(&how)
	}
	flat := flatten(keys)
	begun, answer, err := cache.do(ctx, "update", func(call *call) (reply, bool) { return capiUpdateBegin(cache.handle, call, flat, &how) })
	if err != nil {
		return Receipt{}, err
	}
	begun.release()
	update := answer.lease
	returned := false
	defer func() {
		if !returned {
			// It panicked, or its goroutine ended.
			capiAbandon(cache.handle, update)
		}
	}()
	failure := write(ctx)
	returned = true
	// Whoever has given up meanwhile: the keys are to be invalidated.
	receipt, err := cache.write(context.Background(), "update", func(call *call) (reply, bool) { return capiUpdateEnd(cache.handle, call, update) })
	if failure != nil {
		return Receipt{}, failure
	}
	return receipt, err
}
