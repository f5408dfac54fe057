package scrubjay

import (
	"context"
	"reflect"
	"runtime"
	"strings"
)

// Copies are the decoded values that Go keeps of what a cache holds in memory. A hit on one makes no call into the
// library: see slottable.go. The library still decides what lives, and counts the copies to its bound.
//
// The copy of a key is a pointer to the type that it was decoded into, and serves readers of that very type; a reader
// of another one asks the library, and its copy takes the place.
type copies struct {
	handle  *handle
	table   slotTable
	hasher  hasher[string]
	entries slotMap[string, any]
	hits    counter
	// closed is guarded by the locks of all shards: changed under all, read under any.
	closed bool
}

// A copied is a copy where it is kept.
type copied = entry[string, any]

// newCopies returns where a cache keeps its copies; nil where it has no memory tier.
func newCopies(h *handle) *copies {
	table, ok := h.keepCopies()
	if !ok {
		return nil
	}
	c := &copies{handle: h, table: table, hasher: newHasher[string]()}
	c.entries.init(table.slots)
	h.ringCopies(newBell(c))
	return c
}

// find returns the copy of key that fits dest, a pointer to its type, if it may be served.
func (c *copies) find(key string, dest any) *copied {
	if c == nil {
		return nil
	}
	e := c.entries.find(uint32(c.hasher.hash(&key)), key)
	if e == nil || reflect.TypeOf(e.value) != reflect.TypeOf(dest) || !c.serves(e) {
		return nil
	}
	return e
}

// serves reports whether a copy may be served, and if so counts that to the entry's use.
func (c *copies) serves(e *copied) bool {
	lives := c.table.lives(e.at, e.until)
	if lives {
		c.table.visit(e.at.slot)
	}
	runtime.KeepAlive(c)
	return lives
}

// assign sets *dest, which is of its type, to a copy.
func (c *copies) assign(ctx context.Context, copy *copied, dest any) error {
	into := reflect.ValueOf(dest)
	if into.IsNil() {
		return newError(ErrInvalidOption, "get", "dest must be a pointer and not nil, is %s", typeName(dest))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	into.Elem().Set(reflect.ValueOf(copy.value).Elem())
	c.hits.add(1)
	return nil
}

// copyOf returns the copy of key, if there is one of this type that may be served.
func copyOf[T any](cache *CacheService, key string) *T {
	c := cache.copies
	if c == nil {
		return nil
	}
	e := c.entries.find(uint32(c.hasher.hash(&key)), key)
	if e == nil {
		return nil
	}
	if value, ok := e.value.(*T); ok && c.serves(e) {
		return value
	}
	return nil
}

// takeCopies puts the values that there are copies of into values, and returns the other keys.
func takeCopies[T any](ctx context.Context, cache *CacheService, keys []string, values map[string]T) ([]string, error) {
	if cache.copies == nil {
		return keys, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var others []string
	for _, key := range keys {
		if value := copyOf[T](cache, key); value != nil {
			values[key] = *value
		} else {
			others = append(others, key)
		}
	}
	cache.copies.hits.add(uint64(len(values)))
	return others, nil
}

// decodeKept makes a T of an answer, and keeps a copy of it if that is granted.
func decodeKept[T any](cache *CacheService, key string, answer *reply) (T, error) {
	if !answer.kept {
		return decodeInto[T](answer.codec, answer.value)
	}
	value := new(T)
	if err := decode(answer.codec, answer.value, value); err != nil {
		var none T
		return none, err
	}
	cache.copies.keep(key, value, answer)
	return *value, nil
}

// keep keeps what an answer was decoded into, a pointer, under the slot that was granted for it.
func (c *copies) keep(key string, value any, answer *reply) {
	if answer.codec != codecRaw && !isLight(reflect.ValueOf(value), len(answer.value)) {
		return
	}
	granted := answer.grant
	// A copy of the key: the caller's may be a part of something large.
	fresh := &copied{key: strings.Clone(key), value: value, at: granted.at, until: granted.end(0)}
	fresh.hash = uint32(c.hasher.hash(&key))
	waiterOnce.Do(startWaiter)
	if c.table.anyGone() {
		// Who is faster in keeping copies than the waiter is in dropping them pays for it.
		c.handle.drainCopies(c.drop)
	}

	s := c.entries.lock(fresh.hash)
	if c.closed || !c.table.holds(fresh.at) {
		s.mutex.Unlock()
		return
	}
	old := c.entries.find(fresh.hash, key)
	c.entries.put(s, old, fresh)
	other := c.entries.bySlot.of(fresh.at.slot).Swap(fresh)
	if old != nil && old != other {
		c.entries.bySlot.forget(old)
	}
	s.mutex.Unlock()

	if other != nil && other != old {
		// Its slot has been given away: we are only about to hear that it is gone.
		c.dropEntry(other)
	}
	if !c.table.holds(fresh.at) {
		// The bell for it may have rung before it could be found.
		c.dropEntry(fresh)
	}
	runtime.KeepAlive(c)
}

func (c *copies) drop(at slotRef) {
	if e := c.entries.bySlot.at(at); e != nil {
		c.dropEntry(e)
	}
}

func (c *copies) dropEntry(e *copied) {
	s := c.entries.lock(e.hash)
	c.entries.remove(s, e)
	s.mutex.Unlock()
	c.entries.bySlot.forget(e)
}

// drain drops the copies of what the library says is gone.
func (c *copies) drain() {
	for c.handle.drainCopies(c.drop) {
	}
}

// report tells the library of the hits that it did not see.
func (c *copies) report() {
	if c != nil {
		c.handle.noteHits(c.hits.take())
	}
}

// close drops all copies, and keeps none any more.
func (c *copies) close() {
	if c != nil {
		c.entries.clear(func() { c.closed = true }, false)
	}
}
