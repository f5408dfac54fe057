package main

import (
	"bufio"
	"encoding/binary"
	"math"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// What the worker writes down: see records.py.
const (
	opGet = iota + 1
	opGetOrFetch
	opGetMany
	opGetOrFetchMany
	opDelete
	opSet
	opLanded
	opLast
)

const (
	flagPending = 1 << iota
	flagNegative
	flagFailed
	flagMiss
	flagLoaded
)

const noBound = math.MaxUint32

// begun is an operation that has begun.
type begun struct {
	op    uint8
	bound uint32
	at    uint64
}

// begin starts an operation; a bound of math.MaxInt64 is none.
func begin(op uint8, bound time.Duration) begun {
	claimed := uint32(noBound)
	if bound != math.MaxInt64 {
		claimed = uint32(min(bound.Microseconds(), noBound-1))
	}
	return begun{op: op, bound: claimed, at: now()}
}

type log struct {
	mu     sync.Mutex
	file   *bufio.Writer
	worker uint16
}

func openLog(path string, worker uint16) (*log, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &log{file: bufio.NewWriterSize(file, 1<<16), worker: worker}, nil
}

// note is of an operation that ends now; it saw this version, in a value that names this key.
func (l *log) note(b begun, key uint32, ver int64, named uint32, flags uint8) {
	var record [40]byte
	order := binary.LittleEndian
	order.PutUint64(record[0:], b.at)
	order.PutUint64(record[8:], now())
	order.PutUint64(record[16:], uint64(ver))
	order.PutUint32(record[24:], key)
	order.PutUint32(record[28:], named)
	order.PutUint32(record[32:], b.bound)
	order.PutUint16(record[36:], l.worker)
	record[38], record[39] = b.op, flags
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(record[:]); err != nil {
		fail(err)
	}
}

func (l *log) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Flush(); err != nil {
		fail(err)
	}
}

// clockBoottime is CLOCK_BOOTTIME of Linux.
const clockBoottime = 7

// now is the clock of all records, in ns.
func now() uint64 {
	var time syscall.Timespec
	// The kernel writes the time into what the pointer points to, and keeps no pointer.
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&time)), 0)
	if errno != 0 {
		fail(errno)
	}
	return uint64(time.Nano())
}
