// What capi.go calls: the library's functions, with arguments that Go can give without a check or a copy. A struct with
// a pointer into Go memory may not be handed to C by reference, so such structs are made here, on the C stack.
#ifndef SCRUBJAY_GO_BRIDGE_H
#define SCRUBJAY_GO_BRIDGE_H

#include <string.h>

#include "scrubjay.h"

// A completion without pointers: Go memory that holds none needs no check when it is handed to C.
typedef struct sjgo_reply {
	uint64_t token;
	int32_t status;
	uint32_t codec;
	uint64_t lease;
	uint64_t error_ref;
	uint32_t pending;
	uint32_t retryable;
	uint8_t receipt[16];
	sj_copy copy;
	uint64_t len;   // of the value
	uint64_t at;    // where in the room given it was copied to
	uint64_t ptr;   // otherwise it is still the library's: these two
	uint64_t owner;
} sjgo_reply;

// Makes a reply of a completion. A value of at most `most` bytes that fits into the room is copied there and freed at
// once, so that the call costs no second one; returns how much room it took.
static size_t sjgo_take(sj_completion *from, sjgo_reply *to, uint8_t *room, size_t at, size_t cap, size_t most) {
	to->token = from->token;
	to->status = from->status;
	to->codec = from->codec;
	to->lease = from->lease;
	to->error_ref = from->error_ref;
	to->pending = from->receipt.pending;
	to->retryable = (uint32_t)(from->status < 0 && sj_kind_retryable(from->status));
	memcpy(to->receipt, from->receipt.token, sizeof to->receipt);
	to->copy = from->copy;
	to->len = from->value.len;
	to->at = at;
	to->ptr = 0;
	to->owner = 0;
	if (from->value.len == 0 || (from->value.len <= most && at <= cap && from->value.len <= cap - at)) {
		if (from->value.len > 0) {
			memcpy(room + at, from->value.ptr, from->value.len);
		}
		sj_buf_free(&from->value);
		return to->len;
	}
	to->ptr = (uint64_t)(uintptr_t)from->value.ptr;
	to->owner = (uint64_t)(uintptr_t)from->value.owner;
	return 0;
}

// Frees a value that did not fit.
static void sjgo_free(uint64_t ptr, uint64_t owner, size_t len) {
	sj_buf value = {(const uint8_t *)(uintptr_t)ptr, len, (void *)(uintptr_t)owner};
	sj_buf_free(&value);
}

// Makes a reply of an error, with as much of its message as fits.
static int32_t sjgo_error(int32_t status, sj_error *error, sjgo_reply *to, uint8_t *room, size_t cap) {
	memset(to, 0, sizeof *to);
	to->status = status;
	to->retryable = (uint32_t)sj_kind_retryable(status);
	if (error != NULL) {
		const char *message = sj_error_message(error);
		size_t len = message == NULL ? 0 : strlen(message);
		to->len = len < cap ? len : cap;
		if (to->len > 0) {
			memcpy(room, message, to->len);
		}
		sj_error_free(error);
	}
	return status;
}

static sj_slice sjgo_slice(const void *ptr, size_t len) {
	sj_slice slice = {(const uint8_t *)ptr, len};
	return slice;
}

static sj_put_opts sjgo_put(uint32_t codec, int64_t ttl_ms, uint32_t store_as,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count) {
	sj_put_opts put = {sizeof put, codec, ttl_ms, store_as, 0, sjgo_slice(tags, tags_len), tag_ends, tag_count};
	return put;
}

static sj_fetch_opts sjgo_fetch(uint32_t flags, int64_t ttl_ms, uint32_t store_as, const uint64_t *held, size_t held_len,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count) {
	sj_fetch_opts fetch = {sizeof fetch, flags, ttl_ms, store_as, 0, held, held_len, 0,
		sjgo_slice(tags, tags_len), tag_ends, tag_count};
	return fetch;
}

static int32_t sjgo_answer(int32_t status, sj_completion *out, sjgo_reply *reply, uint8_t *room, size_t cap) {
	if (status != SJ_PENDING) {
		out->status = status;
		sjgo_take(out, reply, room, 0, cap, cap);
	}
	return status;
}

static int32_t sjgo_open(const void *options, size_t len, sj_cache **cache, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_error *error = NULL;
	int32_t status = sj_open(sjgo_slice(options, len), cache, &error);
	return status < 0 ? sjgo_error(status, error, reply, room, cap) : status;
}

static int32_t sjgo_get(sj_cache *cache, const void *key, size_t key_len,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_get_async(cache, sjgo_slice(key, key_len), queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_set(sj_cache *cache, const void *key, size_t key_len, const void *value, size_t value_len,
		uint32_t codec, int64_t ttl_ms, uint32_t store_as,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_put_opts put = sjgo_put(codec, ttl_ms, store_as, tags, tags_len, tag_ends, tag_count);
	int32_t status = sj_set_async(cache, sjgo_slice(key, key_len), sjgo_slice(value, value_len), &put, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_delete(sj_cache *cache, const void *key, size_t key_len,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_delete_async(cache, sjgo_slice(key, key_len), queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_invalidate_tags(sj_cache *cache, const void *tags, size_t tags_len, const uint64_t *ends, size_t n,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_invalidate_tags_async(cache, sjgo_slice(tags, tags_len), ends, n, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_clear(sj_cache *cache, sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	return sjgo_answer(sj_clear_async(cache, queue, token, &out), &out, reply, room, cap);
}

static int32_t sjgo_close(sj_cache *cache, sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	return sjgo_answer(sj_close_async(cache, queue, token, &out), &out, reply, room, cap);
}

static int32_t sjgo_begin(sj_cache *cache, const void *key, size_t key_len,
		uint32_t flags, int64_t ttl_ms, uint32_t store_as, const uint64_t *held, size_t held_len,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_fetch_opts fetch = sjgo_fetch(flags, ttl_ms, store_as, held, held_len, tags, tags_len, tag_ends, tag_count);
	int32_t status = sj_begin(cache, sjgo_slice(key, key_len), &fetch, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_get_many(sj_cache *cache, const void *keys, size_t keys_len, const uint64_t *ends, size_t n,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_get_many_async(cache, sjgo_slice(keys, keys_len), ends, n, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_delete_many(sj_cache *cache, const void *keys, size_t keys_len, const uint64_t *ends, size_t n,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_delete_many_async(cache, sjgo_slice(keys, keys_len), ends, n, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_set_many(sj_cache *cache, const void *keys, size_t keys_len, const uint64_t *key_ends,
		const void *values, size_t values_len, const uint64_t *value_ends, const uint32_t *codecs, size_t n,
		int64_t ttl_ms, uint32_t store_as,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_put_opts put = sjgo_put(SJ_JSON, ttl_ms, store_as, tags, tags_len, tag_ends, tag_count);
	int32_t status = sj_set_many_async(cache, sjgo_slice(keys, keys_len), key_ends, sjgo_slice(values, values_len),
		value_ends, codecs, n, &put, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_begin_many(sj_cache *cache, const void *keys, size_t keys_len, const uint64_t *ends, size_t n,
		int64_t ttl_ms, uint32_t store_as, const uint64_t *held, size_t held_len,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_fetch_opts fetch = sjgo_fetch(0, ttl_ms, store_as, held, held_len, tags, tags_len, tag_ends, tag_count);
	int32_t status = sj_begin_many(cache, sjgo_slice(keys, keys_len), ends, n, &fetch, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_fulfil(sj_cache *cache, uint64_t lease, const void *value, size_t value_len,
		uint32_t codec, int64_t ttl_ms, uint32_t store_as,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count, uint32_t flags,
		sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_put_opts put = sjgo_put(codec, ttl_ms, store_as, tags, tags_len, tag_ends, tag_count);
	put.flags = flags;
	sj_error *error = NULL;
	int32_t status = sj_fulfil(cache, lease, sjgo_slice(value, value_len), &put, NULL, &error);
	return status < 0 ? sjgo_error(status, error, reply, room, cap) : status;
}

static int32_t sjgo_fail(sj_cache *cache, uint64_t lease, int32_t code, const void *message, size_t message_len,
		uint64_t error_ref, int remembered, uint64_t *released, size_t released_cap, size_t *released_len,
		sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = remembered ? sj_fail_remembered(cache, lease, sjgo_slice(message, message_len), error_ref)
		: sj_fail(cache, lease, code, sjgo_slice(message, message_len), error_ref, &out);
	*released_len = sj_released_errors(released, released_cap);
	return sjgo_answer(status, &out, reply, room, cap);
}

static void sjgo_note_undecodable(sj_cache *cache, const void *key, size_t key_len) {
	sj_note_undecodable(cache, sjgo_slice(key, key_len));
}

static int32_t sjgo_observe(sj_cache *cache, const void *token, const void *keys, size_t keys_len, const uint64_t *ends,
		size_t n, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_error *error = NULL;
	int32_t status = sj_observe(cache, (const uint8_t *)token, sjgo_slice(keys, keys_len), ends, n, &error);
	return status < 0 ? sjgo_error(status, error, reply, room, cap) : status;
}

static int32_t sjgo_token_parse(const void *text, size_t len, void *token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_error *error = NULL;
	int32_t status = sj_token_parse(sjgo_slice(text, len), (uint8_t *)token, &error);
	return status < 0 ? sjgo_error(status, error, reply, room, cap) : status;
}

static int32_t sjgo_stats(sj_cache *cache, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_stats_json(cache, &out.value);
	return sjgo_answer(status, &out, reply, room, cap);
}

// What an insert into slots came to: the slot, and what left for it. Of what does not fit the rest is drained.
#define SJGO_GONE 16

typedef struct sjgo_inserted {
	sj_copy copy;
	size_t count;
	sj_slot gone[SJGO_GONE];
} sjgo_inserted;

static int32_t sjgo_slots_insert(sj_slots *slots, uint64_t hash, uint64_t weight, int64_t ttl_ms, uint32_t replaces,
		sj_slot instead, sjgo_inserted *out) {
	return sj_slots_insert(slots, hash, weight, ttl_ms, replaces ? &instead : NULL, &out->copy, out->gone, SJGO_GONE,
		&out->count, NULL);
}

// The message of an insert that was refused: it is refused again, and changes nothing.
static int32_t sjgo_slots_refused(sj_slots *slots, int64_t ttl_ms, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_copy copy;
	size_t count;
	sj_error *error = NULL;
	int32_t status = sj_slots_insert(slots, 0, 0, ttl_ms, NULL, &copy, NULL, 0, &count, &error);
	return sjgo_error(status, error, reply, room, cap);
}

static int32_t sjgo_slots_open(uint64_t max_entries, uint64_t max_bytes, sj_slots **slots, sj_table *table,
		sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_error *error = NULL;
	int32_t status = sj_slots_open(max_entries, max_bytes, slots, &error);
	if (status < 0) {
		return sjgo_error(status, error, reply, room, cap);
	}
	return sj_slots_table(*slots, table);
}

#define SJGO_BATCH 256

// Longer values are left to those who wait for them: they copy them once, to where they are wanted, and beside each
// other.
#define SJGO_SHORT 1024

// Blocks until there are completions, and takes up to SJGO_BATCH of them. Values are copied into the room as far as
// it goes.
static size_t sjgo_wait(sj_queue *queue, sjgo_reply *replies, uint8_t *room, size_t cap) {
	sj_completion out[SJGO_BATCH];
	intptr_t count = sj_queue_wait(queue, out, SJGO_BATCH, -1);
	size_t used = 0;
	for (intptr_t i = 0; i < count; i++) {
		// Each value begins where a number may stand: that of a call on many is an array of items.
		used = (used + 7) & ~(size_t)7;
		used += sjgo_take(&out[i], &replies[i], room, used, cap, SJGO_SHORT);
	}
	return count < 0 ? 0 : (size_t)count;
}

static int32_t sjgo_update_begin(sj_cache *cache, const void *keys, size_t keys_len, const uint64_t *ends, size_t count,
		uint32_t flags, int64_t intent_ttl_ms, int64_t hold_ms,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_update_opts opts = {sizeof opts, flags, intent_ttl_ms, hold_ms, sjgo_slice(tags, tags_len), tag_ends, tag_count};
	int32_t status = sj_update_begin_async(cache, sjgo_slice(keys, keys_len), ends, count, &opts, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_update_end(sj_cache *cache, uint64_t update,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_update_end_async(cache, update, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_store_begin(sj_cache *cache, const void *key, size_t key_len, uint8_t removal, const void *value, size_t value_len,
		uint32_t codec, int64_t ttl_ms, uint32_t store_as,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count,
		uint32_t flags, int64_t intent_ttl_ms, int64_t hold_ms, const uint64_t *held, size_t held_len,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_put_opts put = sjgo_put(codec, ttl_ms, store_as, tags, tags_len, tag_ends, tag_count);
	sj_update_opts opts = {sizeof opts, flags, intent_ttl_ms, hold_ms, {NULL, 0}, NULL, 0};
	sj_slice stored = sjgo_slice(value, value_len);
	int32_t status = sj_store_begin_async(cache, sjgo_slice(key, key_len), removal ? NULL : &stored, &put, &opts, held, held_len, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_store_end(sj_cache *cache, uint64_t write,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_store_end_async(cache, write, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_explain(sj_cache *cache, const void *key, size_t key_len,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_explain_async(cache, sjgo_slice(key, key_len), queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

#endif
