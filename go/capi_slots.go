package scrubjay

// The calls of C for slots: the memory tier of a MemoryCache, and the copies of a CacheService.

// #cgo noescape sjgo_slots_insert
// #cgo nocallback sjgo_slots_insert
// #cgo noescape sjgo_slots_refused
// #cgo nocallback sj_slots_remove
// #cgo noescape sj_slots_drain
// #cgo nocallback sj_slots_drain
// #cgo noescape sj_drain_copies
// #cgo nocallback sj_drain_copies
// #cgo noescape sj_slots_counters
// #cgo nocallback sj_slots_counters
// #include "bridge.h"
import "C"

import (
	"runtime"
	"time"
	"unsafe"
)

// unbounded is no bound.
const unbounded = uint64(C.SJ_UNBOUNDED)

// The layout of slottable.go is the library's.
var (
	_ = [1]struct{}{}[C.SJ_TABLE_HEADER-tableHeader]
	_ = [1]struct{}{}[C.SJ_TABLE_STRIDE-tableStride]
)

// A tier is a memory tier of the library whose values are Go's. Like a handle, it is freed when nothing can use it
// any more.
type tier struct {
	slots *C.sj_slots
	table slotTable
}

// freedTier is what is left to do when a tier is unreachable.
type freedTier struct {
	slots *C.sj_slots
	bell  uint64
}

// capiOpenSlots makes a tier whose bell is heard by ring.
func capiOpenSlots(maxEntries, maxBytes uint64) (*tier, error) {
	var (
		slots *C.sj_slots
		table C.sj_table
		raw   rawReply
		room  [512]byte
	)
	if C.sjgo_slots_open(C.uint64_t(maxEntries), C.uint64_t(maxBytes), &slots, &table, &raw, roomPtr(room[:]), C.size_t(len(room))) < 0 {
		answer := take(&raw, room[:])
		return nil, answer.failure("open")
	}
	return &tier{slots, slotTable{unsafe.Pointer(table.base), uint32(table.slots)}}, nil
}

// ring has a bell rung when there is something to drain. The tier is freed when it is unreachable, and the bell with
// it.
func (t *tier) ring(bell uint64) {
	C.sj_slots_ring(t.slots, queue(), C.uint64_t(bell))
	runtime.AddCleanup(t, func(freed freedTier) {
		bells.Delete(freed.bell)
		C.sj_slots_free(freed.slots)
	}, freedTier{t.slots, bell})
}

// What an insert came to.
type inserted struct {
	grant  grant
	stored bool
	raw    C.sjgo_inserted
}

// gone is the slots that were freed for it, and whether more of them are to be drained.
func (i *inserted) gone() ([]C.sj_slot, bool) {
	count := min(int(i.raw.count), len(i.raw.gone))
	return i.raw.gone[:count], int(i.raw.count) > count
}

// insert takes an entry in, in the place of another one of its key, if that is not nil. It returns false when the
// library refuses the ttl.
func (t *tier) insert(hash, weight uint64, ttl time.Duration, instead *slotRef, into *inserted) bool {
	var (
		replaces C.uint32_t
		old      C.sj_slot
	)
	if instead != nil {
		replaces, old = 1, C.sj_slot{C.uint32_t(instead.slot), C.uint32_t(instead.generation)}
	}
	status := C.sjgo_slots_insert(t.slots, C.uint64_t(hash), C.uint64_t(weight), C.int64_t(put{ttl: ttl}.millis()), replaces, old, &into.raw)
	runtime.KeepAlive(t)
	into.stored = status == C.SJ_OK
	into.grant, _ = granted(&into.raw.copy)
	return status >= 0
}

// refused is why insert returned false.
func (t *tier) refused(ttl time.Duration) error {
	var (
		raw  rawReply
		room [512]byte
	)
	C.sjgo_slots_refused(t.slots, C.int64_t(put{ttl: ttl}.millis()), &raw, roomPtr(room[:]), C.size_t(len(room)))
	runtime.KeepAlive(t)
	answer := take(&raw, room[:])
	return answer.failure("set")
}

// remove takes an entry out; false when it had gone already.
func (t *tier) remove(at slotRef) bool {
	status := C.sj_slots_remove(t.slots, C.sj_slot{C.uint32_t(at.slot), C.uint32_t(at.generation)})
	runtime.KeepAlive(t)
	return status == C.SJ_OK
}

func (t *tier) clear() {
	C.sj_slots_clear(t.slots)
	runtime.KeepAlive(t)
}

// drain hands out a batch of what is gone, and returns whether there may be more.
func (t *tier) drain(drop func(slotRef)) bool {
	var room [waitBatch]C.sj_slot
	gone := room[:C.sj_slots_drain(t.slots, &room[0], waitBatch)]
	runtime.KeepAlive(t)
	return dropAll(gone, drop)
}

func dropAll(gone []C.sj_slot, drop func(slotRef)) bool {
	for i := range gone {
		drop(slot(&gone[i]))
	}
	return len(gone) == waitBatch
}

func (t *tier) stats() MemoryStats {
	var raw C.sj_slots_stats
	C.sj_slots_counters(t.slots, &raw)
	runtime.KeepAlive(t)
	return MemoryStats{Evictions: uint64(raw.evictions), Expired: uint64(raw.expired), Entries: uint64(raw.entries), Bytes: uint64(raw.bytes)}
}

func slot(raw *C.sj_slot) slotRef { return slotRef{uint32(raw.slot), uint32(raw.generation)} }

// granted is what leave an answer gives to keep a copy.
func granted(raw *C.sj_copy) (grant, bool) {
	return grant{slot(&raw.at), uint32(raw.until)}, raw.granted != 0
}

// keepCopies has the library give leave to keep copies, and returns where their slots are; false where it has no
// memory tier.
func (h *handle) keepCopies() (slotTable, bool) {
	var table C.sj_table
	defer runtime.KeepAlive(h)
	if C.sj_keep_copies(h.cache, C.SJ_COPIES_GO) != C.SJ_OK || C.sj_cache_table(h.cache, &table) != C.SJ_OK {
		return slotTable{}, false
	}
	return slotTable{unsafe.Pointer(table.base), uint32(table.slots)}, true
}

func (h *handle) ringCopies(bell uint64) {
	C.sj_ring_copies(h.cache, queue(), C.uint64_t(bell))
	runtime.AddCleanup(h, func(bell uint64) { bells.Delete(bell) }, bell)
}

// drainCopies is drain for copies.
func (h *handle) drainCopies(drop func(slotRef)) bool {
	var room [waitBatch]C.sj_slot
	gone := room[:C.sj_drain_copies(h.cache, &room[0], waitBatch)]
	runtime.KeepAlive(h)
	return dropAll(gone, drop)
}

func (h *handle) noteHits(hits uint64) {
	C.sj_note_hits(h.cache, C.uint64_t(hits))
	runtime.KeepAlive(h)
}
