package scrubjay

import (
	"context"
	"sync"
	"time"
)

// closeGrace is how long Close waits for refreshes whose fetch does not heed its context. Writes have the same time,
// which the library keeps.
const closeGrace = 5 * time.Second

// refreshes are the goroutines that refresh values behind their callers.
type refreshes struct {
	mutex   sync.Mutex
	closed  bool
	next    int
	cancels map[int]context.CancelFunc
	// idle is closed when the last one ends after closed.
	idle chan struct{}
}

// start runs refresh in a goroutine, on a context that outlives the call that drew it. It returns false after
// cancel.
func (r *refreshes) start(ctx context.Context, refresh func(context.Context)) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.closed {
		return false
	}
	if r.cancels == nil {
		r.cancels = map[int]context.CancelFunc{}
	}
	id := r.next
	r.next++
	behind, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancels[id] = cancel
	go func() {
		defer r.ended(id)
		// A panic here would end the process, for a call that has its value and has long gone on. The lease goes
		// back, the value expires, and the next caller's fetch panics where that caller sees it.
		defer func() { _ = recover() }()
		refresh(behind)
	}()
	return true
}

func (r *refreshes) ended(id int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.cancels[id]()
	delete(r.cancels, id)
	if r.closed && len(r.cancels) == 0 {
		close(r.idle)
	}
}

// cancel ends the contexts of all, and lets none start any more.
func (r *refreshes) cancel() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.closed = true
	r.idle = make(chan struct{})
	if len(r.cancels) == 0 {
		close(r.idle)
	}
	for _, cancel := range r.cancels {
		cancel()
	}
}

// wait waits for all to end, at most for this long.
func (r *refreshes) wait(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.idle:
	case <-timer.C:
	}
}
