package scrubjay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// A WriteKind is what a write does to its key in the source.
type WriteKind int

const (
	// WriteSet: the whole new value.
	WriteSet WriteKind = 1
	// WriteDelete: the key goes.
	WriteDelete WriteKind = 2
	// WriteDelta: a change, to be applied to what is there.
	WriteDelta WriteKind = 3
)

// String returns "set", "delete" or "delta", as in every language.
func (k WriteKind) String() string {
	switch k {
	case WriteSet:
		return "set"
	case WriteDelete:
		return "delete"
	case WriteDelta:
		return "delta"
	default:
		return fmt.Sprintf("WriteKind(%d)", int(k))
	}
}

// A Write is one for the source, as its writer gets it.
type Write struct {
	// Key is the key.
	Key string
	// Kind is what is to be done.
	Kind WriteKind
	// ID is the identity of the write: a writer that meets it twice has written it already. It is Process-Sequence.
	ID string
	// Process says who wrote.
	Process uint64
	// Sequence grows with each write of a process, and follows the clock across processes: a source that keeps it with the
	// row can refuse what is older. Below 2^53.
	Sequence uint64
	// Attempt is how often it was handed out, this time included.
	Attempt int
	// EnqueuedAt is when it was acknowledged; where writes were merged, the first of them.
	EnqueuedAt time.Time
	// Failure is why it is a dead letter; "" otherwise.
	Failure string

	number uint64
	codec  uint32
	value  []byte
}

// Decode reads the value, or the change, into dest, which must be a pointer: [ErrInvalidValue] where it does not fit, and of
// a delete, which has none.
func (w Write) Decode(dest any) error {
	if w.Kind == WriteDelete {
		return newError(ErrInvalidValue, opBehind, "a delete has no value")
	}
	if err := decode(w.codec, w.value, dest); err != nil {
		return newError(ErrInvalidValue, opBehind, "the value does not fit %s: %v", typeName(dest), err)
	}
	return nil
}

// Bytes are the value, or the change, as it is stored: the bytes of a []byte, otherwise JSON. They are not to be changed.
func (w Write) Bytes() []byte { return w.value }

// Rejected is what a [Writer] returns for writes that failed: the source has the others of the batch. Several are joined by
// [errors.Join].
type Rejected struct {
	// Writes are those that failed, each by itself; none for all of the batch.
	Writes []Write
	// Err says why, for the list of dead letters; 1 KiB of its text is kept.
	Err error
	// Permanent: do not try again. They are dead letters; of several that failed together each is tried alone first.
	Permanent bool
}

// Error returns the text of Err.
func (r *Rejected) Error() string {
	if r.Err == nil {
		return "rejected by the writer"
	}
	return r.Err.Error()
}

// Unwrap returns Err.
func (r *Rejected) Unwrap() error { return r.Err }

// rejections are those that an error consists of; false when there is anything else in it.
func rejections(err error) ([]*Rejected, bool) {
	switch err := err.(type) {
	case *Rejected:
		return []*Rejected{err}, true
	case interface{ Unwrap() []error }:
		var all []*Rejected
		for _, one := range err.Unwrap() {
			some, ok := rejections(one)
			if !ok {
				return nil, false
			}
			all = append(all, some...)
		}
		return all, len(all) > 0
	case interface{ Unwrap() error }:
		return rejections(err.Unwrap())
	default:
		return nil, false
	}
}

// A Batch is writes for the source, of different keys. Whoever gets it answers for each of them, within the Visibility of
// the write-behind, by Ack or Nack; what is not answered for is handed out again.
type Batch struct {
	// Writes are those of the batch. None: none came in time.
	Writes []Write

	open *openWrites
}

// openWrites are the numbers of those that nobody has answered for.
type openWrites struct {
	mutex   sync.Mutex
	behind  *WriteBehind
	numbers []uint64
}

func numbersOf(writes []Write) []uint64 {
	numbers := make([]uint64, len(writes))
	for i := range writes {
		numbers[i] = writes[i].number
	}
	return numbers
}

func newBatchOf(behind *WriteBehind, writes []Write) Batch {
	return Batch{Writes: writes, open: &openWrites{behind: behind, numbers: numbersOf(writes)}}
}

// takeAll takes what was not answered for.
func (b Batch) takeAll() []uint64 {
	if b.open == nil {
		return nil
	}
	b.open.mutex.Lock()
	defer b.open.mutex.Unlock()
	numbers := b.open.numbers
	b.open.numbers = nil
	return numbers
}

// take takes those of these writes that were not answered for.
func (b Batch) take(writes []Write) []uint64 {
	if b.open == nil {
		return nil
	}
	b.open.mutex.Lock()
	defer b.open.mutex.Unlock()
	var numbers []uint64
	for i := range writes {
		if at := slices.Index(b.open.numbers, writes[i].number); at >= 0 {
			b.open.numbers = slices.Delete(b.open.numbers, at, at+1)
			numbers = append(numbers, writes[i].number)
		}
	}
	return numbers
}

// Ack says that the source has these writes; without any, all that were not answered for. It never blocks.
func (b Batch) Ack(writes ...Write) {
	numbers := b.take(writes)
	if len(writes) == 0 {
		numbers = b.takeAll()
	}
	if len(numbers) > 0 {
		capiBehindAck(b.open.behind.handle, numbers)
	}
}

// Nack says that these writes failed, each by itself; without any, that the batch failed as a whole, but for those that
// were answered for. An err that is [Rejected] says more: as from a [Writer]. It never blocks.
//
// One that failed by itself is tried again after a pause, or is a dead letter. Of a batch that failed as a whole each is
// tried again, alone where that may tell whose fault it was, and the error is held against none of them.
func (b Batch) Nack(err error, writes ...Write) {
	if err == nil {
		err = errors.New("the writer said no reason")
	}
	all, ok := rejections(err)
	switch {
	case len(writes) > 0:
		for _, number := range b.take(writes) {
			b.nack([]uint64{number}, err, ok && all[0].Permanent)
		}
	case !ok:
		b.nack(b.takeAll(), err, false)
	default:
		for _, rejected := range all {
			if len(rejected.Writes) == 0 {
				b.nack(b.takeAll(), rejected, rejected.Permanent)
				continue
			}
			for _, number := range b.take(rejected.Writes) {
				b.nack([]uint64{number}, rejected, rejected.Permanent)
			}
		}
		b.Ack()
	}
}

func (b Batch) nack(numbers []uint64, err error, permanent bool) {
	if len(numbers) > 0 {
		capiBehindNack(b.open.behind.handle, numbers, err.Error(), permanent)
	}
}

// giveBack says that its writes were not tried, or not to their end: they are due again at once.
func (b Batch) giveBack() {
	if numbers := b.takeAll(); len(numbers) > 0 {
		capiBehindGiveBack(b.open.behind.handle, numbers)
	}
}

// NextBatch returns the next writes for the source, of different keys, the longest due first; an empty batch when none came
// within Wait. It returns [ErrClosed] at the end, [ErrInvalidOption], or ctx.Err().
func (w *WriteBehind) NextBatch(ctx context.Context, o BatchOptions) (Batch, error) {
	if err := o.check(); err != nil {
		return Batch{}, err
	}
	wait := int64(-1)
	if o.Wait > 0 {
		wait = whole(o.Wait)
	}
	call, answer, err := w.cache.do(ctx, "next_batch", func(call *call) (reply, bool) {
		return capiBehindNext(w.handle, call, uint32(min(o.MaxItems, math.MaxUint32)), uint64(o.MaxBytes), whole(o.Linger), wait)
	})
	if err != nil {
		return Batch{}, err
	}
	defer call.release()
	if answer.status != statusWrites {
		return Batch{}, nil
	}
	return newBatchOf(w, answer.writes()), nil
}

// Batches returns a channel of batches of up to 100 writes. It is closed when ctx is over or the write-behind is closed. What
// nobody has received by then is handed out again.
//
//	for batch := range stock.Batches(ctx) {
//		if err := db.StoreStock(ctx, batch.Writes); err != nil {
//			batch.Nack(err)
//			continue
//		}
//		batch.Ack()
//	}
func (w *WriteBehind) Batches(ctx context.Context) <-chan Batch {
	batches := make(chan Batch)
	go func() {
		defer close(batches)
		for {
			batch, err := w.NextBatch(ctx, BatchOptions{})
			if err != nil {
				return
			}
			select {
			case batches <- batch:
			case <-ctx.Done():
				batch.giveBack()
				return
			}
		}
	}()
	return batches
}

// Run brings writes to the source until the write-behind is closed, and returns nil then, or until ctx is over, and returns
// ctx.Err(). The writer runs in this goroutine; nil is that of the options. Several may run at once, in one process or many.
//
// A writer that panics has failed as a whole, and the panic goes on. One that fails because ctx is over gives its writes
// back: they are due again at once.
func (w *WriteBehind) Run(ctx context.Context, writer Writer) error {
	return w.RunWith(ctx, BatchOptions{}, writer)
}

// RunWith is Run with batches as they are asked for.
func (w *WriteBehind) RunWith(ctx context.Context, o BatchOptions, writer Writer) error {
	if writer == nil {
		writer = w.writer
	}
	if writer == nil {
		return newError(ErrInvalidOption, opBehind, "writer must not be nil, for the options have none")
	}
	for {
		batch, err := w.NextBatch(ctx, o)
		switch {
		case errors.Is(err, ErrClosed):
			return nil
		case err != nil:
			return err
		case len(batch.Writes) == 0:
			continue
		case ctx.Err() != nil:
			batch.giveBack()
			return ctx.Err()
		}
		batch.write(ctx, writer)
	}
}

// write has a writer make the writes of a batch, and answers for them.
func (b Batch) write(ctx context.Context, writer Writer) {
	returned := false
	defer func() {
		if !returned {
			// It panicked, or its goroutine ended.
			b.Nack(errors.New("the writer panicked"))
		}
	}()
	err := writer(ctx, append([]Write(nil), b.Writes...))
	returned = true
	switch {
	case err == nil:
		b.Ack()
	case isEndOf(ctx, err):
		b.giveBack()
	default:
		b.Nack(err)
	}
}
