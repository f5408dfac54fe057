package scrubjay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"scrubjay"
)

func TestTwoCachesShareARedis(t *testing.T) {
	server := startRedis(t)
	ours := open(t, scrubjay.Options{URL: server.addr(), Prefix: "shared"})
	theirs := open(t, scrubjay.Options{URL: "redis://" + server.addr() + "/0", Prefix: "shared", MaxStaleness: scrubjay.Ptr(time.Duration(0))})
	for key, value := range map[string]any{"text": "ü", "nul\x00key": "nul\x00value", "null": nil, "number": 1.5, "big": strings.Repeat("x", 1<<20)} {
		for _, codec := range []scrubjay.Codec{scrubjay.JSON, scrubjay.MsgPack} {
			if _, err := ours.Set(ctx, key, value, time.Minute, scrubjay.WithCodec(codec)); err != nil {
				t.Fatal(err)
			}
			var got any
			if err := theirs.Get(ctx, key, &got); err != nil || got != value {
				t.Errorf("%q: %v", key, err)
			}
		}
	}
	blob := bytes.Repeat([]byte{0, 1, 2, 0xff}, 1<<18)
	if _, err := ours.Set(ctx, "blob", blob, time.Minute); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if err := theirs.Get(ctx, "blob", &got); err != nil || !bytes.Equal(got, blob) {
		t.Fatal(len(got), err)
	}
	if _, err := ours.Delete(ctx, "text"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the delete is seen", func() bool { return errors.Is(theirs.Get(ctx, "text", new(any)), scrubjay.ErrMiss) })
}

func TestRedisIsDown(t *testing.T) {
	cache := open(t, scrubjay.Options{URL: fmt.Sprintf("127.0.0.1:%d", freePort(t)), Prefix: "down"})
	receipt, err := cache.Set(ctx, "k", 1, time.Minute)
	if err != nil || !receipt.Pending {
		t.Fatal(receipt, err)
	}
	value, err := scrubjay.GetOrFetchFunc(ctx, cache, "other", time.Minute, func() (int, error) { return 2, nil })
	if value != 2 || err != nil {
		t.Fatal(value, err)
	}
	if err := cache.Get(ctx, "none", new(int)); !errors.Is(err, scrubjay.ErrMiss) {
		t.Fatal(err)
	}
	if receipt, err := cache.Delete(ctx, "k"); err != nil || !receipt.Pending {
		t.Fatal(receipt, err)
	}
	began := time.Now()
	if err := cache.Close(); !errors.Is(err, scrubjay.ErrUnavailable) {
		t.Error("close does not tell what is left:", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Error("close took", took)
	}
}

func TestRedisIsKilledAndComesBack(t *testing.T) {
	server := startRedis(t)
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "killed", L1Bytes: scrubjay.Ptr(int64(0))})
	if _, err := cache.Set(ctx, "k", 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	for worker := range 8 {
		traffic.Add(1)
		go func() {
			defer traffic.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprint(worker, "-", i%100)
				value, err := scrubjay.GetOrFetch(ctx, cache, key, time.Minute, func(context.Context) (string, error) { return key, nil })
				if value != key || err != nil {
					t.Error(value, err)
					return
				}
			}
		}()
	}
	hits := func() uint64 { return cache.Stats().HitsL2 }
	eventually(t, "hits in Redis", func() bool { return hits() > 0 })
	server.kill()
	failed := cache.Stats().L2Errors
	eventually(t, "Redis is missed", func() bool { return cache.Stats().L2Errors > failed })
	server.start(t)
	before := hits()
	eventually(t, "hits in Redis again", func() bool { return hits() > before })
	close(stop)
	traffic.Wait()
}

func TestReceiptsOfWritesThatLanded(t *testing.T) {
	server := startRedis(t)
	cache := open(t, scrubjay.Options{URL: server.addr(), Prefix: "receipts"})
	first, err := cache.Set(ctx, "k", 1, time.Minute)
	if err != nil || first.Pending || len(first.Token.String()) != 32 {
		t.Fatal(first, err)
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
}
