package scrubjay

import (
	"context"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// How calls wait.
//
// A call has a number, its token. Most calls are answered at once and need no more. Otherwise the answer comes
// through the completion queue of the native library, and one goroutine of the process, blocked in the library,
// takes up to 256 answers at a time and gives each to its call. So a waiting call costs no thread, and the library
// never calls into Go.
//
// The answer of a call may be taken from the queue before the call itself has returned "pending". The goroutine then
// finds nobody waiting and leaves the answer in `early`, where the call looks first. A token is in `early` or
// `waiting` for as long as its answer is under way: one that was cancelled gets none.

const (
	waitBatch  = 256
	tokenShard = 64
	// What a call and the waiter can take without a second call into the library.
	firstScratch = 2 << 10
	maxScratch   = 64 << 10
	waiterArena  = 256 << 10
)

var (
	tokens     atomic.Uint64
	pending    [tokenShard]tokenTable
	waiterOnce sync.Once
	waiterRuns atomic.Bool
	calls      = sync.Pool{New: func() any {
		return &call{token: newTokens(1), answers: make(chan reply, 1), scratch: make([]byte, firstScratch)}
	}}
)

// newTokens returns the first of count tokens that nobody else has.
func newTokens(count int) uint64 {
	return tokens.Add(uint64(count)) - uint64(count) + 1
}

// A call is one call into the library: its token, the room for its answer, and where it waits.
type call struct {
	token   uint64
	answers chan reply
	// many calls have several tokens, whose answers cannot share one scratch.
	many    bool
	raw     rawReply
	scratch []byte
}

// reply is the answer to a call. Its value may lie in the scratch of the call: it is good until the call is released.
type reply struct {
	token   uint64
	status  int32
	codec   uint32
	lease   uint64
	err     error
	receipt Receipt
	value   []byte
	// left is the value as long as it was not collected; own says that nobody else has the memory of value.
	left leftValue
	own  bool
	// grant is leave to keep the value decoded; kept says whether it is given.
	grant grant
	kept  bool

	retryable bool
}

// newManyCall is a call on count keys, with a token for itself and one for each of them.
func newManyCall(count int) *call {
	return &call{
		token:   newTokens(1 + count),
		answers: make(chan reply, 1+count),
		many:    true,
		scratch: make([]byte, firstScratch),
	}
}

func newCall() *call { return calls.Get().(*call) }

// grow makes room for an answer of this size, so that the next one like it is taken with its call.
func (c *call) grow(size int) {
	if size > len(c.scratch) && size <= maxScratch {
		c.scratch = make([]byte, 1<<bits.Len(uint(size-1)))
	}
}

// release gives the call back. Nothing of its replies may be used any more.
func (c *call) release() {
	if !c.many {
		calls.Put(c)
	}
}

type tokenTable struct {
	mutex   sync.Mutex
	waiting map[uint64]*call
	early   map[uint64]reply
	_       [64]byte
}

func tableOf(token uint64) *tokenTable { return &pending[token%tokenShard] }

// register makes c wait for token. If the answer came already, it is returned.
func (c *call) register(token uint64) (reply, bool) {
	waiterOnce.Do(startWaiter)
	table := tableOf(token)
	table.mutex.Lock()
	defer table.mutex.Unlock()
	if answer, ok := table.early[token]; ok {
		delete(table.early, token)
		return answer, true
	}
	if table.waiting == nil {
		table.waiting, table.early = map[uint64]*call{}, map[uint64]reply{}
	}
	table.waiting[token] = c
	return reply{}, false
}

// withdraw takes token back, so that no answer comes. It returns false when the answer came already, or is about
// to come, through c.answers.
func withdraw(token uint64) bool {
	if !capiCancel(token) {
		return false
	}
	table := tableOf(token)
	table.mutex.Lock()
	delete(table.waiting, token)
	table.mutex.Unlock()
	return true
}

// await waits for the answer to c, which is pending, or for the end of ctx.
func (c *call) await(ctx context.Context) (reply, error) {
	answer, ok := c.register(c.token)
	if !ok {
		select {
		case answer = <-c.answers:
		case <-ctx.Done():
			if withdraw(c.token) {
				return reply{}, ctx.Err()
			}
			answer = <-c.answers
		}
	}
	c.grow(max(len(answer.value), answer.left.size))
	answer.collect(c.scratch)
	return answer, nil
}

func startWaiter() {
	waiterRuns.Store(true)
	go wait()
}

// wait takes answers from the queue for as long as the process lives.
func wait() {
	batch := newBatch()
	for {
		for i := range batch.wait() {
			batch.deliver(i)
		}
		// Those that were answered run now, on this very thread, and what they ask next leaves with the next wait.
		runtime.Gosched()
		// Only now: an answer of this batch may have named an error that was released meanwhile.
		fetchErrors.sweep()
	}
}

// deliver gives the answer to the call that waits for token. take makes it a reply, whose value it may put into the
// scratch it is given.
func deliver(token uint64, take func(scratch []byte) reply) {
	table := tableOf(token)
	table.mutex.Lock()
	waiter, ok := table.waiting[token]
	if !ok {
		if table.early == nil {
			table.waiting, table.early = map[uint64]*call{}, map[uint64]reply{}
		}
		table.early[token] = take(nil)
		table.mutex.Unlock()
		return
	}
	delete(table.waiting, token)
	table.mutex.Unlock()
	scratch := waiter.scratch
	if waiter.many {
		scratch = nil
	}
	waiter.answers <- take(scratch)
}
