package scrubjay_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"scrubjay"
)

// ledger is a source that notes what is written to it.
type ledger struct {
	mutex sync.Mutex
	lines []string
	// broken are keys that it refuses.
	broken map[string]bool
}

func line(write scrubjay.Write) string {
	return fmt.Sprintf("%s %s %s", write.Kind, write.Key, write.Bytes())
}

func (l *ledger) note(write scrubjay.Write) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lines = append(l.lines, line(write))
}

func (l *ledger) all() []string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return append([]string(nil), l.lines...)
}

func (l *ledger) write(_ context.Context, writes []scrubjay.Write) error {
	for _, write := range writes {
		if l.broken[write.Key] {
			return errors.New("constraint " + write.Key)
		}
	}
	for _, write := range writes {
		l.note(write)
	}
	return nil
}

func openBehind(t testing.TB, cache *scrubjay.CacheService, options scrubjay.WriteBehindOptions) *scrubjay.WriteBehind {
	t.Helper()
	options.Name, options.RetryBase = "go-test", time.Millisecond
	behind, err := scrubjay.OpenWriteBehind(cache, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = behind.CloseWithin(0) })
	return behind
}

func inMemory(t testing.TB) *scrubjay.WriteBehind {
	t.Helper()
	return openBehind(t, open(t, scrubjay.Options{}), scrubjay.WriteBehindOptions{Ack: scrubjay.AckMemory})
}

// start runs a worker until the write-behind is closed or the test ends.
func start(t testing.TB, behind *scrubjay.WriteBehind, writer scrubjay.Writer) {
	t.Helper()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- behind.Run(running, writer) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func mustSet(t testing.TB, behind *scrubjay.WriteBehind, key string, value any) {
	t.Helper()
	if _, err := behind.Set(ctx, key, value, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// nextBatch is one that has writes.
func nextBatch(t testing.TB, behind *scrubjay.WriteBehind, o scrubjay.BatchOptions) scrubjay.Batch {
	t.Helper()
	o.Wait = patience
	batch, err := behind.NextBatch(ctx, o)
	if err != nil || len(batch.Writes) == 0 {
		t.Fatal(batch.Writes, err)
	}
	return batch
}

func flushed(t testing.TB, behind *scrubjay.WriteBehind) {
	t.Helper()
	bounded, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if report, err := behind.Flush(bounded); err != nil || report.Left != 0 {
		t.Fatal(report, err)
	}
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWriteBehindBringsTheNewestStateAndEveryChange(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	behind := openBehind(t, cache, scrubjay.WriteBehindOptions{Directory: t.TempDir()})
	before := time.Now()
	mustSet(t, behind, "k", 1)
	mustSet(t, behind, "k", 2)
	for range 3 {
		if _, err := behind.Delta(ctx, "n", 1); err != nil {
			t.Fatal(err)
		}
	}
	var got int
	if err := cache.Get(ctx, "k", &got); err != nil || got != 2 {
		t.Fatal(got, err)
	}
	batch := nextBatch(t, behind, scrubjay.BatchOptions{MaxItems: 2, Linger: patience})
	if len(batch.Writes) != 2 || line(batch.Writes[0]) != "set k 2" || line(batch.Writes[1]) != "delta n 1" {
		t.Fatal(batch.Writes)
	}
	write := batch.Writes[0]
	if err := write.Decode(&got); err != nil || got != 2 {
		t.Fatal(got, err)
	}
	if write.Attempt != 1 || write.Failure != "" || write.ID != fmt.Sprintf("%d-%d", write.Process, write.Sequence) {
		t.Fatal(write)
	}
	if age := write.EnqueuedAt.Sub(before); age < -time.Second || age > patience {
		t.Fatal(age)
	}
	batch.Ack()
	// It was answered for: nothing more becomes of it.
	batch.Nack(errors.New("late"))
	source := &ledger{}
	start(t, behind, source.write)
	flushed(t, behind)
	same(t, source.all(), "delta n 1", "delta n 1")
	if _, err := behind.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if err := cache.Get(ctx, "k", &got); err != scrubjay.ErrMiss {
		t.Fatal(err)
	}
	if report, err := behind.Close(); err != nil || report.Left != 0 || report.Dead != 0 {
		t.Fatal(report, err)
	}
	same(t, source.all(), "delta n 1", "delta n 1", "delete k ")
	if stats := behind.Stats(); stats.Accepted != 6 || stats.Written != 5 || stats.Coalesced != 1 || stats.Depth != 0 || stats.Dead != 0 {
		t.Fatalf("%+v", stats)
	}
	if _, err := behind.Set(ctx, "k", 3, time.Minute); !errors.Is(err, scrubjay.ErrClosed) {
		t.Fatal(err)
	}
	if err := (scrubjay.Write{Kind: scrubjay.WriteDelete}).Decode(&got); !errors.Is(err, scrubjay.ErrInvalidValue) {
		t.Fatal(err)
	}
}

func TestWriteBehindChannelOfBatches(t *testing.T) {
	behind := inMemory(t)
	source := &ledger{}
	running, stop := context.WithCancel(ctx)
	defer stop()
	batches := behind.Batches(running)
	for _, key := range []string{"a", "b", "c"} {
		mustSet(t, behind, key, key)
	}
	failed := false
	for batch := range batches {
		var rejected []scrubjay.Write
		for _, write := range batch.Writes {
			if write.Key == "b" && !failed {
				failed = true
				rejected = append(rejected, write)
				continue
			}
			source.note(write)
		}
		if len(rejected) > 0 {
			batch.Nack(errors.New("not now"), rejected...)
		}
		batch.Ack()
		if len(source.all()) == 3 {
			stop()
		}
	}
	eventually(t, "nothing waits", func() bool { return behind.Stats().Depth == 0 })
	stats := behind.Stats()
	if !failed || stats.Written != 3 || stats.Retried != 1 {
		t.Fatalf("%+v", stats)
	}
}

func TestWriteBehindHandsOutAgainWhatNobodyReceived(t *testing.T) {
	behind := inMemory(t)
	goroutines := runtime.NumGoroutine()
	running, stop := context.WithCancel(ctx)
	batches := behind.Batches(running)
	mustSet(t, behind, "k", 1)
	eventually(t, "a batch is in the channel's goroutine", func() bool { return behind.Stats().InFlight == 1 })
	stop()
	batch := nextBatch(t, behind, scrubjay.BatchOptions{})
	if line(batch.Writes[0]) != "set k 1" {
		t.Fatal(batch.Writes)
	}
	batch.Ack()
	for range batches {
		t.Fatal("a batch of a context that is over")
	}
	// The waiter may have started meanwhile.
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
}

func TestWriteBehindFindsTheCulpritOfABatch(t *testing.T) {
	behind := openBehind(t, open(t, scrubjay.Options{}), scrubjay.WriteBehindOptions{Ack: scrubjay.AckMemory, MaxAttempts: scrubjay.Ptr(2)})
	for _, key := range []string{"a", "bad", "c"} {
		mustSet(t, behind, key, 1)
	}
	source := &ledger{broken: map[string]bool{"bad": true}}
	start(t, behind, source.write)
	eventually(t, "the others are written", func() bool { return len(source.all()) == 2 && behind.Stats().Dead == 1 })
	letters, err := behind.DeadLetters(ctx, nil, 0)
	if err != nil || len(letters) != 1 || letters[0].Key != "bad" || letters[0].Failure != "constraint bad" {
		t.Fatal(letters, err)
	}
}

func TestWriteBehindDeadLetters(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	behind := openBehind(t, cache, scrubjay.WriteBehindOptions{Ack: scrubjay.AckMemory})
	for _, key := range []string{"a", "b", "c"} {
		mustSet(t, behind, key, key)
	}
	batch := nextBatch(t, behind, scrubjay.BatchOptions{MaxItems: 3, Linger: patience})
	of := func(i int, text string) error {
		return &scrubjay.Rejected{Writes: batch.Writes[i : i+1], Err: errors.New(text), Permanent: true}
	}
	batch.Nack(fmt.Errorf("some: %w", errors.Join(of(0, "no a"), of(1, "no b"))))
	letters, err := behind.DeadLetters(ctx, nil, 0)
	if err != nil || len(letters) != 2 || letters[0].Failure != "no a" || letters[1].Failure != "no b" {
		t.Fatal(letters, err)
	}
	if written := behind.Stats().Written; written != 1 {
		t.Fatal("the source has the other one", written)
	}
	if rest, err := behind.DeadLetters(ctx, &letters[0], 1); err != nil || len(rest) != 1 || rest[0].Key != "b" {
		t.Fatal(rest, err)
	}
	if count, err := behind.Drop(ctx); count != 0 || err != nil {
		t.Fatal("none was named", count, err)
	}
	if count, err := behind.Replay(ctx, letters[0]); count != 1 || err != nil {
		t.Fatal(count, err)
	}
	batch = nextBatch(t, behind, scrubjay.BatchOptions{})
	if len(batch.Writes) != 1 || batch.Writes[0].Key != "a" || batch.Writes[0].ID != letters[0].ID || batch.Writes[0].Attempt != 1 {
		t.Fatal(batch.Writes)
	}
	batch.Ack()
	if count, err := behind.Drop(ctx, letters[1]); count != 1 || err != nil {
		t.Fatal(count, err)
	}
	var got string
	if err := cache.Get(ctx, "b", &got); err != scrubjay.ErrMiss {
		t.Fatal("the cache lets go of it", got, err)
	}
	for _, all := range []func(context.Context) (int, error){behind.ReplayAll, behind.DropAll} {
		if count, err := all(ctx); count != 0 || err != nil {
			t.Fatal(count, err)
		}
	}
}

func TestWriteBehindWriterThatPanicsOrIsStopped(t *testing.T) {
	behind := inMemory(t)
	mustSet(t, behind, "k", 1)
	func() {
		defer func() {
			if text := recover(); text != "boom" {
				t.Error("the panic goes on", text)
			}
		}()
		_ = behind.Run(ctx, func(context.Context, []scrubjay.Write) error { panic("boom") })
	}()
	if retried := behind.Stats().Retried; retried != 1 {
		t.Fatal(retried)
	}
	// One that is stopped in its writer gives its writes back, and it is held against none of them.
	running, stop := context.WithCancel(ctx)
	err := behind.Run(running, func(ctx context.Context, writes []scrubjay.Write) error {
		stop()
		return fmt.Errorf("statement: %w", ctx.Err())
	})
	if err != context.Canceled || behind.Stats().Retried != 1 {
		t.Fatal(err, behind.Stats().Retried)
	}
	if err := behind.Run(running, (&ledger{}).write); err != context.Canceled {
		t.Fatal(err)
	}
	source := &ledger{}
	start(t, behind, source.write)
	flushed(t, behind)
	same(t, source.all(), "set k 1")
}

// childKey has the test program be the child of TestWriteBehindAdoptsTheJournalOfAKilledProcess.
const childKey = "SCRUBJAY_TEST_WRITE_BEHIND_CHILD"

func TestMain(m *testing.M) {
	if directory := os.Getenv(childKey); directory != "" {
		writeAndWait(directory)
	}
	os.Exit(m.Run())
}

// writeAndWait writes ten values, says so, and waits for its end.
func writeAndWait(directory string) {
	behind, err := scrubjay.OpenWriteBehind(scrubjay.NewCacheService("", ""), scrubjay.WriteBehindOptions{Name: "go-test", Directory: directory})
	for i := 0; i < 10 && err == nil; i++ {
		_, err = behind.Set(ctx, fmt.Sprint("k", i), i, time.Minute)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("acknowledged")
	select {}
}

func TestWriteBehindAdoptsTheJournalOfAKilledProcess(t *testing.T) {
	directory := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childKey+"="+directory)
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	told := false
	for lines := bufio.NewScanner(output); !told && lines.Scan(); {
		told = lines.Text() == "acknowledged"
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if !told {
		t.Fatal("the child ended before it had written")
	}
	cache := open(t, scrubjay.Options{})
	behind := openBehind(t, cache, scrubjay.WriteBehindOptions{Directory: directory})
	source := &ledger{}
	start(t, behind, source.write)
	eventually(t, "all of them are written", func() bool { return len(source.all()) == 10 })
	if report, err := behind.Close(); err != nil || report.Left != 0 {
		t.Fatal(report, err)
	}
	if adopted := behind.Stats().Adopted; adopted != 10 {
		t.Fatal(adopted)
	}
	for i, written := range source.all() {
		if want := fmt.Sprintf("set k%d %d", i, i); written != want {
			t.Fatal(written, "in the order of the child:", want)
		}
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
}

func TestWriteBehindTwoWorkersShareAStream(t *testing.T) {
	server := startRedis(t)
	options := scrubjay.WriteBehindOptions{Ack: scrubjay.AckRedis, Partitions: 4}
	var workers [2]*scrubjay.WriteBehind
	var sources [2]ledger
	for i := range workers {
		workers[i] = openBehind(t, open(t, scrubjay.Options{URL: server.addr(), Prefix: "go-test"}), options)
		start(t, workers[i], sources[i].write)
	}
	eventually(t, "each of them has partitions", func() bool {
		mustSet(t, workers[0], fmt.Sprint("probe", time.Now().UnixNano()), 1)
		return len(sources[0].all()) > 0 && len(sources[1].all()) > 0
	})
	const keys, changes = 20, 10
	for change := range changes {
		for key := range keys {
			if _, err := workers[change%2].Delta(ctx, fmt.Sprint("n", key), change); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, behind := range workers {
		flushed(t, behind)
	}
	seen := map[string][]string{}
	for i := range sources {
		for _, written := range sources[i].all() {
			if words := strings.Fields(written); words[0] == "delta" {
				seen[words[1]] = append(seen[words[1]], words[2])
			}
		}
	}
	for key := range keys {
		if got := strings.Join(seen[fmt.Sprint("n", key)], " "); got != "0 1 2 3 4 5 6 7 8 9" {
			t.Fatalf("n%d: %s", key, got)
		}
	}
}

func TestWriteBehindThatIsFull(t *testing.T) {
	big := strings.Repeat("x", 3000)
	full := func(t *testing.T, options scrubjay.WriteBehindOptions) *scrubjay.WriteBehind {
		options.Ack, options.MaxBytes = scrubjay.AckMemory, 4096
		behind := openBehind(t, open(t, scrubjay.Options{}), options)
		mustSet(t, behind, "a", big)
		return behind
	}
	t.Run("reject", func(t *testing.T) {
		behind := full(t, scrubjay.WriteBehindOptions{OnFull: scrubjay.OnFullReject})
		_, err := behind.Set(ctx, "b", big, time.Minute)
		var failure *scrubjay.Error
		if !errors.Is(err, scrubjay.ErrOverloaded) || !errors.As(err, &failure) || !failure.Retryable() || behind.Stats().Rejected != 1 {
			t.Fatal(err)
		}
	})
	t.Run("block", func(t *testing.T) {
		behind := full(t, scrubjay.WriteBehindOptions{BlockFor: scrubjay.Ptr(patience)})
		written := make(chan error, 1)
		go func() {
			_, err := behind.Set(ctx, "b", big, time.Minute)
			written <- err
		}()
		nextBatch(t, behind, scrubjay.BatchOptions{}).Ack()
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		stopped, stop := context.WithTimeout(ctx, time.Millisecond)
		defer stop()
		if _, err := behind.Set(stopped, "c", big, time.Minute); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
	})
	t.Run("block for no time", func(t *testing.T) {
		behind := full(t, scrubjay.WriteBehindOptions{BlockFor: scrubjay.Ptr(time.Duration(0))})
		if _, err := behind.Set(ctx, "b", big, time.Minute); !errors.Is(err, scrubjay.ErrOverloaded) {
			t.Fatal(err)
		}
	})
	t.Run("write through", func(t *testing.T) {
		source := &ledger{broken: map[string]bool{"bad": true}}
		behind := full(t, scrubjay.WriteBehindOptions{OnFull: scrubjay.OnFullWriteThrough, Writer: func(ctx context.Context, writes []scrubjay.Write) error {
			if len(writes) != 1 || writes[0].Sequence == 0 {
				return fmt.Errorf("%v", writes)
			}
			if writes[0].Key == "boom" {
				panic("boom")
			}
			return source.write(ctx, writes)
		}})
		receipt, err := behind.Set(ctx, "b", big, time.Minute)
		if err != nil || receipt != (scrubjay.Receipt{}) {
			t.Fatal(receipt, err)
		}
		same(t, source.all(), fmt.Sprintf("set b %q", big))
		if _, err := behind.Set(ctx, "bad", big, time.Minute); err == nil || err.Error() != "constraint bad" {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if text := recover(); text != "boom" {
					t.Error(text)
				}
			}()
			_, _ = behind.Set(ctx, "boom", big, time.Minute)
		}()
		// Neither holds up the next one of its key, nor the worker of those that wait.
		source.broken = nil
		if _, err := behind.Set(ctx, "bad", big, time.Minute); err != nil {
			t.Fatal(err)
		}
		start(t, behind, nil)
		flushed(t, behind)
		same(t, source.all(), fmt.Sprintf("set b %q", big), fmt.Sprintf("set bad %q", big), fmt.Sprintf("set a %q", big))
	})
}

func TestWriteBehindReportsWhatIsLeft(t *testing.T) {
	cache, directory := open(t, scrubjay.Options{}), t.TempDir()
	behind := openBehind(t, cache, scrubjay.WriteBehindOptions{Directory: directory})
	mustSet(t, behind, "k", 1)
	// Nobody writes.
	stopped, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	if _, err := behind.Flush(stopped); err != context.DeadlineExceeded {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		// Of other keys than those that wait: of none.
		nextBatch(t, behind, scrubjay.BatchOptions{})
		waiting <- behind.Run(ctx, (&ledger{}).write)
	}()
	eventually(t, "it is handed out", func() bool { return behind.Stats().InFlight == 1 })
	if report, err := behind.CloseWithin(time.Millisecond); err != nil || report.Left != 1 {
		t.Fatal(report, err)
	}
	if err := <-waiting; err != nil {
		t.Fatal("the end is no error", err)
	}
	if report, err := behind.Close(); err != nil || report.Left != 1 {
		t.Fatal(report, err)
	}
	heir := openBehind(t, cache, scrubjay.WriteBehindOptions{Directory: directory})
	source := &ledger{}
	start(t, heir, source.write)
	eventually(t, "whoever opens it next has it", func() bool { return len(source.all()) == 1 })
}

func TestWriteBehindNamesWrongArguments(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	for name, options := range map[string]scrubjay.WriteBehindOptions{
		"name":       {},
		"directory":  {Name: "x"},
		"ack":        {Name: "x", Ack: "disk"},
		"max_bytes":  {Name: "x", Ack: scrubjay.AckMemory, MaxBytes: 1},
		"visibility": {Name: "x", Ack: scrubjay.AckMemory, Visibility: time.Millisecond},
		"block_for":  {Name: "x", Ack: scrubjay.AckMemory, BlockFor: scrubjay.Ptr(-time.Second)},
		"Writer":     {Name: "x", Ack: scrubjay.AckMemory, OnFull: scrubjay.OnFullWriteThrough},
	} {
		if _, err := scrubjay.OpenWriteBehind(cache, options); !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), name) {
			t.Error(name, err)
		}
	}
	if _, err := scrubjay.OpenWriteBehind(scrubjay.NewCacheService("ftp://x", ""), scrubjay.WriteBehindOptions{Name: "x"}); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	behind := inMemory(t)
	for _, o := range []scrubjay.BatchOptions{{MaxItems: -1}, {MaxItems: 20_000}, {MaxBytes: -1}, {Linger: -1}, {Linger: 2 * time.Hour}, {Wait: -1}} {
		if _, err := behind.NextBatch(ctx, o); !errors.Is(err, scrubjay.ErrInvalidOption) {
			t.Error(o, err)
		}
	}
	if batch, err := behind.NextBatch(ctx, scrubjay.BatchOptions{Wait: time.Millisecond}); err != nil || len(batch.Writes) != 0 {
		t.Error(batch, err)
	}
	if err := behind.Run(ctx, nil); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	if _, err := behind.Set(ctx, "", 1, time.Minute); !errors.Is(err, scrubjay.ErrInvalidKey) {
		t.Error(err)
	}
	if _, err := behind.Set(ctx, "k", func() {}, time.Minute); !errors.Is(err, scrubjay.ErrInvalidValue) {
		t.Error(err)
	}
	if _, err := behind.DeadLetters(ctx, nil, -1); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	scrubjay.Batch{}.Ack()
	scrubjay.Batch{}.Nack(nil)
}
