package scrubjay

import (
	"sync"
	"sync/atomic"
)

// The errors of fetches, so that the callers that waited for a fetch get the very error of the one that ran it. The
// library carries only a number, and says when no answer can carry it any more.
//
// A number may be released while an answer that names it has left the queue but is not looked at yet: the waiter
// removes what was released only after it has looked at its batch. Where nobody waits the waiter does not run, and
// a fetch that fails removes; then it leaves the last graveSize released errors for that short time.
const graveSize = 1024

var fetchErrors errorTable

type errorTable struct {
	mutex sync.Mutex
	last  uint64
	byRef map[uint64]error
	grave []uint64
	count atomic.Int64
}

// put keeps err and returns its number.
func (t *errorTable) put(err error) uint64 {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.byRef == nil {
		t.byRef = map[uint64]error{}
	}
	t.last++
	t.byRef[t.last] = err
	t.count.Store(int64(len(t.byRef)))
	return t.last
}

// get returns the error of a number, or nil.
func (t *errorTable) get(ref uint64) error {
	if ref == 0 {
		return nil
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.byRef[ref]
}

// bury notes numbers that were released, and removes all but the youngest of them.
func (t *errorTable) bury(refs []uint64) {
	if len(refs) == 0 {
		return
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.grave = append(t.grave, refs...)
	keep := graveSize
	if !waiterRuns.Load() {
		keep = 0
	}
	if excess := len(t.grave) - keep; excess > 0 {
		t.remove(t.grave[:excess])
		t.grave = append(t.grave[:0], t.grave[excess:]...)
	}
}

// sweep removes what was released. Only the waiter calls it, when it has looked at all it took from the queue.
func (t *errorTable) sweep() {
	if t.count.Load() == 0 {
		return
	}
	released := capiReleasedErrors()
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.remove(t.grave)
	t.remove(released)
	t.grave = t.grave[:0]
}

func (t *errorTable) remove(refs []uint64) {
	for _, ref := range refs {
		delete(t.byRef, ref)
	}
	t.count.Store(int64(len(t.byRef)))
}
