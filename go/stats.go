package scrubjay

// Stats are the counters of one cache since it was opened.
type Stats struct {
	// HitsL1 counts reads answered by the memory tier.
	HitsL1 uint64 `json:"hits_l1"`
	// HitsL2 counts reads answered by the shared tier.
	HitsL2 uint64 `json:"hits_l2"`
	// Misses counts reads that found nothing.
	Misses uint64 `json:"misses"`
	// StaleServed counts values served past their ttl because the fetch failed or was slow.
	StaleServed uint64 `json:"stale_served"`
	// Loads counts fetches that callers were asked to run.
	Loads uint64 `json:"loads"`
	// LoadErrors counts fetches that failed or ran into their timeout.
	LoadErrors uint64 `json:"load_errors"`
	// Waits counts callers that waited for the fetch, or the read of the shared tier, of another one.
	Waits uint64 `json:"waits"`
	// Evictions counts entries that left the memory tier for want of room.
	Evictions uint64 `json:"evictions"`
	// Expired counts entries that left the memory tier at the end of their life.
	Expired uint64 `json:"expired"`
	// Invalidations counts keys deleted, and clears.
	Invalidations uint64 `json:"invalidations"`
	// Pending is how many invalidations the shared tier has not got yet.
	Pending uint64 `json:"pending"`
	// DecodeMisses counts stored values that could not be read and were treated as absent.
	DecodeMisses uint64 `json:"decode_misses"`
	// L2Errors counts operations on the shared tier that failed or ran into their timeout.
	L2Errors uint64 `json:"l2_errors"`
	// DrivenByCore counts reads of the connection to the shared tier that brought something, made by the core.
	DrivenByCore uint64 `json:"driven_by_core"`
	// DrivenByCaller counts the same, made by a thread that waited for an answer.
	DrivenByCaller uint64 `json:"driven_by_caller"`
	// PushSessions counts sessions with the server in which it told of writes: one more each time that some were missed.
	PushSessions uint64 `json:"push_sessions"`
	// CoherenceLagMs is how many milliseconds ago the server was last asked whether it had told everything, and has
	// answered; 0 without a session.
	CoherenceLagMs uint64 `json:"coherence_lag_ms"`
	// BreakerState is "closed", "open" or "half_open": whether the shared tier is cut off after repeated failures.
	BreakerState string `json:"breaker_state"`
	// Entries is how many entries are in the memory tier.
	Entries uint64 `json:"entries"`
	// Bytes is how many bytes are in the memory tier, overhead counted.
	Bytes uint64 `json:"bytes"`
}
