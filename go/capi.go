package scrubjay

// Everything that touches C. A Go pointer never stays in the library after a call: it copies what it keeps.

// #cgo noescape sjgo_get
// #cgo nocallback sjgo_get
// #cgo noescape sjgo_set
// #cgo nocallback sjgo_set
// #cgo noescape sjgo_begin
// #cgo nocallback sjgo_begin
// #cgo noescape sjgo_fulfil
// #cgo nocallback sjgo_fulfil
// #include "bridge.h"
import "C"

import (
	"fmt"
	"iter"
	"runtime"
	"sync"
	"unsafe"
)

// What the library answers. Negative is an error: the number of its kind.
const (
	statusHit     = int32(C.SJ_HIT)
	statusMiss    = int32(C.SJ_MISS)
	statusStale   = int32(C.SJ_STALE)
	statusLead    = int32(C.SJ_LEAD)
	statusPending = int32(C.SJ_PENDING)
	statusBypass  = int32(C.SJ_BYPASS)
	statusWaiting = int32(C.SJ_WAITING)
)

type rawReply = C.sjgo_reply

// A handle is a cache of the library. It is freed when nothing can use it any more; that is memory only, and no
// substitute for Close.
type handle struct {
	cache *C.sj_cache
}

func capiOpen(options []byte) (*handle, error) {
	var (
		cache *C.sj_cache
		raw   rawReply
		room  [1 << 10]byte
	)
	if C.sjgo_open(bytesPtr(options), C.size_t(len(options)), &cache, &raw, roomPtr(room[:]), C.size_t(len(room))) < 0 {
		answer := take(&raw, room[:])
		return nil, answer.failure("open")
	}
	h := &handle{cache}
	runtime.AddCleanup(h, func(cache *C.sj_cache) { C.sj_cache_free(cache) }, cache)
	return h, nil
}

// The one queue of the process.
var queue = sync.OnceValue(func() *C.sj_queue { return C.sj_queue_new() })

func capiGet(h *handle, c *call, key string) (reply, bool) {
	status := C.sjgo_get(h.cache, stringPtr(key), C.size_t(len(key)), queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiSet(h *handle, c *call, key string, value encoded, put put) (reply, bool) {
	tags, tagsLen, tagEnds, tagCount := put.flatTags()
	status := C.sjgo_set(h.cache, stringPtr(key), C.size_t(len(key)), bytesPtr(value.bytes), C.size_t(len(value.bytes)),
		C.uint32_t(value.codec), C.int64_t(put.millis()), put.storeAs(), tags, tagsLen, tagEnds, tagCount,
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiDelete(h *handle, c *call, key string) (reply, bool) {
	status := C.sjgo_delete(h.cache, stringPtr(key), C.size_t(len(key)), queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiInvalidateTags(h *handle, c *call, tags flat) (reply, bool) {
	status := C.sjgo_invalidate_tags(h.cache, bytesPtr(tags.bytes), C.size_t(len(tags.bytes)), numbersPtr(tags.ends), C.size_t(len(tags.ends)),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiClear(h *handle, c *call) (reply, bool) {
	status := C.sjgo_clear(h.cache, queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiClose(h *handle, c *call) (reply, bool) {
	status := C.sjgo_close(h.cache, queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiGetMany(h *handle, c *call, keys flat) (reply, bool) {
	status := C.sjgo_get_many(h.cache, bytesPtr(keys.bytes), C.size_t(len(keys.bytes)), numbersPtr(keys.ends), C.size_t(len(keys.ends)),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiDeleteMany(h *handle, c *call, keys flat) (reply, bool) {
	status := C.sjgo_delete_many(h.cache, bytesPtr(keys.bytes), C.size_t(len(keys.bytes)), numbersPtr(keys.ends), C.size_t(len(keys.ends)),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiBegin(h *handle, c *call, key string, put put, held []uint64, bypass bool) (reply, bool) {
	var flags C.uint32_t
	if bypass {
		flags = C.SJ_FETCH_BYPASS_CACHE
	}
	tags, tagsLen, tagEnds, tagCount := put.flatTags()
	status := C.sjgo_begin(h.cache, stringPtr(key), C.size_t(len(key)),
		flags, C.int64_t(put.millis()), put.storeAs(), numbersPtr(held), C.size_t(len(held)),
		tags, tagsLen, tagEnds, tagCount,
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiBeginMany(h *handle, c *call, keys flat, put put, held []uint64) (reply, bool) {
	tags, tagsLen, tagEnds, tagCount := put.flatTags()
	status := C.sjgo_begin_many(h.cache, bytesPtr(keys.bytes), C.size_t(len(keys.bytes)), numbersPtr(keys.ends), C.size_t(len(keys.ends)),
		C.int64_t(put.millis()), put.storeAs(), numbersPtr(held), C.size_t(len(held)),
		tags, tagsLen, tagEnds, tagCount,
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

// flags are those of an update.
func (u *updating) flags() C.uint32_t {
	if u.strict {
		return C.SJ_UPDATE_STRICT
	}
	return 0
}

func capiUpdateBegin(h *handle, c *call, keys flat, how *updating) (reply, bool) {
	status := C.sjgo_update_begin(h.cache, bytesPtr(keys.bytes), C.size_t(len(keys.bytes)), numbersPtr(keys.ends), C.size_t(len(keys.ends)),
		how.flags(), C.int64_t(how.intentTTL), C.int64_t(how.hold),
		bytesPtr(how.tags.bytes), C.size_t(len(how.tags.bytes)), numbersPtr(how.tags.ends), C.size_t(len(how.tags.ends)),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiUpdateEnd(h *handle, c *call, update uint64) (reply, bool) {
	status := C.sjgo_update_end(h.cache, C.uint64_t(update), queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

// capiStoreBegin begins a write of one key; a removal where there is no value.
func capiStoreBegin(h *handle, c *call, key string, value *encoded, put put, how *updating, held []uint64) (reply, bool) {
	var (
		removal C.uint8_t = 1
		stored  encoded
	)
	if value != nil {
		removal, stored = 0, *value
	}
	tags, tagsLen, tagEnds, tagCount := put.flatTags()
	status := C.sjgo_store_begin(h.cache, stringPtr(key), C.size_t(len(key)), removal, bytesPtr(stored.bytes), C.size_t(len(stored.bytes)),
		C.uint32_t(stored.codec), C.int64_t(put.millis()), put.storeAs(), tags, tagsLen, tagEnds, tagCount,
		how.flags(), C.int64_t(how.intentTTL), C.int64_t(how.hold), numbersPtr(held), C.size_t(len(held)),
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiStoreEnd(h *handle, c *call, write uint64) (reply, bool) {
	status := C.sjgo_store_end(h.cache, C.uint64_t(write), queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

func capiExplain(h *handle, c *call, key string) (reply, bool) {
	status := C.sjgo_explain(h.cache, stringPtr(key), C.size_t(len(key)), queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}

// capiFulfil answers a lease with its value. That the lease had ended, or the cache, is no error of the caller, who
// has its value.
func capiFulfil(h *handle, lease uint64, value encoded, put put) error {
	var (
		raw  rawReply
		room [512]byte
	)
	tags, tagsLen, tagEnds, tagCount := put.flatTags()
	status := C.sjgo_fulfil(h.cache, C.uint64_t(lease), bytesPtr(value.bytes), C.size_t(len(value.bytes)),
		C.uint32_t(value.codec), C.int64_t(put.millis()), put.storeAs(), tags, tagsLen, tagEnds, tagCount, put.flags(), &raw, roomPtr(room[:]), C.size_t(len(room)))
	runtime.KeepAlive(h)
	switch {
	case status >= 0 || Kind(-status) == ErrLeaseExpired || Kind(-status) == ErrClosed:
		return nil
	default:
		answer := take(&raw, room[:])
		return answer.failure(opFetch)
	}
}

// capiFail answers a lease with an error, which may be remembered. It returns the stale value to be served instead, if there
// is one.
func capiFail(h *handle, lease uint64, kind Kind, failure error, remembered bool) (codec uint32, stale []byte, ok bool) {
	var (
		raw      rawReply
		released [64]uint64
		count    C.size_t
		message  = failure.Error()
		remember C.int
	)
	if remembered {
		remember = 1
	}
	status := C.sjgo_fail(h.cache, C.uint64_t(lease), C.int32_t(kind), stringPtr(message), C.size_t(len(message)),
		C.uint64_t(fetchErrors.put(failure)), remember, numbersPtr(released[:]), C.size_t(len(released)), &count, &raw, nil, 0)
	runtime.KeepAlive(h)
	fetchErrors.bury(released[:count])
	if int32(status) != statusStale {
		return 0, nil, false
	}
	answer := take(&raw, nil)
	return answer.codec, answer.value, true
}

func capiAbandon(h *handle, lease uint64) {
	C.sj_abandon(h.cache, C.uint64_t(lease))
	runtime.KeepAlive(h)
}

func capiCancel(token uint64) bool { return C.sj_cancel(queue(), C.uint64_t(token)) == C.SJ_OK }

func capiNoteUndecodable(h *handle, key string) {
	C.sjgo_note_undecodable(h.cache, stringPtr(key), C.size_t(len(key)))
	runtime.KeepAlive(h)
}

func capiStalenessBound(h *handle) int64 {
	defer runtime.KeepAlive(h)
	return int64(C.sj_effective_staleness_bound(h.cache))
}

func capiObserve(h *handle, token Token, keys flat) error {
	var (
		raw  rawReply
		room [512]byte
	)
	status := C.sjgo_observe(h.cache, bytesPtr(token[:]), bytesPtr(keys.bytes), C.size_t(len(keys.bytes)),
		numbersPtr(keys.ends), C.size_t(len(keys.ends)), &raw, roomPtr(room[:]), C.size_t(len(room)))
	runtime.KeepAlive(h)
	return refused(int32(status), opObserve, &raw, room[:])
}

func capiParseToken(text string) (token Token, err error) {
	var (
		raw  rawReply
		room [512]byte
	)
	status := C.sjgo_token_parse(stringPtr(text), C.size_t(len(text)), bytesPtr(token[:]), &raw, roomPtr(room[:]), C.size_t(len(room)))
	return token, refused(int32(status), opObserve, &raw, room[:])
}

// refused is the error of a call that answers nothing else.
func refused(status int32, operation string, raw *rawReply, room []byte) error {
	if status >= 0 {
		return nil
	}
	answer := take(raw, room)
	return answer.failure(operation)
}

func capiStats(h *handle) []byte {
	var (
		raw  rawReply
		room [1 << 10]byte
	)
	C.sjgo_stats(h.cache, &raw, roomPtr(room[:]), C.size_t(len(room)))
	runtime.KeepAlive(h)
	answer := take(&raw, room[:])
	return answer.value
}

// capiReleasedErrors returns the numbers of errors that no answer can name any more.
func capiReleasedErrors() []uint64 {
	var (
		all   []uint64
		batch [waitBatch]uint64
	)
	for {
		count := int(C.sj_released_errors((*C.uint64_t)(&batch[0]), C.size_t(len(batch))))
		all = append(all, batch[:count]...)
		if count < len(batch) {
			return all
		}
	}
}

func capiKindName(kind Kind) string {
	if name := C.sj_kind_name(C.int32_t(kind)); name != nil {
		return C.GoString(name)
	}
	return fmt.Sprintf("Kind(%d)", int32(kind))
}

// answer is what a call was answered at once; false when the answer is pending.
func (c *call) answer(status int32) (reply, bool) {
	if status == statusPending {
		return reply{}, false
	}
	answer := take(&c.raw, c.scratch)
	if !c.many {
		c.grow(len(answer.value))
	}
	return answer, true
}

// take makes a reply of a raw one, whose value is in room or, if it did not fit there, is fetched now.
func take(raw *rawReply, room []byte) reply {
	answer := takeLater(raw, room)
	answer.collect(nil)
	return answer
}

// takeLater makes a reply of a raw one, whose value is in room or, if it is not, to be collected.
func takeLater(raw *rawReply, room []byte) reply {
	answer := reply{
		token:     uint64(raw.token),
		status:    int32(raw.status),
		codec:     uint32(raw.codec),
		lease:     uint64(raw.lease),
		receipt:   Receipt{Pending: raw.pending != 0},
		retryable: raw.retryable != 0,
	}
	answer.grant, answer.kept = granted(&raw.copy)
	if raw.error_ref != 0 {
		answer.err = fetchErrors.get(uint64(raw.error_ref))
	}
	for i, b := range raw.receipt {
		answer.receipt.Token[i] = byte(b)
	}
	if raw.ptr == 0 {
		answer.value = room[raw.at : raw.at+raw.len]
		return answer
	}
	answer.left = leftValue{ptr: uint64(raw.ptr), owner: uint64(raw.owner), size: int(raw.len)}
	return answer
}

// A leftValue is a value that the library still holds.
type leftValue struct {
	ptr, owner uint64
	size       int
}

// bytes are those of the library.
func (v *leftValue) bytes() []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&v.ptr)), v.size)
}

// collect fetches the value of a reply that was left with the library: into scratch where it fits, or into memory that
// is the reply's alone. Bytes always get the latter: they are what the caller wants.
func (r *reply) collect(scratch []byte) {
	if r.left.ptr == 0 {
		return
	}
	held := r.left.bytes()
	if r.codec != codecRaw && len(held) <= len(scratch) {
		r.value = scratch[:copy(scratch, held)]
	} else {
		// Appended: memory of make would be cleared first.
		r.value, r.own = append([]byte(nil), held...), true
	}
	C.sjgo_free(C.uint64_t(r.left.ptr), C.uint64_t(r.left.owner), C.size_t(len(held)))
	r.left = leftValue{}
}

// items are the answers for the keys of a call on many, in their order. Each is good until the next.
func (r *reply) items(count int) iter.Seq2[int, *reply] {
	return func(yield func(int, *reply) bool) {
		if count == 0 {
			return
		}
		var item reply
		all := unsafe.Slice((*C.sj_item)(unsafe.Pointer(unsafe.SliceData(r.value))), count)
		for i := range all {
			raw := &all[i]
			item = reply{
				status: int32(raw.status),
				codec:  uint32(raw.codec),
				lease:  uint64(raw.lease),
				value:  r.value[raw.offset : raw.offset+raw.len],
			}
			item.grant, item.kept = granted(&raw.copy)
			if ref := uint64(raw.error_ref); ref != 0 {
				item.err = fetchErrors.get(ref)
			}
			if !yield(i, &item) {
				return
			}
		}
	}
}

// A batch is what the waiter takes from the queue at once.
type batch struct {
	raw  []rawReply
	room []byte
}

func newBatch() *batch {
	return &batch{raw: make([]rawReply, C.SJGO_BATCH), room: make([]byte, waiterArena)}
}

// wait blocks until there are answers, and returns how many.
func (b *batch) wait() int {
	return int(C.sjgo_wait(queue(), &b.raw[0], roomPtr(b.room), C.size_t(len(b.room))))
}

// deliver gives answer i to its call.
func (b *batch) deliver(i int) {
	raw := &b.raw[i]
	if raw.token&isBell != 0 {
		heard(uint64(raw.token))
		return
	}
	deliver(uint64(raw.token), func(scratch []byte) reply {
		answer := takeLater(raw, b.room)
		if raw.ptr == 0 {
			// The room is filled anew by the next batch.
			answer.value = append(scratch[:0], answer.value...)
		}
		return answer
	})
}

// flatTags are the tags as the library takes them.
func (p put) flatTags() (unsafe.Pointer, C.size_t, *C.uint64_t, C.size_t) {
	if p.tags == nil {
		return nil, 0, nil, 0
	}
	return bytesPtr(p.tags.bytes), C.size_t(len(p.tags.bytes)), numbersPtr(p.tags.ends), C.size_t(len(p.tags.ends))
}

// flags are those of the value of a fetch.
func (p put) flags() C.uint32_t {
	if p.discard {
		return C.SJ_PUT_DISCARD
	}
	return 0
}

// storeAs is the codec that the library is to store a value in.
func (p put) storeAs() C.uint32_t {
	switch p.codec {
	case "":
		return C.SJ_STORE_DEFAULT
	case JSON:
		return C.SJ_JSON
	case MsgPack:
		return C.SJ_MSGPACK
	default:
		// No codec: the library answers what is allowed.
		return C.SJ_STORE_DEFAULT - 1
	}
}

func stringPtr(text string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(text)) }

func bytesPtr(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

func roomPtr(bytes []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(bytes)) }

func numbersPtr(numbers []uint64) *C.uint64_t { return (*C.uint64_t)(unsafe.SliceData(numbers)) }

func capiSetMany(h *handle, c *call, entries *flatEntries, put put) (reply, bool) {
	keys, values := entries.keys, entries.values
	tags, tagsLen, tagEnds, tagCount := put.flatTags()
	status := C.sjgo_set_many(h.cache, bytesPtr(keys.bytes), C.size_t(len(keys.bytes)), numbersPtr(keys.ends),
		bytesPtr(values.bytes), C.size_t(len(values.bytes)), numbersPtr(values.ends),
		(*C.uint32_t)(unsafe.SliceData(entries.codecs)), C.size_t(len(keys.ends)), C.int64_t(put.millis()), put.storeAs(), tags, tagsLen, tagEnds, tagCount,
		queue(), C.uint64_t(c.token), &c.raw, roomPtr(c.scratch), C.size_t(len(c.scratch)))
	runtime.KeepAlive(h)
	return c.answer(int32(status))
}
