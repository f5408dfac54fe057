package scrubjay

// What the tests of this package look at from outside.

// GraveSize is how many released errors are kept at most.
const GraveSize = graveSize

// KeptErrors is how many errors of fetches are kept.
func KeptErrors() int { return int(fetchErrors.count.Load()) }

// Encode is what a value becomes.
func Encode(value any) (string, error) {
	encoded, err := encode("set", value)
	defer encoded.release()
	return string(encoded.bytes), err
}

// Decode reads JSON into dest.
func Decode(text string, dest any) error { return decode(codecJSON, []byte(text), dest) }

// LiveTiers is how many memory tiers of MemoryCaches are not freed yet.
func LiveTiers() int {
	count := 0
	bells.Range(func(any, any) bool { count++; return true })
	return count
}
