package scrubjay

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Kind is what kind of failure an error is. The numbers are stable and the same in every language. A Kind is an
// error itself, for errors.Is:
//
//	if errors.Is(err, scrubjay.ErrNotFound) { … }
//
// and a fetch may return one: see [ErrNotFound].
type Kind int32

const (
	// ErrInvalidOption: an option, an address or an argument of a call is wrong. The message names it and its limit.
	ErrInvalidOption Kind = 1
	// ErrInvalidKey: a key is empty or longer than 1 KiB.
	ErrInvalidKey Kind = 2
	// ErrInvalidValue: a value cannot be stored: too large, too deep, or not readable in every language.
	ErrInvalidValue Kind = 3
	// ErrNotFound: the source said that what was asked for does not exist. A fetch says so by returning this, or an
	// error that wraps it; the answer is remembered for [Options.NegativeTTL].
	ErrNotFound Kind = 4
	// ErrFetchFailed: the fetch of a caller in another process failed.
	ErrFetchFailed Kind = 5
	// ErrFetchTimeout: the fetch did not end within [Options.FetchHardTimeout].
	ErrFetchTimeout Kind = 6
	// ErrLeaseExpired: a fetch ended after its time was over. No call of this package returns it.
	ErrLeaseExpired Kind = 7
	// ErrRecursiveFetch: a fetch asked, directly or through other fetches, for the key it is loading.
	ErrRecursiveFetch Kind = 8
	// ErrOverloaded: a bound on queues, waiters, loads or operations in flight was reached. Nothing was done.
	ErrOverloaded Kind = 9
	// ErrClosed: the cache was closed.
	ErrClosed Kind = 10
	// ErrCancelled: the caller gave up waiting. Calls of this package return ctx.Err() instead.
	ErrCancelled Kind = 11
	// ErrUnavailable: the shared tier could not be reached, in a call that cannot do without it.
	ErrUnavailable Kind = 12
	// ErrPartial: some keys of a call on many failed: see [PartialError].
	ErrPartial Kind = 13
	// ErrDirtyElsewhere: a pending write of this key lies in another process.
	ErrDirtyElsewhere Kind = 14
	// ErrUnsupported: this platform or server cannot do what was asked for.
	ErrUnsupported Kind = 15
	// ErrInternal: a defect of Scrubjay: please report it.
	ErrInternal Kind = 16
)

// ErrMiss is what Get returns when nothing is stored under the key. It is no failure.
var ErrMiss = errors.New("scrubjay: miss")

// String returns the name of the kind, the same in every language, like "InvalidOption".
func (k Kind) String() string { return capiKindName(k) }

// Error makes a Kind an error.
func (k Kind) Error() string { return "scrubjay: " + k.String() }

// An Error is a failure of this package. It never contains values, passwords or full keys.
type Error struct {
	// Kind is what kind of failure it was.
	Kind Kind
	// Operation is the call that failed, by its name in every language, like "get_or_fetch".
	Operation string
	// Message is a sentence for the reader.
	Message string

	retryable bool
}

// Error returns operation, kind and message.
func (e *Error) Error() string {
	return fmt.Sprintf("scrubjay: %s: %s: %s", e.Operation, e.Kind.String(), e.Message)
}

// Is reports whether target is the kind of e, for errors.Is.
func (e *Error) Is(target error) bool { return target == e.Kind }

// Retryable reports whether the same call may succeed later without a change on the caller's side.
func (e *Error) Retryable() bool { return e.retryable }

// A PartialError says which keys of a call on many failed. The other keys have their result: the call returns
// their values beside this error.
type PartialError struct {
	// Failed has the error of each key that has no result.
	Failed map[string]error
	// Values has the values of the other keys: the map that the call returned.
	Values any
}

// Error tells how many keys failed, and the first error.
func (e *PartialError) Error() string {
	keys := e.keys()
	if len(keys) == 0 {
		return ErrPartial.Error()
	}
	return fmt.Sprintf("%s: %d keys failed, the first with: %v", ErrPartial.Error(), len(keys), e.Failed[keys[0]])
}

// Is reports whether target is ErrPartial, for errors.Is.
func (e *PartialError) Is(target error) bool { return target == ErrPartial }

// Unwrap returns the errors of the keys, in the order of the keys.
func (e *PartialError) Unwrap() []error {
	var list []error
	for _, key := range e.keys() {
		list = append(list, e.Failed[key])
	}
	return list
}

func (e *PartialError) keys() []string {
	keys := make([]string, 0, len(e.Failed))
	for key := range e.Failed {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// newError is an error found on this side of the native library.
func newError(kind Kind, operation, format string, args ...any) *Error {
	return &Error{Kind: kind, Operation: operation, Message: strings.ToValidUTF8(fmt.Sprintf(format, args...), "\ufffd")}
}
