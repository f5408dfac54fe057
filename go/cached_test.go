package scrubjay_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"net/netip"
	"os"
	"slices"
	"strconv"
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

// A written argument is one as the vectors write it.
func written(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = written(t, v[i])
		}
		return list
	case map[string]any:
		if digits, ok := v["$int"].(string); ok {
			n, _ := new(big.Int).SetString(digits, 10)
			if n.IsInt64() {
				return n.Int64()
			}
			return n
		}
		if text, ok := v["$float"].(string); ok {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		if text, ok := v["$bytes"].(string); ok {
			bytes, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return bytes
		}
		fields := map[string]any{}
		for name := range v {
			fields[name] = written(t, v[name])
		}
		return fields
	}
	return v
}

func vectors(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../tests/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// number makes numbers of JSON those of Go.
func number(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = number(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = number(v[name])
		}
	}
	return v
}

func TestVectorsOfTemplates(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	var file struct {
		Vectors []struct {
			Template, Key, Error string
			Args                 map[string]any
		}
	}
	vectors(t, "templates.json", &file)
	for _, vector := range file.Vectors {
		args := written(t, number(vector.Args)).(map[string]any)
		key, err := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: vector.Template}, func(context.Context, map[string]any) (int, error) { return 1, nil }).GetKey(args)
		if vector.Error != "" {
			if !errors.Is(err, scrubjay.ErrInvalidOption) {
				t.Errorf("%s: %q, %v", vector.Template, key, err)
			}
		} else if key != vector.Key || err != nil {
			t.Errorf("%s: %q, not %q: %v", vector.Template, key, vector.Key, err)
		}
	}
}

func keyOfCall(t *testing.T, cache *scrubjay.CacheService, args []any) string {
	t.Helper()
	var key string
	var err error
	of := scrubjay.CachedOptions{Name: "f"}
	switch len(args) {
	case 0:
		key, err = scrubjay.Cached(cache, of, func(context.Context, struct{}) (int, error) { return 1, nil }).GetKey(struct{}{})
	case 1:
		key, err = scrubjay.Cached(cache, of, func(context.Context, any) (int, error) { return 1, nil }).GetKey(args[0])
	default:
		key, err = scrubjay.Cached(cache, of, func(context.Context, scrubjay.Args) (int, error) { return 1, nil }).GetKey(args)
	}
	if err != nil {
		t.Error(err)
	}
	return key
}

func TestVectorsOfArguments(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	var file struct {
		Vectors []struct {
			Name, Key string
			Args      []any
		}
		Names []struct{ Function, Key, Error string }
	}
	vectors(t, "arguments.json", &file)
	for _, vector := range file.Vectors {
		if key := keyOfCall(t, cache, written(t, vector.Args).([]any)); key != vector.Key {
			t.Errorf("%s: %q, not %q", vector.Name, key, vector.Key)
		}
	}
	for _, vector := range file.Names {
		of := scrubjay.CachedOptions{Name: vector.Function}
		if vector.Function == "" {
			continue // no name is the default
		}
		key, err := scrubjay.Cached(cache, of, func(context.Context, struct{}) (int, error) { return 1, nil }).GetKey(struct{}{})
		if vector.Error != "" && !errors.Is(err, scrubjay.ErrInvalidOption) || vector.Error == "" && key != vector.Key {
			t.Errorf("%.20s: %q: %v", vector.Function, key, err)
		}
	}
}

type colour int

type shape struct {
	Kind  string `json:"kind"`
	Where *page  `json:"where"`
	Log   func() `json:"-"`
	sized
}

type sized struct{ Size float32 }

type hidden struct{ n int }

func TestTypesOfGoAreToldApart(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	when := time.Date(2026, 11, 27, 10, 0, 0, 5, time.UTC)
	nothing := (*int)(nil)
	for _, want := range []struct {
		arg any
		key string
	}{
		{int8(1), "f(1)"}, {uint64(math.MaxUint64), "f(18446744073709551615)"}, {float32(0.5), "f(0.5)"},
		{colour(1), "f(!scrubjay_test.colour(1))"}, {[2]int{1, 2}, "f([1,2])"}, {[]string(nil), "f(null)"}, {[]string{}, "f([])"},
		{[3]byte{1, 2, 3}, `f(x"010203")`}, {when, `f(!Time(["2026-11-27T10:00:00.000000005Z","UTC"]))`},
		{map[int]bool{10: true, 9: false}, "f({10:true,9:false})"}, {netip.MustParseAddr("::1"), `f(!net%2Fnetip.Addr("::1"))`},
		{&nothing, "f(!some(null))"}, {nothing, "f(null)"}, {json.Number("5"), "f(5)"}, {json.Number("5.0"), "f(5.0)"},
		{shape{Kind: "a", sized: sized{2}}, `f(!scrubjay_test.shape({"Size":2.0,"kind":"a","where":null}))`},
		{struct{ A []any }{[]any{1, "1", 1.0, true, nil}}, `f({"A":[1,"1",1.0,true,null]})`},
	} {
		key := strings.ReplaceAll(keyOfCall(t, cache, []any{want.arg}), "scrubjay%2Fgo_test.", "scrubjay_test.")
		if key != want.key {
			t.Errorf("%s, not %s", key, want.key)
		}
	}
	typed := scrubjay.Cached(cache, scrubjay.CachedOptions{Name: "f"}, func(context.Context, shape) (int, error) { return 1, nil })
	if key, err := typed.GetKey(shape{}); key != `f({"Size":0.0,"kind":"","where":null})` || err != nil {
		t.Error(key, err)
	}
	var loop []any
	loop = append(loop, nil)
	loop[0] = loop
	for _, arg := range []any{hidden{1}, "\xff", func() {}, make(chan int), loop, complex(1, 1), shape{Where: &page{}}} {
		if arg == "\xff" {
			arg = string([]byte{0xff})
		}
		_, err := scrubjay.Cached(cache, scrubjay.CachedOptions{Name: "f"}, func(context.Context, any) (int, error) { return 1, nil }).GetKey(arg)
		if !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), "key must be given: the") {
			t.Errorf("%T: %v", arg, err)
		}
	}
}

func TestCachedInMemoryAndOnRedis(t *testing.T) {
	for name, url := range map[string]string{"memory": "memory://", "redis": startRedis(t).addr()} {
		t.Run(name, func(t *testing.T) {
			cache := open(t, scrubjay.Options{URL: url, Prefix: "cached"})
			source, runs := atomic.Int64{}, atomic.Int64{}
			source.Store(1)
			broken := errors.New("broken")
			type asked struct {
				ID   int    `json:"id"`
				Team string `json:"team"`
			}
			get := scrubjay.Cached(cache, scrubjay.CachedOptions{
				Name: "get", TTL: time.Minute, Tags: []string{"team:{team}"}, TagsFunc: func(a asked) []string { return []string{fmt.Sprint("odd:", a.ID%2)} },
				Unless: func(n int64) bool { return n < 0 }, CacheErrors: func(err error) bool { return err == broken },
			}, func(context.Context, asked) (int64, error) {
				runs.Add(1)
				if n := source.Load(); n != 0 {
					return n, nil
				}
				return 0, broken
			})
			arg := asked{7, "a"}
			expect := func(want int64, ran int64) {
				t.Helper()
				if got, err := get(ctx, arg); got != want || err != nil || runs.Load() != ran {
					t.Fatal(got, err, runs.Load())
				}
			}
			if key, err := get.GetKey(arg); key != `get({"id":7,"team":"a"})` || err != nil {
				t.Fatal(key, err)
			}
			if tags, err := get.GetTags(arg); !slices.Equal(tags, []string{"team:a", "odd:1"}) || err != nil {
				t.Fatal(tags, err)
			}
			expect(1, 1)
			source.Store(2)
			expect(1, 1)
			if got, err := get.Refresh(ctx, arg); got != 2 || err != nil {
				t.Fatal(got, err)
			}
			expect(2, 2)
			if _, err := get.Invalidate(ctx, arg); err != nil {
				t.Fatal(err)
			}
			expect(2, 3)
			for i, tag := range []string{"team:a", "odd:1"} {
				if _, err := cache.InvalidateTags(ctx, tag); err != nil {
					t.Fatal(err)
				}
				expect(2, int64(4+i))
			}
			// What is not to be kept is given.
			source.Store(-1)
			if got, err := get.Refresh(ctx, arg); got != -1 || err != nil {
				t.Fatal(got, err)
			}
			expect(-1, 7)
			// Nor is an error, unless that is asked for.
			source.Store(0)
			if _, err := get(ctx, arg); err != broken {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := get(ctx, arg); !errors.Is(err, scrubjay.ErrFetchFailed) || !strings.Contains(err.Error(), "broken") || err == broken {
					t.Fatal(err)
				}
			}
			if runs.Load() != 8 {
				t.Fatal(runs.Load(), "runs")
			}
			source.Store(3)
			if got, err := get.Refresh(ctx, arg); got != 3 || err != nil {
				t.Fatal(got, err)
			}
		})
	}
}

func TestWrongOptionsOfCached(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	for contains, opts := range map[string]scrubjay.CachedOptions{
		"Unless must be a func(int) bool, is a func(string) bool": {Name: "f", Unless: func(string) bool { return true }},
		"TagsFunc must be a func(int) []string":                   {Name: "f", TagsFunc: func(string) []string { return nil }},
		"give either Name or Key":                                 {Name: "f", Key: "k"},
		"key must be given, or Name":                              {},
	} {
		f := scrubjay.Cached(cache, opts, func(context.Context, int) (int, error) { return 1, nil })
		_, err := f(ctx, 1)
		_, keyErr := f.GetKey(1)
		if !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), contains) || keyErr != err {
			t.Error(err, keyErr)
		}
	}
	if _, err := scrubjay.Cached(cache, scrubjay.CachedOptions{Name: "f"}, func(context.Context, int) (iter.Seq[int], error) { return nil, nil })(ctx, 1); !errors.Is(err, scrubjay.ErrInvalidOption) || !strings.Contains(err.Error(), "return a slice") {
		t.Error(err)
	}
}

type account struct {
	Owner struct {
		ID int `json:"id"`
	} `json:"owner"`
	IDs    []int `json:"ids"`
	ByName map[string]int
	When   time.Time
	Raw    []byte
}

func TestPathsOfTemplates(t *testing.T) {
	cache := open(t, scrubjay.Options{})
	arg := account{IDs: []int{5, 6}, ByName: map[string]int{"ada": 9}, When: time.Unix(0, 0).UTC(), Raw: []byte("a\x00")}
	arg.Owner.ID = 7
	for template, want := range map[string]string{
		"{owner.id}": "7", "{Owner.ID}": "7", "{0.owner.id}": "7", "{0.id}": "7", "{1[1]}": "6", "{ids[0]}/{ByName[ada]}": "5/9",
		"{When}": "1970-01-01T00%3A00%3A00Z", "{Raw}": "a%00",
	} {
		key, err := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: template}, func(context.Context, *account) (int, error) { return 1, nil }).GetKey(&arg)
		if key != want || err != nil {
			t.Error(template, key, err)
		}
	}
}
