package scrubjay

import (
	"sync/atomic"
	"unsafe"
)

// stripes is how many cells a counter has.
const stripes = 32

// A counter counts what many goroutines do at once. Goroutines are told apart by where their stacks lie, so that two
// seldom write the same line; nothing is lost when they do.
type counter struct {
	cells [stripes]struct {
		count atomic.Uint64
		_     [56]byte
	}
}

func (c *counter) add(count uint64) {
	var here byte
	at := uintptr(unsafe.Pointer(&here)) >> 11
	c.cells[(at^at>>5)%stripes].count.Add(count)
}

// sum is what was counted since the counter was made.
func (c *counter) sum() uint64 {
	sum := uint64(0)
	for i := range c.cells {
		sum += c.cells[i].count.Load()
	}
	return sum
}

// take is what was counted since the last call.
func (c *counter) take() uint64 {
	sum := uint64(0)
	for i := range c.cells {
		sum += c.cells[i].count.Swap(0)
	}
	return sum
}
