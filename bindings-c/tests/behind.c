// Write-behind: the cache has a value at once, the source gets it later, and nothing acknowledged is lost.

#include <signal.h>
#include <sys/wait.h>

#include "check.h"

static sj_write_behind *open_behind(sj_cache *cache, const char *options) {
  char json[500];
  snprintf(json, sizeof json, "{\"name\": \"c-test\", \"retry_base\": 0.001, %s}", options);
  sj_error *error = NULL;
  sj_write_behind *behind = NULL;
  int32_t status = sj_write_behind_open(cache, sj_text(json), &behind, &error);
  if (status != SJ_OK) {
    fprintf(stderr, "%s: %s\n", json, sj_error_message(error));
  }
  CHECK(status == SJ_OK);
  return behind;
}

static bool is_bytes(sj_buf batch, uint64_t at, uint64_t len, const char *text) {
  return len == strlen(text) && at + len <= batch.len && memcmp(batch.ptr + at, text, len) == 0;
}

// Takes one batch, which must have one write of this key and value, and returns its number.
static uint64_t expect(sj_write_behind *behind, uint32_t kind, const char *key, const char *value) {
  sj_batch_opts opts = SJ_BATCH_OPTS_INIT;
  opts.wait_ms = 20000;
  opts.max_items = 1;
  sj_buf batch = {0};
  uint64_t count = 0;
  CHECK(sj_write_behind_next_batch(behind, &opts, &batch, &count, NULL) == SJ_WRITES && count == 1);
  const sj_write *write = (const sj_write *)(const void *)batch.ptr;
  CHECK(write->kind == kind && is_bytes(batch, write->key, write->key_len, key));
  CHECK(is_bytes(batch, write->value, write->value_len, value) && write->attempt >= 1 && write->sequence > 0);
  uint64_t number = write->number;
  sj_buf_free(&batch);
  return number;
}

static unsigned long counter(sj_write_behind *behind, const char *name) {
  sj_buf json = {0};
  char field[64], text[1000];
  CHECK(sj_write_behind_stats_json(behind, &json) == SJ_OK && json.len < sizeof text);
  memcpy(text, json.ptr, json.len);
  text[json.len] = '\0';
  sj_buf_free(&json);
  snprintf(field, sizeof field, "\"%s\":", name);
  const char *at = strstr(text, field);
  CHECK(at != NULL);
  return strtoul(at + strlen(field), NULL, 10);
}

static void the_source_gets_the_newest_state_and_every_change(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_write_behind *behind = open_behind(cache, "\"ack\": \"memory\"");
  sj_receipt receipt = {0};
  CHECK(sj_write_behind_set(behind, sj_text("k"), sj_text("1"), NULL, NULL, &receipt, NULL) == SJ_OK);
  CHECK(sj_write_behind_set(behind, sj_text("k"), sj_text("2"), NULL, NULL, NULL, NULL) == SJ_OK);
  sj_buf value = {0};
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_HIT && is_text(value, "2"));
  sj_buf_free(&value);
  uint64_t number = expect(behind, SJ_WRITE_SET, "k", "2");
  CHECK(sj_write_behind_ack(behind, &number, 1) == 1 && sj_write_behind_ack(behind, &number, 1) == 0);
  // A worker that ends gives back what it has not tried.
  CHECK(sj_write_behind_set(behind, sj_text("k"), sj_text("3"), NULL, NULL, NULL, NULL) == SJ_OK);
  number = expect(behind, SJ_WRITE_SET, "k", "3");
  CHECK(sj_write_behind_give_back(behind, &number, 1) == SJ_OK && expect(behind, SJ_WRITE_SET, "k", "3") == number);
  CHECK(sj_write_behind_ack(behind, &number, 1) == 1);
  CHECK(sj_write_behind_delete(behind, sj_text("k"), NULL, NULL, NULL) == SJ_OK);
  CHECK(sj_get(cache, sj_text("k"), &value, NULL, NULL) == SJ_MISS);
  number = expect(behind, SJ_WRITE_DELETE, "k", "");
  CHECK(sj_write_behind_ack(behind, &number, 1) == 1);
  for (int i = 0; i < 2; i++) {
    const char *change = i == 0 ? "+1" : "+2";
    CHECK(sj_write_behind_delta(behind, sj_text("n"), sj_text(change), SJ_RAW, NULL, NULL, NULL) == SJ_OK);
  }
  number = expect(behind, SJ_WRITE_DELTA, "n", "+1");
  CHECK(sj_write_behind_ack(behind, &number, 1) == 1);
  number = expect(behind, SJ_WRITE_DELTA, "n", "+2");
  CHECK(sj_write_behind_ack(behind, &number, 1) == 1);
  CHECK(counter(behind, "written") == 5 && counter(behind, "coalesced") == 1 && counter(behind, "depth") == 0);
  sj_drain_report report = {9, 9, 9};
  CHECK(sj_write_behind_flush(behind, 20000, &report, NULL) == SJ_OK && report.left == 0);
  CHECK(sj_write_behind_close(behind, 20000, &report, NULL) == SJ_OK && report.left == 0 && report.dead == 0);
  sj_error *error = NULL;
  CHECK(sj_write_behind_set(behind, sj_text("k"), sj_text("3"), NULL, NULL, NULL, &error) == SJ_ERR_CLOSED);
  sj_error_free(error);
  sj_write_behind_free(behind);
  free_cache(cache);
}

static void dead_letters(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_write_behind *behind = open_behind(cache, "\"ack\": \"memory\"");
  CHECK(sj_write_behind_set(behind, sj_text("k"), sj_text("1"), NULL, NULL, NULL, NULL) == SJ_OK);
  uint64_t number = expect(behind, SJ_WRITE_SET, "k", "1"), count = 0, done = 0;
  CHECK(sj_write_behind_nack(behind, &number, 1, sj_text("constraint"), 1) == 1);
  sj_buf letters = {0};
  CHECK(sj_write_behind_dead_letters(behind, 0, 0, &letters, &count, NULL) == SJ_WRITES && count == 1);
  const sj_write *letter = (const sj_write *)(const void *)letters.ptr;
  CHECK(is_bytes(letters, letter->error, letter->error_len, "constraint") && letter->number == number);
  sj_buf_free(&letters);
  CHECK(sj_write_behind_replay(behind, &number, 1, &done, NULL) == SJ_OK && done == 1);
  CHECK(expect(behind, SJ_WRITE_SET, "k", "1") == number);
  CHECK(sj_write_behind_nack(behind, &number, 1, sj_text("again"), 1) == 1);
  CHECK(sj_write_behind_drop(behind, NULL, 0, &done, NULL) == SJ_OK && done == 1);
  CHECK(sj_write_behind_dead_letters(behind, 0, 0, &letters, &count, NULL) == SJ_WRITES && count == 0);
  sj_buf_free(&letters);
  sj_write_behind_free(behind);
  free_cache(cache);
}

static sj_completion answer(sj_queue *queue, int32_t status, sj_completion c) {
  if (status == SJ_PENDING) {
    CHECK(sj_queue_wait(queue, &c, 1, 20000) == 1);
  }
  return c;
}

static void through_a_queue(void) {
  sj_cache *cache = open_cache(redis_url(), "");
  sj_write_behind *behind = open_behind(cache, "\"ack\": \"redis\"");
  sj_queue *queue = sj_queue_new();
  sj_completion c = {0};
  int32_t status = sj_write_behind_set_async(behind, sj_text("k"), sj_text("\"v\""), NULL, queue, 1, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_OK && c.token == 1 && !c.receipt.pending);
  // A batch whose answer nobody takes is handed out again.
  status = sj_write_behind_next_batch_async(behind, NULL, queue, 2, &c);
  CHECK(status == SJ_PENDING && sj_cancel(queue, 2) == SJ_OK);
  status = sj_write_behind_next_batch_async(behind, NULL, queue, 3, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_WRITES && c.token == 3 && c.lease == 1);
  const sj_write *write = (const sj_write *)(const void *)c.value.ptr;
  CHECK(is_bytes(c.value, write->key, write->key_len, "k"));
  CHECK(is_bytes(c.value, write->value, write->value_len, "\"v\"") && write->codec == SJ_JSON);
  CHECK(sj_write_behind_ack(behind, &write->number, 1) == 1);
  sj_buf_free(&c.value);
  status = sj_write_behind_flush_async(behind, 20000, queue, 4, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_HIT && c.codec == SJ_JSON && c.value.len > 0 && c.value.ptr[0] == '{');
  sj_buf_free(&c.value);
  status = sj_write_behind_delete_async(behind, sj_text("k"), queue, 5, &c);
  CHECK(answer(queue, status, c).status == SJ_OK);
  status = sj_write_behind_delta_async(behind, sj_text("n"), sj_text("1"), SJ_JSON, queue, 6, &c);
  CHECK(answer(queue, status, c).status == SJ_OK);
  status = sj_write_behind_replay_async(behind, NULL, 0, queue, 7, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_OK && c.lease == 0);
  status = sj_write_behind_drop_async(behind, NULL, 0, queue, 8, &c);
  CHECK(answer(queue, status, c).status == SJ_OK);
  status = sj_write_behind_dead_letters_async(behind, 0, 0, queue, 9, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_WRITES && c.lease == 0);
  sj_buf_free(&c.value);
  status = sj_write_behind_close_async(behind, 0, queue, 10, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_HIT && c.value.len > 0);
  sj_buf_free(&c.value);
  status = sj_write_behind_next_batch_async(behind, NULL, queue, 11, &c);
  c = answer(queue, status, c);
  CHECK(c.status == SJ_ERR_CLOSED);
  sj_buf_free(&c.value);
  sj_queue_free(queue);
  sj_write_behind_free(behind);
  free_cache(cache);
}

static void a_caller_writes_when_there_is_no_room(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_write_behind *behind =
      open_behind(cache, "\"ack\": \"memory\", \"on_full\": \"write_through\", \"max_bytes\": 4096");
  char big[3002];
  memset(big, 'x', sizeof big);
  big[0] = big[3000] = '"';
  big[3001] = '\0';
  CHECK(sj_write_behind_set(behind, sj_text("a"), sj_text(big), NULL, NULL, NULL, NULL) == SJ_OK);
  uint64_t turn = 0;
  CHECK(sj_write_behind_set(behind, sj_text("b"), sj_text(big), NULL, &turn, NULL, NULL) == SJ_LEAD && turn != 0);
  sj_buf value = {0};
  CHECK(sj_get(cache, sj_text("b"), &value, NULL, NULL) == SJ_MISS);
  sj_buf mine = {0};
  CHECK(sj_write_behind_turn(behind, turn, &mine) == SJ_WRITES);
  const sj_write *write = (const sj_write *)(const void *)mine.ptr;
  CHECK(is_bytes(mine, write->key, write->key_len, "b") && is_bytes(mine, write->value, write->value_len, big));
  CHECK(write->kind == SJ_WRITE_SET && write->sequence > 0 && write->number == turn);
  sj_buf_free(&mine);
  CHECK(sj_write_behind_ack(behind, &turn, 1) == 1 && sj_write_behind_turn(behind, turn, &mine) == SJ_MISS);
  CHECK(sj_get(cache, sj_text("b"), &value, NULL, NULL) == SJ_HIT);
  sj_buf_free(&value);
  CHECK(sj_write_behind_set(behind, sj_text("c"), sj_text(big), NULL, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  sj_write_behind_free(behind);
  free_cache(cache);
}

// The parent opens, the child writes and dies: the parent finds what was acknowledged.
static void a_child_has_a_journal_of_its_own(void) {
  char directory[] = "/tmp/scrubjay-c-XXXXXX", options[200];
  CHECK(mkdtemp(directory) != NULL);
  snprintf(options, sizeof options, "\"directory\": \"%s\"", directory);
  sj_cache *cache = open_cache("memory://", "");
  sj_write_behind *behind = open_behind(cache, options);
  pid_t child = fork();
  if (child == 0) {
    bool written = sj_write_behind_set(behind, sj_text("child"), sj_text("1"), NULL, NULL, NULL, NULL) == SJ_OK;
    _exit(written ? 0 : 1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(sj_write_behind_set(behind, sj_text("parent"), sj_text("2"), NULL, NULL, NULL, NULL) == SJ_OK);
  // A child that was forked from a process with a journal holds on to nothing of it.
  child = fork();
  if (child == 0) {
    sleep_ms(60000);
    _exit(0);
  }
  EVENTUALLY(counter(behind, "adopted") == 1);
  sj_write_behind_free(behind);
  sj_write_behind *heir = open_behind(cache, options);
  EVENTUALLY(counter(heir, "adopted") == 2);
  uint64_t number = expect(heir, SJ_WRITE_SET, "child", "1");
  CHECK(sj_write_behind_ack(heir, &number, 1) == 1);
  number = expect(heir, SJ_WRITE_SET, "parent", "2");
  CHECK(sj_write_behind_ack(heir, &number, 1) == 1);
  CHECK(sj_write_behind_close(heir, 20000, NULL, NULL) == SJ_OK);
  sj_write_behind_free(heir);
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
  CHECK(rmdir(directory) == 0);
  free_cache(cache);
}

static void wrong_arguments_are_named(void) {
  sj_cache *cache = open_cache("memory://", "");
  sj_write_behind *behind = NULL;
  sj_error *error = NULL;
  CHECK(sj_write_behind_open(cache, sj_text("{\"name\": \"x\"}"), &behind, &error) == SJ_ERR_INVALID_OPTION);
  CHECK(strstr(sj_error_message(error), "directory") != NULL && behind == NULL);
  sj_error_free(error);
  CHECK(sj_write_behind_open(cache, sj_text("{}"), NULL, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_write_behind_open(NULL, sj_text("{}"), &behind, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_write_behind_ack(NULL, NULL, 0) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_write_behind_give_back(NULL, NULL, 0) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_write_behind_turn(NULL, 1, NULL) == SJ_ERR_INVALID_OPTION);
  CHECK(sj_write_behind_set(NULL, sj_text("k"), sj_text("1"), NULL, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  behind = open_behind(cache, "\"ack\": \"memory\"");
  CHECK(sj_write_behind_set(behind, sj_text(""), sj_text("1"), NULL, NULL, NULL, NULL) == SJ_ERR_INVALID_KEY);
  CHECK(sj_write_behind_set(behind, sj_text("k"), sj_text("{"), NULL, NULL, NULL, NULL) == SJ_ERR_INVALID_VALUE);
  CHECK(sj_write_behind_next_batch(behind, NULL, NULL, NULL, NULL) == SJ_ERR_INVALID_OPTION);
  sj_write_behind_free(behind);
  sj_write_behind_free(NULL);
  free_cache(cache);
}

int main(void) {
  RUN(the_source_gets_the_newest_state_and_every_change);
  RUN(dead_letters);
  RUN(through_a_queue);
  RUN(a_caller_writes_when_there_is_no_room);
  RUN(a_child_has_a_journal_of_its_own);
  RUN(wrong_arguments_are_named);
  return 0;
}
