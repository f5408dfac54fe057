// What capi_behind.go calls: see bridge.h.
#ifndef SCRUBJAY_GO_BRIDGE_BEHIND_H
#define SCRUBJAY_GO_BRIDGE_BEHIND_H

#include "bridge.h"

static int32_t sjgo_behind_open(sj_cache *cache, const void *options, size_t len, sj_write_behind **behind,
		sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_error *error = NULL;
	int32_t status = sj_write_behind_open(cache, sjgo_slice(options, len), behind, &error);
	return status < 0 ? sjgo_error(status, error, reply, room, cap) : status;
}

static int32_t sjgo_behind_set(sj_write_behind *behind, const void *key, size_t key_len, const void *value, size_t value_len,
		uint32_t codec, int64_t ttl_ms, uint32_t store_as,
		const void *tags, size_t tags_len, const uint64_t *tag_ends, size_t tag_count,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_put_opts put = sjgo_put(codec, ttl_ms, store_as, tags, tags_len, tag_ends, tag_count);
	int32_t status = sj_write_behind_set_async(behind, sjgo_slice(key, key_len), sjgo_slice(value, value_len), &put, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_behind_delete(sj_write_behind *behind, const void *key, size_t key_len,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_write_behind_delete_async(behind, sjgo_slice(key, key_len), queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_behind_delta(sj_write_behind *behind, const void *key, size_t key_len, const void *change, size_t change_len,
		uint32_t codec, sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_write_behind_delta_async(behind, sjgo_slice(key, key_len), sjgo_slice(change, change_len), codec, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_behind_next(sj_write_behind *behind, uint32_t max_items, uint64_t max_bytes, int64_t linger_ms, int64_t wait_ms,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	sj_batch_opts opts = {sizeof opts, max_items, max_bytes, linger_ms, wait_ms};
	int32_t status = sj_write_behind_next_batch_async(behind, &opts, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static void sjgo_behind_nack(sj_write_behind *behind, const uint64_t *numbers, size_t count, const void *error, size_t error_len, int32_t permanent) {
	sj_write_behind_nack(behind, numbers, count, sjgo_slice(error, error_len), permanent);
}

static int32_t sjgo_behind_turn(sj_write_behind *behind, uint64_t turn, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_write_behind_turn(behind, turn, &out.value);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_behind_letters(sj_write_behind *behind, uint64_t after, size_t max,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_write_behind_dead_letters_async(behind, after, max, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

// Letters are tried again, or given up.
static int32_t sjgo_behind_revive(sj_write_behind *behind, uint32_t drop, const uint64_t *numbers, size_t count,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = drop ? sj_write_behind_drop_async(behind, numbers, count, queue, token, &out)
		: sj_write_behind_replay_async(behind, numbers, count, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_behind_drain(sj_write_behind *behind, uint32_t close, uint64_t timeout_ms,
		sj_queue *queue, uint64_t token, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = close ? sj_write_behind_close_async(behind, timeout_ms, queue, token, &out)
		: sj_write_behind_flush_async(behind, timeout_ms, queue, token, &out);
	return sjgo_answer(status, &out, reply, room, cap);
}

static int32_t sjgo_behind_stats(sj_write_behind *behind, sjgo_reply *reply, uint8_t *room, size_t cap) {
	sj_completion out = {0};
	int32_t status = sj_write_behind_stats_json(behind, &out.value);
	return sjgo_answer(status, &out, reply, room, cap);
}

#endif
