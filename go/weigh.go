package scrubjay

import (
	"reflect"
	"unsafe"
)

// entryOverhead is what an entry of a MemoryCache costs beside itself: its places in the maps, which have room to
// grow, and what the library keeps of it.
const entryOverhead = 96

// bounds are the bounds as the library takes them.
func (o *MemoryOptions[K, V]) bounds() (maxEntries, maxBytes uint64, err error) {
	maxEntries, maxBytes = unbounded, unbounded
	if o.MaxEntries < 0 {
		return 0, 0, newError(ErrInvalidOption, "open", "MaxEntries must not be negative, is %d", o.MaxEntries)
	}
	if o.MaxBytes < 0 {
		return 0, 0, newError(ErrInvalidOption, "open", "MaxBytes must not be negative, is %d", o.MaxBytes)
	}
	if o.MaxEntries > 0 {
		maxEntries = uint64(o.MaxEntries)
	}
	if o.MaxBytes > 0 {
		maxBytes = uint64(o.MaxBytes)
	}
	return maxEntries, maxBytes, nil
}

// weigher is what an entry weighs: where only their number counts, always the same.
func (o *MemoryOptions[K, V]) weigher() func(*K, *V) uint64 {
	own := uint64(unsafe.Sizeof(entry[K, V]{})) + entryOverhead
	switch custom := o.Weigher; {
	case o.MaxBytes == 0 && o.MaxEntries > 0:
		return func(*K, *V) uint64 { return own }
	case custom != nil:
		return func(key *K, value *V) uint64 { return own + uint64(max(custom(*key, *value), 0)) }
	}
	ofKey, ofValue := heldBy(reflect.TypeFor[K]()), heldBy(reflect.TypeFor[V]())
	return func(key *K, value *V) uint64 {
		return own + ofKey.bytes(unsafe.Pointer(key)) + ofValue.bytes(unsafe.Pointer(value))
	}
}

// A layout is where in values of a type the texts and slices are whose bytes belong to it. What is behind pointers,
// maps and interfaces is not looked at: others may be changing it.
type layout []span

type span struct {
	offset uintptr
	// length is where in the header of a text or slice its length or capacity is, in units of so many bytes.
	length, unit uintptr
}

const word = unsafe.Sizeof(uintptr(0))

func heldBy(t reflect.Type) layout { return appendSpans(nil, t, 0) }

func appendSpans(spans layout, t reflect.Type, offset uintptr) layout {
	switch t.Kind() {
	case reflect.String:
		return append(spans, span{offset, word, 1})
	case reflect.Slice:
		return append(spans, span{offset, 2 * word, t.Elem().Size()})
	case reflect.Struct:
		for i := range t.NumField() {
			spans = appendSpans(spans, t.Field(i).Type, offset+t.Field(i).Offset)
		}
	case reflect.Array:
		for i := range uintptr(t.Len()) {
			before := len(spans)
			if spans = appendSpans(spans, t.Elem(), offset+i*t.Elem().Size()); len(spans) == before {
				break
			}
		}
	}
	return spans
}

// bytes is how many bytes the value at p holds beside itself.
func (l layout) bytes(p unsafe.Pointer) uint64 {
	sum := uintptr(0)
	for _, s := range l {
		sum += *(*uintptr)(unsafe.Add(p, s.offset+s.length)) * s.unit
	}
	return uint64(sum)
}
