package scrubjay

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// A WriteBehind has the cache hold values at once, and the source get them later, from a worker. Made by
// [OpenWriteBehind]; all methods may be called by many goroutines at once.
//
// The writes of one key reach the source in the order in which they were acknowledged: within a process with [AckJournal]
// and [AckMemory], across all processes with [AckRedis]. Values and deletions that wait merge, the newest wins; changes never
// do. A worker that dies between its write and its answer leaves a write that is handed out again, with the same ID.
type WriteBehind struct {
	cache  *CacheService
	handle *behindHandle
	writer Writer
}

const opBehind = "write_behind"

// OpenWriteBehind opens a write-behind over a cache. It starts no thread and opens no file: its first use does. A wrong
// option is [ErrInvalidOption].
//
//	stock, err := scrubjay.OpenWriteBehind(cache, scrubjay.WriteBehindOptions{Name: "stock", Directory: "/var/lib/shop"})
//	go stock.Run(ctx, func(ctx context.Context, writes []scrubjay.Write) error { return db.StoreStock(ctx, writes) })
//	receipt, err := stock.Set(ctx, "stock:7", 41, time.Minute)
func OpenWriteBehind(cache *CacheService, options WriteBehindOptions) (*WriteBehind, error) {
	if cache.failure != nil {
		return nil, cache.failure
	}
	if options.OnFull == OnFullWriteThrough && options.Writer == nil {
		return nil, newError(ErrInvalidOption, opBehind, "Writer must be given with OnFullWriteThrough: callers use it")
	}
	text, err := options.json()
	if err != nil {
		return nil, newError(ErrInvalidOption, opBehind, "options cannot be encoded as JSON: %v", err)
	}
	handle, err := capiOpenBehind(cache.handle, text)
	if err != nil {
		return nil, err
	}
	return &WriteBehind{cache: cache, handle: handle, writer: options.Writer}, nil
}

// Set stores a value in the cache, and behind it in the source. Of several values that wait for a key the source gets the
// newest. It returns when the write is acknowledged.
//
// [ErrUnavailable]: the journal, or the stream, cannot be written, and nothing has happened. [ErrOverloaded]: too much waits.
// Before anything happens [ErrInvalidKey], [ErrInvalidValue], [ErrInvalidOption], [ErrClosed]. Where ctx ends first the
// write may or may not have been made.
//
// With [OnFullWriteThrough] it may call the Writer of the options, in this goroutine and with ctx, and return what that
// returns; its receipt is the zero value then.
func (w *WriteBehind) Set(ctx context.Context, key string, value any, ttl time.Duration, opts ...SetOption) (Receipt, error) {
	bytes, err := encode(opBehind, value)
	if err != nil {
		return Receipt{}, err
	}
	defer bytes.release()
	put := newPut(ttl, opts)
	return w.write(ctx, func(call *call) (reply, bool) { return capiBehindSet(w.handle, call, key, bytes, put) })
}

// Delete deletes a key from the cache, and behind it from the source; until the source has it, a GetOrFetch of the key is
// [ErrNotFound]. As [WriteBehind.Set].
func (w *WriteBehind) Delete(ctx context.Context, key string) (Receipt, error) {
	return w.write(ctx, func(call *call) (reply, bool) { return capiBehindDelete(w.handle, call, key) })
}

// Delta has the source change what it has under a key, by what the writer understands: an entry to append, a number to add.
// It never merges with another write. The cache lets go of the key, and stores nothing that is loaded before the source has
// it. As [WriteBehind.Set].
func (w *WriteBehind) Delta(ctx context.Context, key string, change any) (Receipt, error) {
	bytes, err := encode(opBehind, change)
	if err != nil {
		return Receipt{}, err
	}
	defer bytes.release()
	return w.write(ctx, func(call *call) (reply, bool) { return capiBehindDelta(w.handle, call, key, bytes) })
}

func (w *WriteBehind) write(ctx context.Context, start func(*call) (reply, bool)) (Receipt, error) {
	call, answer, err := w.cache.do(ctx, opBehind, start)
	if err != nil {
		return Receipt{}, err
	}
	call.release()
	if answer.status == statusLead {
		return Receipt{}, w.writeThrough(ctx, answer.lease)
	}
	return answer.receipt, nil
}

// writeThrough makes a write for which there is no room.
func (w *WriteBehind) writeThrough(ctx context.Context, turn uint64) error {
	write, ok := capiBehindTurn(w.handle, turn)
	if !ok {
		return newError(ErrOverloaded, opBehind, "the time of the caller to write is over: see Visibility")
	}
	numbers, made := []uint64{turn}, false
	defer func() {
		// Also when the writer panics, or ends its goroutine: those that wait behind it go on.
		if made {
			capiBehindAck(w.handle, numbers)
		} else {
			capiBehindNack(w.handle, numbers, "the caller could not make it", false)
		}
	}()
	err := w.writer(ctx, []Write{write})
	made = err == nil
	return err
}

// A DrainReport is what a flush or a close came to.
type DrainReport struct {
	// Written is how many writes the source got meanwhile.
	Written uint64 `json:"written"`
	// Left is how many it has not got. After a close they are in the journal or the stream, for whoever opens it next, or
	// lost with [AckMemory].
	Left uint64 `json:"left"`
	// Dead is how many dead letters there are, which stay where they are.
	Dead uint64 `json:"dead"`
}

// forAsLongAsItTakes, in milliseconds: a year, beyond which nobody waits.
const forAsLongAsItTakes = 365 * 24 * 3600 * 1000

// Flush waits until the source has every write that was acknowledged before, or ctx is over. Dead letters are not waited
// for. Some goroutine, here or elsewhere, must [WriteBehind.Run] meanwhile.
func (w *WriteBehind) Flush(ctx context.Context) (DrainReport, error) {
	return w.drain(ctx, "flush", false, forAsLongAsItTakes)
}

// Close takes no more writes, waits, 5 s at most, until the source has those that there are, and ends: those that Run
// return, and channels of batches are closed. What is left is told by the report. A second close reports what there is.
func (w *WriteBehind) Close() (DrainReport, error) { return w.CloseWithin(closeGrace) }

// CloseWithin is Close with another time to wait.
func (w *WriteBehind) CloseWithin(grace time.Duration) (DrainReport, error) {
	return w.drain(context.Background(), "close", true, uint64(max(0, whole(grace))))
}

func (w *WriteBehind) drain(ctx context.Context, operation string, ends bool, timeout uint64) (DrainReport, error) {
	var report DrainReport
	call, answer, err := w.cache.do(ctx, operation, func(call *call) (reply, bool) { return capiBehindDrain(w.handle, call, ends, timeout) })
	if err != nil {
		return report, err
	}
	defer call.release()
	// The library writes these very fields.
	return report, json.Unmarshal(answer.value, &report)
}

// DeadLetters returns writes that failed for good, each with its Failure: those after a given one, or from the first, and
// at most limit of them, 0 for 100.
func (w *WriteBehind) DeadLetters(ctx context.Context, after *Write, limit int) ([]Write, error) {
	if limit < 0 {
		return nil, newError(ErrInvalidOption, "dead_letters", "limit must not be negative, is %d", limit)
	}
	number := uint64(0)
	if after != nil {
		number = after.number
	}
	call, answer, err := w.cache.do(ctx, "dead_letters", func(call *call) (reply, bool) { return capiBehindLetters(w.handle, call, number, limit) })
	if err != nil {
		return nil, err
	}
	defer call.release()
	return answer.writes(), nil
}

// Replay has these dead letters tried again, and returns how many.
func (w *WriteBehind) Replay(ctx context.Context, letters ...Write) (int, error) {
	return w.revive(ctx, "replay", false, letters)
}

// ReplayAll has all dead letters tried again.
func (w *WriteBehind) ReplayAll(ctx context.Context) (int, error) {
	return w.reviveThese(ctx, "replay", false, nil)
}

// Drop gives these dead letters up, and returns how many. The cache lets go of their keys.
func (w *WriteBehind) Drop(ctx context.Context, letters ...Write) (int, error) {
	return w.revive(ctx, "drop", true, letters)
}

// DropAll gives all dead letters up.
func (w *WriteBehind) DropAll(ctx context.Context) (int, error) {
	return w.reviveThese(ctx, "drop", true, nil)
}

func (w *WriteBehind) revive(ctx context.Context, operation string, drop bool, letters []Write) (int, error) {
	if len(letters) == 0 {
		// For the library that would be all of them.
		return 0, ctx.Err()
	}
	return w.reviveThese(ctx, operation, drop, numbersOf(letters))
}

func (w *WriteBehind) reviveThese(ctx context.Context, operation string, drop bool, numbers []uint64) (int, error) {
	call, answer, err := w.cache.do(ctx, operation, func(call *call) (reply, bool) { return capiBehindRevive(w.handle, call, drop, numbers) })
	if err != nil {
		return 0, err
	}
	call.release()
	return int(min(answer.lease, math.MaxInt)), nil
}

// WriteBehindStats are the counters of one write-behind in this process.
type WriteBehindStats struct {
	// Depth is how many writes wait for the source, those handed out included; dead letters are not.
	Depth uint64 `json:"depth"`
	// Bytes is what they and the dead letters weigh, overhead counted.
	Bytes uint64 `json:"bytes"`
	// OldestAgeMs is for how many milliseconds the oldest of them has waited.
	OldestAgeMs uint64 `json:"oldest_age_ms"`
	// InFlight is how many writes are handed out and not answered for.
	InFlight uint64 `json:"in_flight"`
	// Accepted counts writes acknowledged to callers.
	Accepted uint64 `json:"accepted"`
	// Written counts writes that the source has.
	Written uint64 `json:"written"`
	// Coalesced counts writes that a newer one of their key took the place of.
	Coalesced uint64 `json:"coalesced"`
	// Retried counts failures of writes that were, or will be, tried again.
	Retried uint64 `json:"retried"`
	// Dead is how many dead letters there are.
	Dead uint64 `json:"dead"`
	// Adopted counts writes taken over from dead processes.
	Adopted uint64 `json:"adopted"`
	// Rejected counts writes refused, or that waited in vain, because too much waited.
	Rejected uint64 `json:"rejected"`
	// JournalErrors counts commits, or attempts to open a journal anew, that failed.
	JournalErrors uint64 `json:"journal_errors"`
	// JournalFailed is 1 while writes are not acknowledged because the journal, or the stream, cannot be written.
	JournalFailed uint64 `json:"journal_failed"`
}

// Stats returns the counters of this write-behind, in this process.
func (w *WriteBehind) Stats() WriteBehindStats {
	var stats WriteBehindStats
	// The library writes these very fields: what it says is always readable.
	_ = json.Unmarshal(capiBehindStats(w.handle), &stats)
	return stats
}
