package scrubjay

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A slotMap is what Go keeps of the entries of a memory tier: key → value and slot. It is found by key, without a
// lock and without a write, and by slot, for what the library says is gone.
//
// A shard of it is an open-addressing table of buckets that fill a cache line each: seven entries, and a word with a
// byte of each one's hash. An entry is never changed once it can be found: to replace it is to store another pointer.
// So a reader that finds an entry finds a whole one, and the worst that it can meet is one that was removed a moment
// ago. Writers lock their shard.
type slotMap[K comparable, V any] struct {
	shards []shard[K, V]
	shift  uint32
	bySlot slotIndex[K, V]
}

// An entry is a value and where it stands in the library. It does not change.
type entry[K comparable, V any] struct {
	key   K
	value V
	at    slotRef
	until uint32
	hash  uint32
}

const (
	bucketEntries = 7
	// A table grows when its buckets hold more than this on average, and shrinks when they hold less.
	fullBucket, emptyBucket = 5, 1
	minBuckets              = 1
	maxShards               = 64
	lowBits                 = 0x0101010101010101
	highBits                = 0x8080808080808080
	tagsOnly                = 1<<(8*bucketEntries) - 1
)

type bucket[K comparable, V any] struct {
	// meta has the tag of each entry, 0 where there is none, and in its highest byte the number of entries that
	// wanted into this bucket and found it full; they are in one of those that follow.
	meta    atomic.Uint64
	entries [bucketEntries]atomic.Pointer[entry[K, V]]
}

type shard[K comparable, V any] struct {
	table atomic.Pointer[buckets[K, V]]
	mutex sync.Mutex
	count int
	_     [64 - 8 - 8 - 8]byte
}

type buckets[K comparable, V any] struct {
	mask uint32
	list []bucket[K, V]
}

func (m *slotMap[K, V]) init(slots uint32) {
	count := min(maxShards, 1<<bits.Len(uint(4*runtime.GOMAXPROCS(0)-1)))
	m.shards = make([]shard[K, V], count)
	m.shift = uint32(bits.Len(uint(count - 1)))
	for i := range m.shards {
		m.shards[i].table.Store(newBuckets[K, V](minBuckets))
	}
	m.bySlot.init(slots)
}

func newBuckets[K comparable, V any](count uint32) *buckets[K, V] {
	return &buckets[K, V]{mask: count - 1, list: make([]bucket[K, V], count)}
}

// Of the 32 bits of a hash, the lowest choose the shard, those above the bucket, and the highest eight are the tag.

func (m *slotMap[K, V]) shardOf(hash uint32) *shard[K, V] {
	return &m.shards[hash&uint32(len(m.shards)-1)]
}

func tagOf(hash uint32) uint64 { return uint64(max(hash>>24, 1)) }

// matching has the highest bit of each byte of meta set that is this tag; there may be others above one that is.
func matching(meta, tag uint64) uint64 {
	x := meta ^ tag*lowBits
	return (x - lowBits) &^ x & (highBits & tagsOnly)
}

// find returns the entry of key, or nil.
func (m *slotMap[K, V]) find(hash uint32, key K) *entry[K, V] {
	table := m.shardOf(hash).table.Load()
	tag := tagOf(hash)
	for i, last := hash>>m.shift, hash>>m.shift+table.mask; ; i++ {
		b := &table.list[i&table.mask]
		meta := b.meta.Load()
		for match := matching(meta, tag); match != 0; match &= match - 1 {
			e := b.entries[bits.TrailingZeros64(match)>>3].Load()
			if e != nil && e.key == key {
				return e
			}
		}
		if meta <= tagsOnly || i == last {
			return nil
		}
	}
}

// lock locks the shard of a hash.
func (m *slotMap[K, V]) lock(hash uint32) *shard[K, V] {
	s := m.shardOf(hash)
	s.mutex.Lock()
	return s
}

// put lets fresh be found instead of old, which is what find returns for its key, or nil. The shard is locked.
func (m *slotMap[K, V]) put(s *shard[K, V], old, fresh *entry[K, V]) {
	if old != nil {
		b, i := m.place(s, old)
		b.entries[i].Store(fresh)
		return
	}
	table := s.table.Load()
	if s.count >= fullBucket*len(table.list) {
		table = m.resize(s, 2*uint32(len(table.list)))
	}
	m.add(table, fresh)
	s.count++
}

// add puts an entry into the first bucket from its own on that has room.
func (m *slotMap[K, V]) add(table *buckets[K, V], e *entry[K, V]) {
	for i := e.hash >> m.shift; ; i++ {
		b := &table.list[i&table.mask]
		meta := b.meta.Load()
		empty := matching(meta, 0)
		if empty == 0 {
			b.meta.Store(passed(meta, 1))
			continue
		}
		at := bits.TrailingZeros64(empty) >> 3
		b.entries[at].Store(e)
		b.meta.Store(meta | tagOf(e.hash)<<(8*at))
		return
	}
}

// passed is meta after one more, or less, entry that found the bucket full. A count that reached its end stays there:
// it says no more than that readers have to look further.
func passed(meta uint64, change int) uint64 {
	count := int(meta >> (8 * bucketEntries))
	if count == 0xff {
		return meta
	}
	return meta&tagsOnly | uint64(count+change)<<(8*bucketEntries)
}

// place is where an entry that can be found stands.
func (m *slotMap[K, V]) place(s *shard[K, V], e *entry[K, V]) (*bucket[K, V], int) {
	table, tag := s.table.Load(), tagOf(e.hash)
	for i, last := e.hash>>m.shift, e.hash>>m.shift+table.mask; ; i++ {
		b := &table.list[i&table.mask]
		meta := b.meta.Load()
		for match := matching(meta, tag); match != 0; match &= match - 1 {
			if at := bits.TrailingZeros64(match) >> 3; b.entries[at].Load() == e {
				return b, at
			}
		}
		if meta <= tagsOnly || i == last {
			return nil, 0
		}
	}
}

// remove lets an entry be found no more. It returns false when it could not be found before. The shard is locked.
func (m *slotMap[K, V]) remove(s *shard[K, V], e *entry[K, V]) bool {
	b, at := m.place(s, e)
	if b == nil {
		return false
	}
	table := s.table.Load()
	for i := e.hash >> m.shift; ; i++ {
		passing := &table.list[i&table.mask]
		if passing == b {
			break
		}
		passing.meta.Store(passed(passing.meta.Load(), -1))
	}
	b.meta.Store(b.meta.Load() &^ (0xff << (8 * at)))
	b.entries[at].Store(nil)
	s.count--
	if count := uint32(len(table.list)); count > minBuckets && s.count < emptyBucket*int(count) {
		m.resize(s, count/2)
	}
	return true
}

// resize moves the entries of a locked shard into a table of this many buckets. Readers of the old one find what they
// would have found a moment earlier.
func (m *slotMap[K, V]) resize(s *shard[K, V], count uint32) *buckets[K, V] {
	table := newBuckets[K, V](count)
	for e := range s.all {
		m.add(table, e)
	}
	s.table.Store(table)
	return table
}

// all yields the entries of a locked shard.
func (s *shard[K, V]) all(yield func(*entry[K, V]) bool) {
	list := s.table.Load().list
	for i := range list {
		for j := range list[i].entries {
			if e := list[i].entries[j].Load(); e != nil && !yield(e) {
				return
			}
		}
	}
}

// len is the number of entries that can be found.
func (m *slotMap[K, V]) len() int {
	count := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mutex.Lock()
		count += s.count
		s.mutex.Unlock()
	}
	return count
}

// snapshot is the entries of one shard at one time.
func (s *shard[K, V]) snapshot() []*entry[K, V] {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	entries := make([]*entry[K, V], 0, s.count)
	for e := range s.all {
		entries = append(entries, e)
	}
	return entries
}

// clear removes every entry, and returns them if they are asked for. freed is called when no writer can be at work.
func (m *slotMap[K, V]) clear(freed func(), asked bool) (removed []*entry[K, V]) {
	for i := range m.shards {
		m.shards[i].mutex.Lock()
	}
	freed()
	for i := range m.shards {
		s := &m.shards[i]
		for e := range s.all {
			m.bySlot.forget(e)
			if asked {
				removed = append(removed, e)
			}
		}
		s.table.Store(newBuckets[K, V](minBuckets))
		s.count = 0
		s.mutex.Unlock()
	}
	return removed
}

// A slotIndex has the entry of each slot, in pieces that are made when a slot in them is first used.
type slotIndex[K comparable, V any] struct {
	pieces []atomic.Pointer[[slotPiece]atomic.Pointer[entry[K, V]]]
}

const slotPiece = 1 << 10

func (x *slotIndex[K, V]) init(slots uint32) {
	x.pieces = make([]atomic.Pointer[[slotPiece]atomic.Pointer[entry[K, V]]], (uint64(slots)+slotPiece-1)/slotPiece)
}

func (x *slotIndex[K, V]) of(slot uint32) *atomic.Pointer[entry[K, V]] {
	piece := x.pieces[slot/slotPiece].Load()
	for piece == nil {
		x.pieces[slot/slotPiece].CompareAndSwap(nil, new([slotPiece]atomic.Pointer[entry[K, V]]))
		piece = x.pieces[slot/slotPiece].Load()
	}
	return &piece[slot%slotPiece]
}

// at returns the entry at a slot, if it is of this generation.
func (x *slotIndex[K, V]) at(at slotRef) *entry[K, V] {
	if e := x.of(at.slot).Load(); e != nil && e.at == at {
		return e
	}
	return nil
}

// forget lets go of an entry, unless another one has its slot already.
func (x *slotIndex[K, V]) forget(e *entry[K, V]) { x.of(e.at.slot).CompareAndSwap(e, nil) }

// The bucket fills a line.
var _ = [1]struct{}{}[unsafe.Sizeof(bucket[string, string]{})-64]
