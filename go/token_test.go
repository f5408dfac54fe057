package scrubjay_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"scrubjay"
)

// A process that the server tells nothing finds its user's write by the token, though it believes what it has for an hour.
func TestWhoHasTheTokenReadsItsOwnWrite(t *testing.T) {
	server := startRedis(t)
	server.ask(t, "ACL SETUSER deaf on nopass ~* &* +@all -subscribe -ssubscribe")
	reader := open(t, scrubjay.Options{URL: "redis://deaf:any@" + server.addr(), Prefix: "observe", MaxStaleness: scrubjay.Ptr(time.Hour)})
	writer := open(t, scrubjay.Options{URL: server.addr(), Prefix: "observe"})
	expect := func(value string) {
		t.Helper()
		for _, key := range []string{"k", "user:7"} {
			if got := load[string](t, reader, key); got != value {
				t.Fatal(key, got, value)
			}
		}
	}
	write := func(value string) (receipt scrubjay.Receipt) {
		t.Helper()
		for _, key := range []string{"k", "user:7"} {
			var err error
			if receipt, err = writer.Set(ctx, key, value, time.Minute); err != nil || receipt.Pending {
				t.Fatal(receipt, err)
			}
		}
		return receipt
	}
	write("old")
	expect("old")
	receipt := write("new")
	expect("old")
	token, err := scrubjay.ParseToken(receipt.Token.String())
	if err != nil || token != receipt.Token {
		t.Fatal(token, err)
	}
	if err := reader.Observe(token, "k", "user:7"); err != nil {
		t.Fatal(err)
	}
	expect("new")
}

func TestObserveRefusesWhatIsWrong(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	receipt, err := cache.Set(ctx, "k", 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "00", strings.Repeat("0", 33), strings.Repeat("g", 32), "\xff\xfe"} {
		_, err := scrubjay.ParseToken(text)
		var own *scrubjay.Error
		if !errors.Is(err, scrubjay.ErrInvalidOption) || !errors.As(err, &own) || own.Operation != "observe" || !strings.Contains(err.Error(), "token") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := cache.Observe(receipt.Token); err != nil {
		t.Error(err)
	}
	if err := cache.Observe(receipt.Token, "k", ""); !errors.Is(err, scrubjay.ErrInvalidKey) {
		t.Error(err)
	}
	if err := scrubjay.NewCacheService("no address://", "").Observe(receipt.Token, "k"); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cache.Observe(receipt.Token, "k"); !errors.Is(err, scrubjay.ErrClosed) {
		t.Error(err)
	}
}
