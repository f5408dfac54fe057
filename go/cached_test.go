package scrubjay_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

type page struct {
	Lang string `json:"lang"`
	Path *string
	n    int
	Rank float64
}

func TestCachedByTemplate(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	var runs atomic.Int64
	double := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: "double:{0}", TTL: time.Minute}, func(_ context.Context, n int) (int, error) {
		runs.Add(1)
		return 2 * n, nil
	})
	for range 3 {
		if got, err := double(ctx, 21); got != 42 || err != nil {
			t.Fatal(got, err)
		}
	}
	if runs.Load() != 1 {
		t.Fatal(runs.Load(), "runs")
	}
	var stored int
	if err := cache.Get(ctx, "double:21", &stored); err != nil || stored != 42 {
		t.Fatal(stored, err)
	}
}

// keyOf is the key that a template makes of an argument.
func keyOf[A any](t *testing.T, template string, arg A) (string, error) {
	t.Helper()
	cache := open(t, scrubjay.Options{})
	_, err := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: template}, func(context.Context, A) (string, error) { return "x", nil })(ctx, arg)
	return template, err
}

func TestTemplates(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	path := "a/b:c ü"
	check := func(key string, call func() (string, error)) {
		t.Helper()
		if _, err := call(); err != nil {
			t.Error(err)
		}
		if err := cache.Get(ctx, key, new(string)); err != nil {
			t.Errorf("nothing under %s: %v", key, err)
		}
	}
	byPage := func(template string, p page) func() (string, error) {
		f := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: template}, func(context.Context, page) (string, error) { return "x", nil })
		return func() (string, error) { return f(ctx, p) }
	}
	check("page:de:a%2Fb%3Ac%20%C3%BC", byPage("page:{lang}:{Path}", page{Lang: "de", Path: &path, n: 1}))
	check("page:null:0.5:x-y_z.", byPage("page:{1}:{2}:{0}", page{Lang: "x-y_z.", Rank: 0.5}))
	check("{page}1e%2B21", byPage("{{page}}{Rank}", page{Rank: 1e21}))
	for template, names := range map[string]string{
		"{lang}{Path}": "separator", "{lang}.{Path}": "separator", "{lang}%{Path}": "separator",
		"{lang": "{", "lang}": "}", "{none}": "{none}", "{n}": "{n}", "{3}": "{3}", "{}": "{}",
	} {
		_, err := keyOf(t, template, page{})
		if !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: %v", template, err)
		}
	}
	if _, err := keyOf(t, "{0}", []int{1}); !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), "{0}") {
		t.Error(err)
	}
	if _, err := keyOf(t, "{0}", "\xff"); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
	if _, err := keyOf(t, "{1}", 1); !errors.Is(err, scrubjay.ErrInvalidOption) {
		t.Error(err)
	}
}

var plainRuns atomic.Int64

func plain(_ context.Context, s string) (string, error) {
	plainRuns.Add(1)
	return s + "!", nil
}

func TestCachedByName(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	f := scrubjay.Cached(cache, scrubjay.CachedOptions{TTL: time.Minute}, plain)
	for _, arg := range []string{"a", "b", "a"} {
		if got, err := f(ctx, arg); got != arg+"!" || err != nil {
			t.Fatal(got, err)
		}
	}
	if plainRuns.Load() != 2 {
		t.Fatal(plainRuns.Load(), "runs")
	}
}

func TestCachedByFunction(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	f := scrubjay.CachedBy(cache, scrubjay.CachedOptions{Codec: scrubjay.MsgPack}, strings.ToLower, func(_ context.Context, s string) (string, error) { return s, nil })
	if _, err := f(ctx, "ABC"); err != nil {
		t.Fatal(err)
	}
	if got, err := f(ctx, "abc"); got != "ABC" || err != nil {
		t.Fatal(got, err)
	}
}
