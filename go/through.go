package scrubjay

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// A Source is what a cache stands before: a table, a service. It must have a Load or a Store; what needs a function that
// it lacks returns [ErrUnsupported].
type Source[K comparable, V any] struct {
	// Load returns the value of a key, and [ErrNotFound], or an error that wraps it, where there is none: that is
	// remembered for [Options.NegativeTTL].
	Load func(ctx context.Context, key K) (V, error)
	// LoadMany returns those of the keys that there are. By default one Load after the other.
	LoadMany func(ctx context.Context, keys []K) (map[K]V, error)
	// Store stores a value. When it returns nil, the source has it.
	Store func(ctx context.Context, key K, value V) error
	// Remove removes a key.
	Remove func(ctx context.Context, key K) error
}

// WriteThroughOptions say how a source is bound to a cache.
type WriteThroughOptions[K comparable] struct {
	// Key makes the key in the cache of what the source is asked for. Default: that is the key, where K is a kind of
	// string; other kinds need a Key.
	Key func(K) string
	// TTL is how long a value is fresh. Default: that of the cache.
	TTL time.Duration
	// Codec is what values are stored as. Default: that of the cache.
	Codec Codec
	// Tags are the tags of all its values.
	Tags []string
	// Writing says how writes go: [WithIntentTTL] must be longer than the slowest of them; with [WithHold] their values
	// are not stored but loaded anew after it; [Strict] is as for [Update]. Tags that end are for Update alone.
	Writing []UpdateOption
}

// A WriteThrough is a source behind a cache: made by [NewWriteThrough].
//
// A write goes to the source first, and then into the cache. Writes of one key in one process follow one another in the
// order in which they were asked for, each when the one before has ended. From before a write begins until it has ended
// nothing that is loaded is stored under its key, in any process. When writers of several processes meet on a key, it
// is left invalidated, since nobody knows whose value the source got last. A write that fails leaves it so too: the cache
// is never ahead of the source.
type WriteThrough[K comparable, V any] struct {
	cache   *CacheService
	source  Source[K, V]
	name    func(K) string
	put     put
	how     updating
	failure error
}

const opThrough = "write_through"

// NewWriteThrough puts a source behind a cache: reads load from it, writes go to it first and then into the cache. A wrong
// option is the error of every call.
//
//	users := scrubjay.NewWriteThrough(cache, scrubjay.Source[int, User]{Load: db.LoadUser, Store: db.StoreUser},
//		scrubjay.WriteThroughOptions[int]{Key: func(id int) string { return "user:" + strconv.Itoa(id) }, TTL: time.Minute})
//	user, err := users.Get(ctx, 42)
//	receipt, err := users.Set(ctx, 42, user)
func NewWriteThrough[K comparable, V any](cache *CacheService, source Source[K, V], opts WriteThroughOptions[K]) *WriteThrough[K, V] {
	w := &WriteThrough[K, V]{cache: cache, source: source, name: opts.Key, put: put{ttl: opts.TTL, codec: opts.Codec}}
	if w.put.ttl == 0 {
		w.put.ttl = DefaultTTL
	}
	if len(opts.Tags) > 0 {
		tags := flatten(opts.Tags)
		w.put.tags = &tags
	}
	for _, option := range opts.Writing {
		option(&w.how)
	}
	switch {
	case source.Load == nil && source.Store == nil:
		w.failure = newError(ErrInvalidOption, opThrough, "source must have a Load or a Store")
	case len(w.how.tags.ends) > 0:
		w.failure = newError(ErrInvalidOption, opThrough, "tags to invalidate are for Update; make this write inside of one")
	case w.name == nil && reflect.TypeFor[K]().Kind() != reflect.String:
		w.failure = newError(ErrInvalidOption, opThrough, "Key must be given, for %v is no string", reflect.TypeFor[K]())
	case w.name == nil:
		w.name = func(key K) string { return reflect.ValueOf(key).String() }
	}
	return w
}

// Get returns the value of a key, from the cache or else from the source, with one load for all who ask. It returns
// [ErrMiss] where the source has none. What Load returns is returned unchanged; the rest is as in [GetOrFetch].
func (w *WriteThrough[K, V]) Get(ctx context.Context, key K) (V, error) {
	var none V
	if w.failure != nil {
		return none, w.failure
	}
	if w.source.Load == nil {
		return none, lacks("Load")
	}
	value, err := load(ctx, w.cache, w.name(key), w.put, false, func(ctx context.Context) (V, error) { return w.source.Load(ctx, key) })
	if errors.Is(err, ErrNotFound) {
		return none, ErrMiss
	}
	return value, err
}

// GetMany returns the values of many keys, with one LoadMany for those that nobody has or loads. Keys without a value are
// left out. Where keys fail, the others are returned together with a [*PartialError], which has the keys of the cache.
func (w *WriteThrough[K, V]) GetMany(ctx context.Context, keys []K) (map[K]V, error) {
	if w.failure != nil {
		return nil, w.failure
	}
	if w.source.LoadMany == nil && w.source.Load == nil {
		return nil, lacks("Load")
	}
	names, named := make([]string, len(keys)), make(map[string]K, len(keys))
	for i, key := range keys {
		names[i] = w.name(key)
		named[names[i]] = key
	}
	fetch := func(ctx context.Context, missing []string) (map[string]V, error) {
		return w.loadMany(ctx, missing, named)
	}
	found, err := GetOrFetchMany(ctx, w.cache, names, w.put.ttl, fetch, func(p *put) { *p = w.put })
	if found == nil {
		return nil, err
	}
	values := make(map[K]V, len(found))
	for name, value := range found {
		values[named[name]] = value
	}
	var partial *PartialError
	if errors.As(err, &partial) {
		return values, &PartialError{Failed: partial.Failed, Values: values}
	}
	return values, err
}

func (w *WriteThrough[K, V]) loadMany(ctx context.Context, missing []string, named map[string]K) (map[string]V, error) {
	values := make(map[string]V, len(missing))
	if w.source.LoadMany != nil {
		keys := make([]K, len(missing))
		for i, name := range missing {
			keys[i] = named[name]
		}
		loaded, err := w.source.LoadMany(ctx, keys)
		for i, name := range missing {
			if value, ok := loaded[keys[i]]; ok {
				values[name] = value
			}
		}
		return values, err
	}
	for _, name := range missing {
		value, err := w.source.Load(ctx, named[name])
		switch {
		case err == nil:
			values[name] = value
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	return values, nil
}

// Set stores a value in the source, and then in the cache. What Store returns is returned unchanged; the key is invalidated
// then. It fails before the source is asked with [ErrInvalidKey], [ErrInvalidValue], [ErrInvalidOption], [ErrClosed] or
// ctx.Err(), with [ErrOverloaded] where too many writes wait for their turn, with [ErrRecursiveFetch] where it would wait for
// the write inside which it is made, and with [Strict] with [ErrUnavailable] or [ErrUnsupported]; after it only with [ErrClosed].
// Otherwise a shared tier that cannot be reached is no error: the receipt is pending.
//
// Store gets ctx, and its return is waited for though ctx is done. A panic in it ends the write as well.
func (w *WriteThrough[K, V]) Set(ctx context.Context, key K, value V) (Receipt, error) {
	if w.failure == nil && w.source.Store == nil {
		return Receipt{}, lacks("Store")
	}
	if w.failure != nil {
		return Receipt{}, w.failure
	}
	bytes, err := encode(opThrough, value)
	if err != nil {
		return Receipt{}, err
	}
	defer bytes.release()
	return w.write(ctx, key, &bytes, func(ctx context.Context) error { return w.source.Store(ctx, key, value) })
}

// Delete removes a key from the source, and invalidates it. As [WriteThrough.Set].
func (w *WriteThrough[K, V]) Delete(ctx context.Context, key K) (Receipt, error) {
	if w.failure == nil && w.source.Remove == nil {
		return Receipt{}, lacks("Remove")
	}
	if w.failure != nil {
		return Receipt{}, w.failure
	}
	return w.write(ctx, key, nil, func(ctx context.Context) error { return w.source.Remove(ctx, key) })
}

func (w *WriteThrough[K, V]) write(ctx context.Context, key K, value *encoded, write func(context.Context) error) (Receipt, error) {
	cache, name := w.cache, w.name(key)
	begun, answer, err := cache.do(ctx, opThrough, func(call *call) (reply, bool) {
		return capiStoreBegin(cache.handle, call, name, value, w.put, &w.how, heldLeases(ctx))
	})
	if err != nil {
		return Receipt{}, err
	}
	begun.release()
	number := answer.lease
	returned := false
	defer func() {
		if !returned {
			// It panicked, or its goroutine ended.
			capiAbandon(cache.handle, number)
		}
	}()
	inside, _ := withLease(ctx, number)
	failure := write(inside)
	returned = true
	// Whoever has given up meanwhile: the write is to be ended.
	receipt, err := cache.write(context.Background(), opThrough, func(call *call) (reply, bool) {
		if failure != nil {
			return capiUpdateEnd(cache.handle, call, number)
		}
		return capiStoreEnd(cache.handle, call, number)
	})
	if failure != nil {
		return Receipt{}, failure
	}
	return receipt, err
}

func lacks(function string) error {
	return newError(ErrUnsupported, opThrough, "the source has no %s", function)
}
