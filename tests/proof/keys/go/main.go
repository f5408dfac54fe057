// The worker of Go: prints a digest of the keys of each block of structures, and how many were unstable. The structures are
// those of structures.py.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"

	"scrubjay"
)

var (
	pieces = []string{"a", "b", "1", "\"", "\\", "\n", "\x00", "é", "中", "🐦", "\ue000", ",", "}", "]", ")", ":", " ", "!", "#", "="}
	words  = []string{"", "1", "1.5", "true", "null", "[]", "{}", `x""`, "NaN", "<>"}
)

const (
	deepest = 3
	block   = 1000
)

type random struct{ state uint32 }

func (r *random) next() uint32 {
	r.state += 0x6D2B79F5
	t := r.state
	t = (t ^ t>>15) * (t | 1)
	t ^= t + (t^t>>7)*(t|61)
	return t ^ t>>14
}

func (r *random) below(count int) int { return int(r.next() % uint32(count)) }

// several calls do as often as a number below 4 says.
func (r *random) several(do func()) {
	for range r.below(4) {
		do()
	}
}

func (r *random) list(depth int) []any {
	list := []any{}
	r.several(func() { list = append(list, r.value(depth)) })
	return list
}

func (r *random) value(depth int) any {
	kinds := 12
	if depth >= deepest {
		kinds = 8
	}
	switch r.below(kinds) {
	case 0:
		return nil
	case 1:
		return r.below(2) == 1
	case 2, 3:
		return r.below(5) - 2
	case 4:
		high, low := r.next(), r.next()
		n := new(big.Int).SetUint64(uint64(high)<<32 | uint64(low))
		if r.below(2) == 1 {
			n.Neg(n)
		}
		return n
	case 5:
		return r.number()
	case 6:
		if r.below(2) == 1 {
			return r.text()
		}
		return words[r.below(len(words))]
	case 7:
		bytes := []byte{}
		r.several(func() { bytes = append(bytes, byte(r.below(256))) })
		return bytes
	case 8, 9:
		return r.list(depth + 1)
	default:
		entries := map[string]any{}
		r.several(func() { name := r.text(); entries[name] = r.value(depth + 1) })
		return entries
	}
}

func (r *random) number() float64 {
	mantissa := float64(max(r.next(), 1))
	if r.below(4) == 0 {
		return math.Ldexp(mantissa, 60+r.below(900))
	}
	fraction := math.Ldexp(mantissa, -r.below(64))
	if fraction == math.Floor(fraction) {
		return fraction + 0.5
	}
	return fraction
}

func (r *random) text() string {
	var text strings.Builder
	r.several(func() { text.WriteString(pieces[r.below(len(pieces))]) })
	return text.String()
}

func main() {
	seed, _ := strconv.ParseUint(os.Args[1], 10, 32)
	runs, _ := strconv.Atoi(os.Args[2])
	cache := scrubjay.NewCacheService("memory://", "")
	f := scrubjay.Cached(cache, scrubjay.CachedOptions{Name: "f"}, func(context.Context, scrubjay.Args) (int, error) { return 1, nil })
	key := func(args scrubjay.Args) string {
		key, err := f.GetKey(args)
		if err != nil {
			log.Fatal(err)
		}
		return key
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	r, digest, unstable := &random{uint32(seed)}, sha256.New(), 0
	for run := 1; run <= runs; run++ {
		args := scrubjay.Args(r.list(0))
		made := key(args)
		// Maps of Go have another order each time.
		if made != key(args) {
			unstable++
		}
		digest.Write([]byte(made + "\n"))
		if run%block == 0 || run == runs {
			fmt.Fprintf(out, "%x\n", digest.Sum(nil))
			digest.Reset()
		}
	}
	fmt.Fprintf(out, "unstable %d\n", unstable)
}
