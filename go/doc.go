// Package scrubjay is one cache for services in Go, Rust, Python, Node.js and C: a value cached by one of them is
// a hit for the others. It needs no server to start, shares through Redis or Valkey when there is more than one
// process, and loads each missing key once however many callers ask for it.
//
//	cache := scrubjay.NewCacheService("localhost:6379", "shop")
//	defer cache.Close()
//
//	user, err := scrubjay.GetOrFetch(ctx, cache, "user:42", time.Minute,
//		func(ctx context.Context) (User, error) { return db.LoadUser(ctx, 42) })
//
// # Values
//
// Values are JSON, as encoding/json writes it, so that every language reads them. A []byte is stored as it is. What
// other languages could not read is refused with [ErrInvalidValue] and the path of the offender, like $.a[3].b: NaN
// and infinities, maps whose keys are no strings, and text that is not UTF-8. A nil is a value: a cached null is a
// hit. A stored value that does not fit the type asked for is a miss, counted in [Stats].
//
// Decoding into an any gives what encoding/json gives, with one exception: an integer beyond ±(2^53-1) is a
// [encoding/json.Number] instead of a float64 that would lose digits. A value stored as bytes is a []byte.
//
// A value that memory holds is decoded once, at its first hit, and shared by later ones: what maps, slices and pointers
// in it lead to is not to be changed, unless [Options.Isolate] is set. A [MemoryCache] keeps the values themselves.
//
// # Errors
//
// Every error of this package is an [*Error] whose kind is one of the Err constants, the same in every language,
// for [errors.Is]. The others are [ErrMiss], the errors of the context given to a call, and the errors of a fetch:
// those come back unchanged, to the caller that ran the fetch and to those that waited for it.
//
// # Contexts
//
// A caller whose context ends while it waits gets ctx.Err() at once; the fetch it waited for goes on for the others.
// When the context of the caller that runs the fetch ends, and its fetch fails for that reason, the next caller runs
// its own. The context given to a fetch knows which keys are being loaded: give it to the calls made inside, and a
// fetch that asks for its own key gets [ErrRecursiveFetch] at once.
package scrubjay

import (
	// Fails to compile, with a sentence, where the native library cannot be linked.
	_ "scrubjay/internal/platform"
)
