package scrubjay

import (
	"context"
	"sync"
)

// StoreAs says, inside a fetch, how its value is to be stored, where only the value tells: [WithTTL] stands for the ttl of
// the call, [WithTags] adds to its tags, [WithCodec] stands for its codec. ctx is the one that the fetch was given. Outside
// of a fetch it does nothing.
//
// A tag that is named here may have been invalidated while the fetch ran: if nothing is known of it in this process, the
// value is stored for 2 s and not in memory, and the next fetch knows.
func StoreAs(ctx context.Context, opts ...SetOption) {
	if scope := scopeOf(ctx); scope != nil {
		scope.say("", opts)
	}
}

// StoreKeyAs is [StoreAs] for one key of a [GetOrFetchMany].
func StoreKeyAs(ctx context.Context, key string, opts ...SetOption) {
	if scope := scopeOf(ctx); scope != nil {
		scope.say(key, opts)
	}
}

// A fetchScope is what the context of a fetch carries.
type fetchScope struct {
	// held are the leases of the fetches inside which it is used.
	held  []uint64
	mutex sync.Mutex
	// said is what the fetch says of its values, by their keys; of its only value under no key.
	said map[string][]SetOption
}

// scopeKey is under which a context carries a fetchScope.
type scopeKey struct{}

func scopeOf(ctx context.Context) *fetchScope {
	scope, _ := ctx.Value(scopeKey{}).(*fetchScope)
	return scope
}

func heldLeases(ctx context.Context) []uint64 {
	if scope := scopeOf(ctx); scope != nil {
		return scope.held
	}
	return nil
}

// withLease is the context of a fetch for these leases.
func withLease(ctx context.Context, leases ...uint64) (context.Context, *fetchScope) {
	held := heldLeases(ctx)
	scope := &fetchScope{held: append(held[:len(held):len(held)], leases...)}
	return context.WithValue(ctx, scopeKey{}, scope), scope
}

func (s *fetchScope) say(key string, opts []SetOption) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.said == nil {
		s.said = map[string][]SetOption{}
	}
	s.said[key] = append(s.said[key], opts...)
}

// alone has what was said of a key be said of the only value.
func (s *fetchScope) alone(key string) {
	if s != nil {
		s.say("", s.said[key])
	}
}

// put is how the value of a key is to be stored; what the call said of tags is known to the library.
func (s *fetchScope) put(called put, key string) put {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	called.tags = nil
	for _, option := range s.said[key] {
		option(&called)
	}
	return called
}
