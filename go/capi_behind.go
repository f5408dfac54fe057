package scrubjay

// The calls of C for a write-behind.

// #include "bridge_behind.h"
import "C"

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"
)

// A behindHandle is a write-behind of the library. Like a handle, it is freed when nothing can use it any more: what is
// durable then stays for whoever opens it next.
type behindHandle struct {
	behind *C.sj_write_behind
}

func capiOpenBehind(h *handle, options []byte) (*behindHandle, error) {
	var (
		behind *C.sj_write_behind
		raw    rawReply
		room   [1 << 10]byte
	)
	status := C.sjgo_behind_open(h.cache, bytesPtr(options), C.size_t(len(options)), &behind, &raw, roomPtr(room[:]), C.size_t(len(room)))
	runtime.KeepAlive(h)
	if err := refused(int32(status), opBehind, &raw, room[:]); err != nil {
		return nil, err
	}
	b := &behindHandle{behind}
	runtime.AddCleanup(b, func(behind *C.sj_write_behind) { C.sj_write_behind_free(behind) }, behind)
	return b, nil
}

func capiBehindSet(b *behindHandle, c *call, key string, value encoded, put put) (reply, bool) {
	tags, tagsLen, tagEnds, tagCount := put.flatTags()
	status := C.sjgo_behind_set(b.behind, stringPtr(key), C.size_t(len(key)), bytesPtr(value.bytes), C.size_t(len(value.bytes)),
		C.uint32_t(value.codec), C.int64_t(put.millis()), put.storeAs(), tags, tagsLen, tagEnds, tagCount,
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(b)
	return c.answer(int32(status))
}

func capiBehindDelete(b *behindHandle, c *call, key string) (reply, bool) {
	status := C.sjgo_behind_delete(b.behind, stringPtr(key), C.size_t(len(key)),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(b)
	return c.answer(int32(status))
}

func capiBehindDelta(b *behindHandle, c *call, key string, change encoded) (reply, bool) {
	status := C.sjgo_behind_delta(b.behind, stringPtr(key), C.size_t(len(key)), bytesPtr(change.bytes), C.size_t(len(change.bytes)),
		C.uint32_t(change.codec), queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(b)
	return c.answer(int32(status))
}

func capiBehindNext(b *behindHandle, c *call, maxItems uint32, maxBytes uint64, linger, wait int64) (reply, bool) {
	status := C.sjgo_behind_next(b.behind, C.uint32_t(maxItems), C.uint64_t(maxBytes), C.int64_t(linger), C.int64_t(wait),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(b)
	return c.answer(int32(status))
}

func capiBehindAck(b *behindHandle, numbers []uint64) {
	C.sj_write_behind_ack(b.behind, numbersPtr(numbers), C.size_t(len(numbers)))
	runtime.KeepAlive(b)
}

// capiBehindNack says that these writes failed, by one error.
func capiBehindNack(b *behindHandle, numbers []uint64, why string, permanent bool) {
	var forGood C.int32_t
	if permanent {
		forGood = 1
	}
	C.sjgo_behind_nack(b.behind, numbersPtr(numbers), C.size_t(len(numbers)), stringPtr(why), C.size_t(len(why)), forGood)
	runtime.KeepAlive(b)
}

func capiBehindGiveBack(b *behindHandle, numbers []uint64) {
	C.sj_write_behind_give_back(b.behind, numbersPtr(numbers), C.size_t(len(numbers)))
	runtime.KeepAlive(b)
}

// capiBehindTurn is the write that its caller is to make; false when its time is over.
func capiBehindTurn(b *behindHandle, turn uint64) (Write, bool) {
	var (
		raw  rawReply
		room [1 << 10]byte
	)
	status := C.sjgo_behind_turn(b.behind, C.uint64_t(turn), &raw, roomPtr(room[:]), C.size_t(len(room)))
	runtime.KeepAlive(b)
	if int32(status) != statusWrites {
		return Write{}, false
	}
	answer := take(&raw, room[:])
	answer.lease = 1
	return answer.writes()[0], true
}

func capiBehindLetters(b *behindHandle, c *call, after uint64, limit int) (reply, bool) {
	status := C.sjgo_behind_letters(b.behind, C.uint64_t(after), C.size_t(limit),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(b)
	return c.answer(int32(status))
}

// capiBehindRevive has letters tried again, or with drop given up; all of them where there are no numbers.
func capiBehindRevive(b *behindHandle, c *call, drop bool, numbers []uint64) (reply, bool) {
	status := C.sjgo_behind_revive(b.behind, flag(drop), numbersPtr(numbers), C.size_t(len(numbers)),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(b)
	return c.answer(int32(status))
}

// capiBehindDrain waits for the source, or with ends closes.
func capiBehindDrain(b *behindHandle, c *call, ends bool, timeout uint64) (reply, bool) {
	status := C.sjgo_behind_drain(b.behind, flag(ends), C.uint64_t(timeout),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(b)
	return c.answer(int32(status))
}

func capiBehindStats(b *behindHandle) []byte {
	var (
		raw  rawReply
		room [1 << 10]byte
	)
	C.sjgo_behind_stats(b.behind, &raw, roomPtr(room[:]), C.size_t(len(room)))
	runtime.KeepAlive(b)
	answer := take(&raw, room[:])
	return answer.value
}

func flag(set bool) C.uint32_t {
	if set {
		return 1
	}
	return 0
}

const statusWrites = int32(C.SJ_WRITES)

// writes are those of an answer, in memory of their own.
func (r *reply) writes() []Write {
	count := int(r.lease)
	if count == 0 {
		return nil
	}
	held := r.value
	if !r.own {
		held = append([]byte(nil), held...)
	}
	writes := make([]Write, count)
	for i, raw := range unsafe.Slice((*C.sj_write)(unsafe.Pointer(unsafe.SliceData(held))), count) {
		value, end := uint64(raw.value), uint64(raw.value)+uint64(raw.value_len)
		writes[i] = Write{
			Key:        string(held[raw.key : raw.key+raw.key_len]),
			Kind:       WriteKind(raw.kind),
			ID:         fmt.Sprintf("%d-%d", uint64(raw.process), uint64(raw.sequence)),
			Process:    uint64(raw.process),
			Sequence:   uint64(raw.sequence),
			Attempt:    int(raw.attempt),
			EnqueuedAt: time.UnixMilli(int64(raw.enqueued_ms)),
			Failure:    string(held[raw.error : raw.error+raw.error_len]),
			number:     uint64(raw.number),
			codec:      uint32(raw.codec),
			value:      held[value:end:end],
		}
	}
	return writes
}
