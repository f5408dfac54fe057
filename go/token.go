package scrubjay

import "encoding/hex"

const opObserve = "observe"

// A Token is a position in the order of writes. Who has that of a write finds it with [CacheService.Observe] in any
// process.
type Token [16]byte

// ParseToken reads what [Token.String] wrote, in whatever language and process. Anything else is [ErrInvalidOption].
func ParseToken(text string) (Token, error) { return capiParseToken(text) }

// String returns the token as 32 hexadecimal digits, which travel in a cookie or a header, say.
func (t Token) String() string { return hex.EncodeToString(t[:]) }

// Observe reads your own writes in another process: reads of these keys that begin after it returned find the write of
// token, or a later one. It waits for nothing.
func (c *CacheService) Observe(token Token, keys ...string) error {
	if c.failure != nil {
		return c.failure
	}
	return capiObserve(c.handle, token, flatten(keys))
}
