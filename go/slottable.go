package scrubjay

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// How hits are answered without a call into the native library.
//
// The library keeps a table of plain atomics for each memory tier, in memory that never moves:
//
//	offset 0            now: milliseconds since the table was made, moved by a tick of 10 ms
//	offset 4            not 0 while there is something to drain
//	offset 64 + 8*slot  generation u32 · visited u8 · 3 reserved bytes
//
// A copy of a value in Go's memory remembers its slot, the generation that the slot had, and until when it may be
// served. Whatever removes or replaces the entry in the library changes the generation, and the copy is dead
// everywhere at once. The memory is C's: the garbage collector does not know it, and the loads are atomic, so that no
// loop of hits can keep an old answer.

const (
	tableHeader = 64
	tableStride = 8
	// noEnd is the time of an entry that only the library ends.
	noEnd = 0
	// A time this many milliseconds ahead, or more, cannot be told from one behind in all cases.
	farAway = 1 << 30
	// maxVisited is where the count of visits of a slot ends.
	maxVisited = 3
)

// A slotRef is a slot at one time of its life.
type slotRef struct {
	slot       uint32
	generation uint32
}

// A grant is the library's leave to keep a copy.
type grant struct {
	at    slotRef
	until uint32
}

// end is until when a copy may be served that lives for ttl.
func (g grant) end(ttl time.Duration) uint32 {
	switch {
	case ttl.Milliseconds() >= farAway:
		return noEnd
	case g.until == noEnd:
		return g.until - 1
	default:
		return g.until
	}
}

// A slotTable is the table of a memory tier. It is good as long as its owner is.
type slotTable struct {
	base  unsafe.Pointer
	slots uint32
}

// now is the time of the table.
func (t slotTable) now() uint32 { return atomic.LoadUint32((*uint32)(t.base)) }

// anyGone reports whether there is something to drain.
func (t slotTable) anyGone() bool { return atomic.LoadUint32((*uint32)(unsafe.Add(t.base, 4))) != 0 }

func (t slotTable) cell(slot uint32) unsafe.Pointer {
	return unsafe.Add(t.base, tableHeader+uintptr(slot)*tableStride)
}

// holds reports whether what was at this slot is still there.
func (t slotTable) holds(at slotRef) bool {
	return atomic.LoadUint32((*uint32)(t.cell(at.slot))) == at.generation
}

// over reports whether this time has come. Times wrap around: they are compared by their difference. For noEnd it
// never comes.
func (t slotTable) over(until uint32) bool { return until != noEnd && int32(t.now()-until) >= 0 }

// lives reports whether a copy may be served.
func (t slotTable) lives(at slotRef, until uint32) bool { return t.holds(at) && !t.over(until) }

// visit tells the policy that the slot was used. Most of the time it only reads: the count ends at three. Go has no
// atomic byte, so the whole word is stored, of which the count is all that is not reserved.
func (t slotTable) visit(slot uint32) {
	visited := (*uint32)(unsafe.Add(t.cell(slot), 4))
	if count := atomic.LoadUint32(visited); count < maxVisited {
		atomic.StoreUint32(visited, count+1)
	}
}
