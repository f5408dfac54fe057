package scrubjay

import (
	"iter"
	"runtime"
	"time"
)

// A MemoryCache is a bounded map in the memory of this process whose entries have a life of their own. It holds the
// values themselves, as they were set: what they point to is shared by all that read them. All methods may be called
// by many goroutines at once. Make one with [NewMemoryCache]; it needs no end.
//
//	users, err := scrubjay.NewMemoryCache(scrubjay.MemoryOptions[int, User]{MaxEntries: 10_000})
//	err = users.Set(42, User{Name: "Ada"}, time.Minute)
//	user, ok := users.Get(42)
//
// An entry is never returned after the end of its ttl, by a clock that ticks every 10 ms, and a cache gives back the
// memory of expired entries by itself, within about a second. Over the bound, entries that are of little use go first.
// A hit takes no lock, allocates nothing, and does not leave Go.
type MemoryCache[K comparable, V any] struct {
	tier    *tier
	table   slotTable
	hasher  hasher[K]
	entries slotMap[K, V]
	ttl     time.Duration
	weigh   func(*K, *V) uint64
	onEvict func(K, V, EvictReason)
	hits    counter
	misses  counter
}

// NewMemoryCache returns a cache with these options. It starts no thread; the first Set does.
func NewMemoryCache[K comparable, V any](options MemoryOptions[K, V]) (*MemoryCache[K, V], error) {
	maxEntries, maxBytes, err := options.bounds()
	if err != nil {
		return nil, err
	}
	if options.TTL != 0 {
		// The library alone knows its limits: it opens a cache with this ttl, or says what is wrong.
		if _, err := Open(Options{TTL: options.TTL}); err != nil {
			return nil, err
		}
	}
	tier, err := capiOpenSlots(maxEntries, maxBytes)
	if err != nil {
		return nil, err
	}
	c := &MemoryCache[K, V]{
		tier:    tier,
		table:   tier.table,
		hasher:  newHasher[K](),
		ttl:     options.TTL,
		weigh:   options.weigher(),
		onEvict: options.OnEvict,
	}
	c.entries.init(tier.table.slots)
	tier.ring(newBell(c))
	return c, nil
}

// Get returns the value of key, and whether there is one.
func (c *MemoryCache[K, V]) Get(key K) (V, bool) {
	hash := uint32(c.hasher.hash(&key))
	e := c.entries.find(hash, key)
	if e == nil || !c.table.lives(e.at, e.until) {
		if e = c.again(e, key); e == nil {
			c.misses.add(1)
			var none V
			return none, false
		}
	}
	c.table.visit(e.at.slot)
	c.hits.add(1)
	runtime.KeepAlive(c)
	return e.value, true
}

// again looks for the entry of key where the one that was found is dead: it may be about to be replaced, in the hands
// of a Set that holds the lock.
func (c *MemoryCache[K, V]) again(dead *entry[K, V], key K) *entry[K, V] {
	if dead == nil || c.table.holds(dead.at) {
		return nil
	}
	s := c.entries.lock(dead.hash)
	defer s.mutex.Unlock()
	return c.live(dead.hash, key)
}

// live returns the entry of key, unless it is dead.
func (c *MemoryCache[K, V]) live(hash uint32, key K) *entry[K, V] {
	if e := c.entries.find(hash, key); e != nil && c.table.lives(e.at, e.until) {
		return e
	}
	return nil
}

// Has reports whether there is a value under key. This is no use of it, and counts neither as hit nor as miss.
func (c *MemoryCache[K, V]) Has(key K) bool {
	hash := uint32(c.hasher.hash(&key))
	e := c.entries.find(hash, key)
	found := e != nil && (c.table.lives(e.at, e.until) || c.again(e, key) != nil)
	runtime.KeepAlive(c)
	return found
}

// Set puts value under key for ttl: 1 ms to 365 days, or [DefaultTTL], which is [MemoryOptions.TTL]. What was there is
// replaced. A ttl out of that range is [ErrInvalidOption], and nothing has changed.
//
// An entry that alone is larger than the bound is not stored: it counts as evicted at once, and what was under its key
// is gone.
func (c *MemoryCache[K, V]) Set(key K, value V, ttl time.Duration) error {
	if ttl == DefaultTTL && c.ttl != 0 {
		ttl = c.ttl
	}
	waiterOnce.Do(startWaiter)
	hash := c.hasher.hash(&key)
	fresh := &entry[K, V]{key: key, value: value, hash: uint32(hash)}
	var into inserted
	weight := c.weigh(&fresh.key, &fresh.value)

	s := c.entries.lock(fresh.hash)
	old := c.entries.find(fresh.hash, key)
	var instead *slotRef
	if old != nil {
		instead = &old.at
	}
	if !c.tier.insert(hash, weight, ttl, instead, &into) {
		s.mutex.Unlock()
		return c.tier.refused(ttl)
	}
	if !into.stored {
		if old != nil {
			c.entries.remove(s, old)
			c.entries.bySlot.forget(old)
		}
		s.mutex.Unlock()
		c.tell(old, Replaced)
		c.tell(fresh, Capacity)
		return nil
	}
	fresh.at, fresh.until = into.grant.at, into.grant.end(ttl)
	c.entries.put(s, old, fresh)
	// The slot may have been that of an entry whose end we are only about to hear of.
	other := c.entries.bySlot.of(fresh.at.slot).Swap(fresh)
	if old != nil && old != other {
		c.entries.bySlot.forget(old)
	}
	s.mutex.Unlock()

	c.tell(old, Replaced)
	if other != nil && other != old {
		c.dropEntry(other)
	}
	gone, more := into.gone()
	for i := range gone {
		c.drop(slot(&gone[i]))
	}
	if more {
		c.drain()
	} else if c.table.anyGone() {
		// Who is faster in setting than the waiter is in dropping pays for it.
		c.tier.drain(c.drop)
	}
	// Another goroutine may have been told of the end of this entry before it could be found.
	if !c.table.holds(fresh.at) {
		c.dropEntry(fresh)
	}
	runtime.KeepAlive(c)
	return nil
}

// drop lets go of what was at this slot.
func (c *MemoryCache[K, V]) drop(at slotRef) {
	if e := c.entries.bySlot.at(at); e != nil {
		c.dropEntry(e)
	}
}

func (c *MemoryCache[K, V]) dropEntry(e *entry[K, V]) {
	s := c.entries.lock(e.hash)
	removed := c.entries.remove(s, e)
	s.mutex.Unlock()
	c.entries.bySlot.forget(e)
	switch {
	case !removed:
	case c.table.over(e.until):
		c.tell(e, Expired)
	default:
		c.tell(e, Capacity)
	}
}

// drain drops what the library says is gone.
func (c *MemoryCache[K, V]) drain() {
	for c.tier.drain(c.drop) {
	}
}

// Delete removes key, and reports whether there was a value.
func (c *MemoryCache[K, V]) Delete(key K) bool {
	hash := uint32(c.hasher.hash(&key))
	s := c.entries.lock(hash)
	e := c.entries.find(hash, key)
	if e == nil {
		s.mutex.Unlock()
		return false
	}
	over := c.table.over(e.until)
	removed := c.tier.remove(e.at)
	if !removed {
		// It ended on its own a moment ago; who was told of that drops it.
		s.mutex.Unlock()
		return false
	}
	c.entries.remove(s, e)
	c.entries.bySlot.forget(e)
	s.mutex.Unlock()
	if over {
		c.tell(e, Expired)
		return false
	}
	c.tell(e, Removed)
	return true
}

// Clear removes every entry.
func (c *MemoryCache[K, V]) Clear() {
	for _, e := range c.entries.clear(c.tier.clear, c.onEvict != nil) {
		c.tell(e, Cleared)
	}
}

// tell calls the listener, if there is one, with no lock held.
func (c *MemoryCache[K, V]) tell(e *entry[K, V], reason EvictReason) {
	if e != nil && c.onEvict != nil {
		c.onEvict(e.key, e.value, reason)
	}
}

// Len returns how many entries are held; those whose time was up in the last moments may be among them.
func (c *MemoryCache[K, V]) Len() int { return c.entries.len() }

// All returns an iterator over keys and values, in no order. It yields no key twice, none that was removed before it
// began, and may miss what is set while it runs. This is no use of the entries.
func (c *MemoryCache[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range c.entries.shards {
			for _, e := range c.entries.shards[i].snapshot() {
				if !c.table.lives(e.at, e.until) {
					if e = c.again(e, e.key); e == nil {
						continue
					}
				}
				if !yield(e.key, e.value) {
					return
				}
			}
		}
		runtime.KeepAlive(c)
	}
}

// Keys returns an iterator over the keys, as [MemoryCache.All] does.
func (c *MemoryCache[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for key := range c.All() {
			if !yield(key) {
				return
			}
		}
	}
}

// Values returns an iterator over the values, as [MemoryCache.All] does.
func (c *MemoryCache[K, V]) Values() iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, value := range c.All() {
			if !yield(value) {
				return
			}
		}
	}
}

// Stats returns the counters of this cache since it was made.
func (c *MemoryCache[K, V]) Stats() MemoryStats {
	stats := c.tier.stats()
	stats.Hits, stats.Misses = c.hits.sum(), c.misses.sum()
	return stats
}
