package scrubjay

import (
	"context"
	"encoding/json"
	"time"
)

// An AckLevel says when a write of a [WriteBehind] is acknowledged.
type AckLevel string

const (
	// AckJournal: it is in a file of this process, and that has been synced to the disk. It survives the process and the
	// machine.
	AckJournal AckLevel = "journal"
	// AckRedis: it is in a stream of the cache's Redis, which all processes share.
	AckRedis AckLevel = "redis"
	// AckMemory: it is in the memory of this process, and goes with it.
	AckMemory AckLevel = "memory"
)

// OnFull says what becomes of a write when too much waits.
type OnFull string

const (
	// OnFullBlock: it waits, for BlockFor at most; then it is [ErrOverloaded].
	OnFullBlock OnFull = "block"
	// OnFullWriteThrough: its caller makes it by Writer, when the earlier writes of its key are done.
	OnFullWriteThrough OnFull = "write_through"
	// OnFullReject: it is [ErrOverloaded].
	OnFullReject OnFull = "reject"
)

// A Writer brings writes to the source. It is given up to 100 of different keys, and returns nil when the source has all
// of them. An error is one of all of them, which are tried again, each alone where that may tell whose fault it was;
// [Rejected] names those that failed, and says that the source has the others.
type Writer func(ctx context.Context, writes []Write) error

// WriteBehindOptions say how a write-behind works. The zero value of each field is its default; where zero itself has a
// meaning the field is a pointer, and [Ptr] makes one.
type WriteBehindOptions struct {
	// Name is 1 to 64 of A-Z a-z 0-9 _ . -: processes with the same name and directory, or the same name, prefix and Redis,
	// work together. Required.
	Name string
	// Ack is when a write is acknowledged. Default: AckJournal.
	Ack AckLevel
	// Directory is where the journals are, on a local disk; it is made if it is not there. Required by AckJournal.
	Directory string
	// MaxBytes is how much may wait in this process, overhead counted, with AckRedis in all streams together: 4 KiB to
	// 64 GiB. Default: 64 MiB.
	MaxBytes int64
	// MaxAge is how old the oldest write may be: 1 ms to 365 days. Default: no such bound.
	MaxAge time.Duration
	// OnFull is what becomes of a write beyond these bounds. Default: OnFullBlock.
	OnFull OnFull
	// BlockFor is how long a write waits at most: 0 to 1 h. Default: 5 s.
	BlockFor *time.Duration
	// MaxAttempts is after how many failures of a write alone it is a dead letter: up to 1,000,000; 0 is never. Default: 20.
	MaxAttempts *int
	// RetryBase is the pause after the first failure, which doubles with each: 1 ms to 1 h. Default: 100 ms.
	RetryBase time.Duration
	// RetryMax is the longest pause: 1 ms to 24 h. Default: 30 s.
	RetryMax time.Duration
	// Visibility is after how long a write that was handed out and not answered for is due again: 100 ms to 24 h, and longer
	// than the slowest writer. Default: 1 min.
	Visibility time.Duration
	// Partitions is over how many partitions keys are spread with AckRedis: 1 to 256. The first process decides. Default: 16.
	Partitions int
	// Writer is the writer of [WriteBehind.Run] where that is given none. Required by OnFullWriteThrough.
	Writer Writer
}

// json is the form in which the native library reads them: see [Options].
func (o WriteBehindOptions) json() ([]byte, error) {
	fields := map[string]any{"name": o.Name}
	set(fields, "ack", o.Ack)
	set(fields, "directory", o.Directory)
	set(fields, "max_bytes", o.MaxBytes)
	setDuration(fields, "max_age", o.MaxAge)
	set(fields, "on_full", o.OnFull)
	setPointer(fields, "block_for", seconds(o.BlockFor))
	setPointer(fields, "max_attempts", o.MaxAttempts)
	setDuration(fields, "retry_base", o.RetryBase)
	setDuration(fields, "retry_max", o.RetryMax)
	setDuration(fields, "visibility", o.Visibility)
	set(fields, "partitions", o.Partitions)
	return json.Marshal(fields)
}

// BatchOptions say how large a batch may be, and how long it may take. The zero value of each is its default.
type BatchOptions struct {
	// MaxItems is how many writes there are in it at most: up to 10,000. Default: 100.
	MaxItems int
	// MaxBytes is how many bytes of keys and values, unless it is one write. Default: 1 MiB.
	MaxBytes int64
	// Linger is for how long the first write waits for others: up to 1 h. Default: not at all.
	Linger time.Duration
	// Wait is how long to wait for the first one. Default: as long as it takes.
	Wait time.Duration
}

// check refuses what the library has no number for; it knows the limits.
func (o BatchOptions) check() error {
	for _, field := range []struct {
		name  string
		value int64
	}{{"MaxItems", int64(o.MaxItems)}, {"MaxBytes", o.MaxBytes}, {"Linger", int64(o.Linger)}, {"Wait", int64(o.Wait)}} {
		if field.value < 0 {
			return newError(ErrInvalidOption, "next_batch", "%s must not be negative, is %d", field.name, field.value)
		}
	}
	return nil
}
