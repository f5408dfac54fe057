package scrubjay

import (
	"hash/maphash"
	"math/bits"
	"reflect"
	"unsafe"
)

// A hasher makes the hashes of one map, under a secret of its own, so that nobody outside can choose keys that meet.
// Keys that are short texts or numbers are hashed in line, by folded multiplications as the fallback of Go's own maps
// does; all others by hash/maphash.
type hasher[K comparable] struct {
	kind   keyKind
	seed   maphash.Seed
	k0, k1 uint64
}

type keyKind uint8

const (
	keyOther keyKind = iota
	keyString
	key64
	key32
)

// shortKey is the longest text that is hashed in line.
const shortKey = 32

func newHasher[K comparable]() hasher[K] {
	h := hasher[K]{seed: maphash.MakeSeed()}
	h.k0, h.k1 = maphash.Comparable(h.seed, 0), maphash.Comparable(h.seed, 1)|1
	switch t := reflect.TypeFor[K](); t.Kind() {
	case reflect.String:
		h.kind = keyString
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64, reflect.Uintptr, reflect.Int32, reflect.Uint32:
		h.kind = key64
		if t.Size() == 4 {
			h.kind = key32
		}
	}
	return h
}

func (h *hasher[K]) hash(key *K) uint64 {
	switch h.kind {
	case keyString:
		return h.text(*(*string)(unsafe.Pointer(key)))
	case key64:
		return h.word(*(*uint64)(unsafe.Pointer(key)))
	case key32:
		return h.word(uint64(*(*uint32)(unsafe.Pointer(key))))
	default:
		return maphash.Comparable(h.seed, *key)
	}
}

func (h *hasher[K]) word(word uint64) uint64 { return fold(fold(word^h.k0, h.k1)^h.k0, h.k1) }

func (h *hasher[K]) text(text string) uint64 {
	n := len(text)
	if n > shortKey {
		return maphash.String(h.seed, text)
	}
	p := unsafe.Pointer(unsafe.StringData(text))
	var a, b uint64
	switch {
	case n >= 8:
		// The first and the last 16 bytes, or what there is of them: they may overlap.
		a, b = read64(p, 0), read64(p, n-8)
		if n > 16 {
			a, b = fold(a^h.k0, read64(p, 8)^h.k1), fold(read64(p, n-16)^h.k0, b^h.k1)
		}
	case n >= 4:
		a, b = uint64(read32(p, 0)), uint64(read32(p, n-4))
	case n > 0:
		a = uint64(text[0])<<16 | uint64(text[n>>1])<<8 | uint64(text[n-1])
	}
	return fold(fold(a^h.k0, b^h.k1)^uint64(n), h.k1)
}

// fold multiplies, and folds the upper half of the product into the lower one.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func read64(p unsafe.Pointer, at int) uint64 { return *(*uint64)(unsafe.Add(p, at)) }

func read32(p unsafe.Pointer, at int) uint32 { return *(*uint32)(unsafe.Add(p, at)) }
