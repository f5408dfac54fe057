package scrubjay

import (
	"encoding/json"
	"math"
	"strings"
	"time"
)

// DefaultTTL, given as a ttl, is the [Options.TTL] of the cache. It is no number that a calculation ends at by accident:
// a float that is NaN or too large for a Duration becomes the one below, which is refused.
const DefaultTTL = time.Duration(math.MinInt64 + 1)

// A Codec is how values that are no bytes are stored. A reader needs no codec: it travels with the value.
type Codec string

const (
	// JSON stores JSON text.
	JSON Codec = "json"
	// MsgPack stores MessagePack: smaller, and the same values.
	MsgPack Codec = "msgpack"
)

// Options are the options of a cache. The zero value of each field is its default. Where zero itself has a meaning
// the field is a pointer: nil is the default, and [Ptr] makes one.
//
//	cache, err := scrubjay.Open(scrubjay.Options{
//		URL:          "rediss://cache.internal:6380",
//		Prefix:       "shop",
//		TTL:          5 * time.Minute,
//		MaxStaleness: scrubjay.Ptr(time.Duration(0)),
//	})
type Options struct {
	// URL is memory://, redis://, rediss:// (TLS), unix:// or host:port of a Redis. Default: memory://, a cache of
	// this process alone.
	URL string
	// Prefix is the namespace of all keys: at most 128 bytes of A-Z a-z 0-9 _ . : -. Default: none.
	Prefix string
	// TTL is how long a value is fresh when a call gives DefaultTTL: 1 ms to 365 days. Default: 1 h.
	TTL time.Duration
	// StaleFor is how long after its ttl a value may still be served when the fetch fails or is slow; 0 is never.
	// Default: ten times the ttl of the value, at most 1 h.
	StaleFor *time.Duration
	// Jitter is the share, 0 to 0.5, by which lives are shortened at random, so that values stored together do not
	// expire together. Default: 0.1.
	Jitter *float64
	// FetchSoftTimeout is the time after which callers that wait for a fetch get the stale value, if there is one;
	// the fetch goes on. Default: none.
	FetchSoftTimeout time.Duration
	// FetchHardTimeout is the time after which they get ErrFetchTimeout and the key is free for another fetch.
	// Default: 30 s.
	FetchHardTimeout time.Duration
	// L2Timeout is the time for all work on the shared tier before a fetch starts. Default: 250 ms.
	L2Timeout time.Duration
	// Breaker is whether repeated failures of the shared tier cut it off for a while. Default: true.
	Breaker *bool
	// MaxStaleness is how old a hit in memory may be while the shared tier could know better; 0 asks it each time.
	// Default: 1 s.
	MaxStaleness *time.Duration
	// L1Bytes bounds the memory tier in bytes, overhead counted; 0 is no memory tier. Default: 64 MiB.
	L1Bytes *int64
	// L1Entries bounds the memory tier in entries too. Default: no such bound.
	L1Entries int64
	// MaxValue is the largest encoded value in bytes, 1 KiB to 512 MiB. Default: 8 MiB.
	MaxValue int64
	// NegativeTTL is how long the ErrNotFound of a fetch is remembered. Default: 5 s.
	NegativeTTL time.Duration
	// OriginConcurrency is how many fetches of this cache may run at once, 1 to 1,000,000. Default: 64.
	OriginConcurrency int
	// Codec is what values are stored as when a call does not say. Default: JSON.
	Codec Codec
	// MaxTags is how many tags one entry may have, 1 to 64. Default: 16.
	MaxTags int
	// RefreshAhead is whether a hit near its end may draw one caller to refresh the value in a goroutine, ahead of
	// its expiry. Default: true.
	RefreshAhead *bool
	// Format is how entries stand in Redis: [FormatPlain] is bare JSON at prefix:key, for programs that know nothing of
	// Scrubjay; such entries have no lease, no tags and no proof that they belong to their key. Default: Scrubjay's own.
	Format Format
	// Tracking is whether memory follows writes of plain entries by other programs, by the server's tracking of keys.
	// Default: false, and memory answers for MaxStaleness after a read.
	Tracking bool
	// SubscribeInvalidations is a channel whose messages are keys that other programs have changed: they are invalidated.
	// Default: none.
	SubscribeInvalidations string
	// PublishInvalidations is a channel on which the keys of Set, Delete and Update are told to other programs.
	// Default: none.
	PublishInvalidations string
	// Isolate is whether each hit decodes the value anew, so that callers may change what they get. Default: a value is
	// decoded once, and hits share it: what maps, slices and pointers in it lead to is not to be changed.
	Isolate bool
	// TLSCA has the roots to trust for rediss://: PEM text, or the path of a PEM file. Default: the system's.
	TLSCA string
	// TLSCert is a client certificate for rediss://: PEM text or a path. It needs TLSKey.
	TLSCert string
	// TLSKey is the key of TLSCert: PEM text or a path.
	TLSKey string
	// Username is the ACL user, unless the URL names one.
	Username string
	// Password is the password, unless the URL has one.
	Password string
}

// A Format is how entries stand in Redis.
type Format string

const (
	// FormatScrubjay has a header of our own: leases, tags, a proof that an entry belongs to its key.
	FormatScrubjay Format = "scrubjay"
	// FormatPlain is bare JSON at prefix:key.
	FormatPlain Format = "plain"
)

// Ptr returns a pointer to v, for the fields of [Options] that need one.
func Ptr[T any](v T) *T { return &v }

// json is the form in which the native library reads options. It holds what was set and no default: defaults and
// limits are in the library alone, where every language finds the same.
func (o Options) json() ([]byte, error) {
	fields := map[string]any{}
	set(fields, "url", address(o.URL))
	set(fields, "prefix", o.Prefix)
	setDuration(fields, "ttl", o.TTL)
	setPointer(fields, "stale_for", seconds(o.StaleFor))
	setPointer(fields, "jitter", o.Jitter)
	setDuration(fields, "fetch_soft_timeout", o.FetchSoftTimeout)
	setDuration(fields, "fetch_hard_timeout", o.FetchHardTimeout)
	setDuration(fields, "l2_timeout", o.L2Timeout)
	setPointer(fields, "breaker", o.Breaker)
	setPointer(fields, "max_staleness", seconds(o.MaxStaleness))
	setPointer(fields, "l1_bytes", o.L1Bytes)
	set(fields, "l1_entries", o.L1Entries)
	set(fields, "max_value", o.MaxValue)
	setDuration(fields, "negative_ttl", o.NegativeTTL)
	set(fields, "origin_concurrency", o.OriginConcurrency)
	set(fields, "codec", o.Codec)
	set(fields, "max_tags", o.MaxTags)
	setPointer(fields, "refresh_ahead", o.RefreshAhead)
	set(fields, "format", o.Format)
	set(fields, "tracking", o.Tracking)
	set(fields, "subscribe_invalidations", o.SubscribeInvalidations)
	set(fields, "publish_invalidations", o.PublishInvalidations)
	set(fields, "isolate", o.Isolate)
	set(fields, "tls_ca", o.TLSCA)
	set(fields, "tls_cert", o.TLSCert)
	set(fields, "tls_key", o.TLSKey)
	set(fields, "username", o.Username)
	set(fields, "password", o.Password)
	text, err := json.Marshal(fields)
	if err != nil {
		// Of all fields only jitter can hold what JSON cannot: NaN and the infinities.
		return nil, newError(ErrInvalidOption, "open", "jitter must be 0 to 0.5, is %v", *o.Jitter)
	}
	return text, nil
}

func set[T comparable](fields map[string]any, name string, value T) {
	var unset T
	if value != unset {
		fields[name] = value
	}
}

func setPointer[T any](fields map[string]any, name string, value *T) {
	if value != nil {
		fields[name] = *value
	}
}

func setDuration(fields map[string]any, name string, value time.Duration) {
	if value != 0 {
		fields[name] = value.Seconds()
	}
}

func seconds(value *time.Duration) *float64 {
	if value == nil {
		return nil
	}
	return Ptr(value.Seconds())
}

// address makes a URL of what Go programs are used to give: host:port, :port, or the path of a socket.
func address(addr string) string {
	switch {
	case addr == "" || strings.Contains(addr, "://"):
		return addr
	case strings.HasPrefix(addr, "/"):
		return "unix://" + addr
	case strings.HasPrefix(addr, ":"):
		return "redis://localhost" + addr
	default:
		return "redis://" + addr
	}
}

// A SetOption changes how one call stores its value.
type SetOption func(*put)

// WithCodec stores the value in this codec instead of the cache's. A []byte is stored as it is in any case.
func WithCodec(codec Codec) SetOption {
	return func(p *put) { p.codec = codec }
}

// WithTags gives the entry these tags, at most 16 ([Options.MaxTags]), each 1 to 128 bytes of UTF-8, by which
// [CacheService.InvalidateTags] ends it.
func WithTags(tags ...string) SetOption {
	flat := flatten(tags)
	return func(p *put) { p.tags = &flat }
}

// WithTTL is how long the value is fresh, for [StoreAs]; elsewhere it stands for the ttl of the call.
func WithTTL(ttl time.Duration) SetOption {
	return func(p *put) { p.ttl = ttl }
}

// WithKeep says, for [StoreAs], whether the value is stored at all; those who wait for it get it in any case. What is stored
// already stays.
func WithKeep(keep bool) SetOption {
	return func(p *put) { p.discard = !keep }
}

// put is how a value is to be stored.
type put struct {
	ttl   time.Duration
	codec Codec
	// tags is nil for none.
	tags *flat
	// discard is whether those who wait get the value, and it is stored nowhere.
	discard bool
	// remembers is which errors of a fetch are remembered; nil for none.
	remembers func(error) bool
}

func newPut(ttl time.Duration, opts []SetOption) put {
	if len(opts) == 0 {
		// Most calls: nothing is allocated for them.
		return put{ttl: ttl}
	}
	p := put{ttl: ttl}
	for _, option := range opts {
		option(&p)
	}
	return p
}

// millis is the ttl as the native library takes it. It is rounded down: a value never lives longer than asked.
func (p put) millis() int64 {
	if p.ttl == DefaultTTL {
		return math.MinInt64
	}
	return p.ttl.Milliseconds()
}
