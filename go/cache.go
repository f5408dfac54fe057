package scrubjay

import (
	"context"
	"encoding/json"
	"math"
	"reflect"
	"sync"
	"time"
)

// A CacheService is a cache: in memory, and behind it in a Redis when it has one. All methods may be called by many
// goroutines at once. Make one with [NewCacheService] or [Open], and end it with [CacheService.Close].
type CacheService struct {
	handle *handle
	// copies are nil where there is no memory tier, or none are to be kept.
	copies *copies
	// failure is what every call answers: the cache could not be opened.
	failure error

	closeOnce  sync.Once
	closeError error
	refreshes  refreshes
}

// NewCacheService returns a cache over the server at addr: host:port, a URL as in [Options.URL], or "" for one in
// memory alone. Keys are kept under prefix, so that services can share a server.
//
// It never fails and connects to nothing yet: with a wrong address or prefix every call answers
// [ErrInvalidOption]. Use [Open] to have that at once.
func NewCacheService(addr, prefix string) *CacheService {
	cache, err := Open(Options{URL: addr, Prefix: prefix})
	if err != nil {
		return &CacheService{failure: err}
	}
	return cache
}

// Open returns a cache with these options. It starts no thread and connects to nothing: the first call does.
func Open(options Options) (*CacheService, error) {
	text, err := options.json()
	if err != nil {
		return nil, err
	}
	return OpenJSON(text)
}

// OpenJSON returns a cache whose options are a JSON object with the names they have in every language, like
// {"url": "redis://localhost", "ttl": 60, "max_staleness": 0.5}; times are in seconds. It is for configuration that
// services in several languages share.
func OpenJSON(options []byte) (*CacheService, error) {
	handle, err := capiOpen(options)
	if err != nil {
		return nil, err
	}
	return &CacheService{handle: handle, copies: newCopies(handle)}, nil
}

// A Receipt tells what became of a write.
type Receipt struct {
	// Pending: the shared tier was not reached yet. An invalidation of the keys is queued and retried until it lands.
	Pending bool
	// Token is where this write stands in the order of writes: see [CacheService.Observe].
	Token Token
}

// Get reads the value of key into dest, which must be a pointer. It returns [ErrMiss] when there is none, or none
// that fits. *dest is changed only when Get returns nil.
//
// A value that memory holds is decoded once for a type, and then shared: *dest is a copy of it, but what its maps,
// slices and pointers lead to is that of every hit, and not to be changed. See [Options.Isolate].
func (c *CacheService) Get(ctx context.Context, key string, dest any) error {
	if copy := c.copies.find(key, dest); copy != nil {
		return c.copies.assign(ctx, copy, dest)
	}
	return c.get(ctx, key, dest)
}

// get asks the library.
func (c *CacheService) get(ctx context.Context, key string, dest any) error {
	into := reflect.ValueOf(dest)
	if into.Kind() != reflect.Pointer || into.IsNil() {
		return newError(ErrInvalidOption, "get", "dest must be a pointer and not nil, is %s", typeName(dest))
	}
	call, answer, err := c.do(ctx, "get", func(call *call) (reply, bool) { return capiGet(c.handle, call, key) })
	if err != nil {
		return err
	}
	defer call.release()
	if answer.status == statusMiss {
		return ErrMiss
	}
	fresh := reflect.New(into.Type().Elem())
	if !(answer.own && answer.codec == codecRaw && giveBytes(fresh.Interface(), answer.value)) && decode(answer.codec, answer.value, fresh.Interface()) != nil {
		capiNoteUndecodable(c.handle, key)
		return ErrMiss
	}
	into.Elem().Set(fresh.Elem())
	if answer.kept {
		c.copies.keep(key, fresh.Interface(), &answer)
	}
	return nil
}

func typeName(value any) string {
	if value == nil {
		return "nil"
	}
	return reflect.TypeOf(value).String()
}

// Set stores value under key for ttl: 1 ms to 365 days, or [DefaultTTL]. A nil is a value too.
//
// A shared tier that cannot be reached is no error: the value is stored in memory and the receipt is pending.
func (c *CacheService) Set(ctx context.Context, key string, value any, ttl time.Duration, opts ...SetOption) (Receipt, error) {
	bytes, err := encode("set", value)
	if err != nil {
		return Receipt{}, err
	}
	defer bytes.release()
	put := newPut(ttl, opts)
	return c.write(ctx, "set", func(call *call) (reply, bool) { return capiSet(c.handle, call, key, bytes, put) })
}

// Delete removes key. A fetch of it that is under way still answers its callers, but what it brings is not stored.
func (c *CacheService) Delete(ctx context.Context, key string) (Receipt, error) {
	return c.write(ctx, "delete", func(call *call) (reply, bool) { return capiDelete(c.handle, call, key) })
}

// InvalidateTags ends every entry that has one of these tags, however many there are. When it returns a receipt that is
// not pending, no load that began before is stored in any tier.
func (c *CacheService) InvalidateTags(ctx context.Context, tags ...string) (Receipt, error) {
	flat := flatten(tags)
	return c.write(ctx, "invalidate_tags", func(call *call) (reply, bool) { return capiInvalidateTags(c.handle, call, flat) })
}

// Clear removes everything of this cache's prefix, in one step. What is being loaded then is not stored.
func (c *CacheService) Clear(ctx context.Context) (Receipt, error) {
	return c.write(ctx, "clear", func(call *call) (reply, bool) { return capiClear(c.handle, call) })
}

// DeleteMany removes these keys in one go.
func (c *CacheService) DeleteMany(ctx context.Context, keys []string) (Receipt, error) {
	flat := flatten(keys)
	return c.write(ctx, "delete_many", func(call *call) (reply, bool) { return capiDeleteMany(c.handle, call, flat) })
}

// Stats returns the counters of this cache since it was opened.
func (c *CacheService) Stats() Stats {
	var stats Stats
	if c.failure != nil {
		return stats
	}
	c.copies.report()
	// The library writes these very fields: what it says is always readable.
	_ = json.Unmarshal(capiStats(c.handle), &stats)
	return stats
}

// EffectiveStalenessBound returns how old a hit may be at most, by what is known now: MaxStaleness where memory answers
// beside a shared tier, 0 without memory or without a shared tier, and for a cache that could not be opened. The longest
// duration there is says that no bound can be told, for the server has no scripts.
func (c *CacheService) EffectiveStalenessBound() time.Duration {
	if c.failure != nil {
		return 0
	}
	milliseconds := capiStalenessBound(c.handle)
	if milliseconds < 0 {
		return math.MaxInt64
	}
	return time.Duration(milliseconds) * time.Millisecond
}

// Close ends the cache: callers that wait get [ErrClosed], and so does every later call. Writes that have not
// reached the shared tier get up to 5 s for it; if some do not land, Close returns [ErrUnavailable]. Fetches that
// refresh values behind their callers have their context cancelled.
//
// Close may be called more than once and always returns the same.
func (c *CacheService) Close() error {
	c.closeOnce.Do(func() { c.closeError = c.close() })
	return c.closeError
}

func (c *CacheService) close() error {
	if c.failure != nil {
		return nil
	}
	deadline := time.Now().Add(closeGrace)
	c.copies.close()
	c.refreshes.cancel()
	receipt, err := c.write(context.Background(), "close", func(call *call) (reply, bool) { return capiClose(c.handle, call) })
	c.refreshes.wait(time.Until(deadline))
	if err != nil {
		return err
	}
	if receipt.Pending {
		return newError(ErrUnavailable, "close", "writes were left that could not reach the shared tier; it may serve what they replaced until its ttl")
	}
	return nil
}

// do makes a call into the library and waits for its answer. The caller releases the call it gets.
func (c *CacheService) do(ctx context.Context, operation string, start func(*call) (reply, bool)) (*call, reply, error) {
	return c.doWith(ctx, operation, nil, start)
}

// doWith is do with a call of the caller's, or a pooled one for nil.
func (c *CacheService) doWith(ctx context.Context, operation string, call *call, start func(*call) (reply, bool)) (*call, reply, error) {
	if c.failure != nil {
		return nil, reply{}, c.failure
	}
	if err := ctx.Err(); err != nil {
		return nil, reply{}, err
	}
	if call == nil {
		call = newCall()
	}
	answer, ready := start(call)
	if !ready {
		var err error
		if answer, err = call.await(ctx); err != nil {
			call.release()
			return nil, reply{}, err
		}
	}
	if answer.status < 0 {
		err := answer.failure(operation)
		call.release()
		return nil, reply{}, err
	}
	return call, answer, nil
}

// write makes a call that answers with a receipt.
func (c *CacheService) write(ctx context.Context, operation string, start func(*call) (reply, bool)) (Receipt, error) {
	call, answer, err := c.do(ctx, operation, start)
	if err != nil {
		return Receipt{}, err
	}
	call.release()
	return answer.receipt, nil
}

// failure is the error that an answer says: the error of the fetch itself where it is at hand.
func (r *reply) failure(operation string) error {
	if r.err != nil {
		return r.err
	}
	return &Error{Kind: Kind(-r.status), Operation: operation, Message: string(r.value), retryable: r.retryable}
}
