package scrubjay

import (
	"sync"
	"weak"
)

// Bells: how Go hears that copies are dead.
//
// The library drops entries when their time is up, when there is no room, when another process invalidates them. The
// copies in Go's memory are dead at once, by their generation, but they are still there. So the library rings: it puts
// an answer into the queue, by a token that belongs to no call, and the goroutine that waits there has the owner of
// that token drain what is gone. The owner is held weakly: a cache that nobody uses can go, its bell with it.

// isBell marks the tokens that are bells.
const isBell = 1 << 63

// bells has a func() for each.
var bells sync.Map

type drainer[T any] interface {
	*T
	drain()
}

// newBell returns a bell that has owner drain.
func newBell[T any, D drainer[T]](owner D) uint64 {
	bell := isBell | newTokens(1)
	ref := weak.Make((*T)(owner))
	bells.Store(bell, func() {
		if owner := D(ref.Value()); owner != nil {
			owner.drain()
		}
	})
	return bell
}

// heard has the owner of a bell drain, in a goroutine of its own: there may be much to drop, and callers wait for the
// answers behind this one.
func heard(bell uint64) {
	if drain, ok := bells.Load(bell); ok {
		go drain.(func())()
	}
}
