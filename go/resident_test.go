package scrubjay_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A program that fills a memory tier three times over, reads what it has set so that it is decoded and kept, and says
// by how much its resident memory grew at most. It is built without the race detector, which takes more memory than
// all else.
const residentProgram = `package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"scrubjay"
)

type item struct {
	ID    int
	Name  string
	Price float64
	Tags  []string
}

type document struct {
	ID    int
	Title string
	Items []item
	Attrs map[string]string
}

func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		panic(err)
	}
	return pages * os.Getpagesize()
}

func fill[T any](cache *scrubjay.CacheService, bound int, value func(int) any, size int) int {
	ctx, most := context.Background(), 0
	for i := range 3 * bound / size {
		key := fmt.Sprintf("key:%d", i)
		if _, err := cache.Set(ctx, key, value(i), time.Hour); err != nil {
			panic(err)
		}
		for range 3 {
			var got T
			if err := cache.Get(ctx, key, &got); err != nil && err != scrubjay.ErrMiss {
				panic(err)
			}
		}
		// Something older is read again, if it is still there.
		var got T
		_ = cache.Get(ctx, fmt.Sprintf("key:%d", i/2), &got)
		if i%1000 == 0 {
			most = max(most, resident())
		}
	}
	return max(most, resident())
}

func documents(items int) func(int) any {
	return func(i int) any {
		d := document{ID: i, Title: fmt.Sprintf("Document number %d", i), Attrs: map[string]string{"lang": "en", "region": "eu"}}
		for n := range items {
			d.Items = append(d.Items, item{n, fmt.Sprintf("item number %d", n), 9.99 * float64(n+i), []string{"red", "large"}})
		}
		return d
	}
}

func main() {
	bound, _ := strconv.ParseInt(os.Args[2], 10, 64)
	cache, err := scrubjay.Open(scrubjay.Options{L1Bytes: &bound})
	if err != nil {
		panic(err)
	}
	before, most := resident(), 0
	switch os.Args[1] {
	case "struct":
		most = fill[document](cache, int(bound), documents(10), 800)
	case "small struct":
		most = fill[document](cache, int(bound)/4, documents(0), 80)
	case "any":
		most = fill[any](cache, int(bound), documents(10), 800)
	case "bytes":
		most = fill[[]byte](cache, int(bound), func(i int) any { return []byte(strings.Repeat("b", 4000)) }, 4000)
	}
	fmt.Println(most - before)
	if err := cache.Close(); err != nil {
		panic(err)
	}
}
`

func TestResidentMemoryIsBounded(t *testing.T) {
	const bound = 64 << 20
	const limit = bound * 3 / 2
	dir := outsideModule(t)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(residentProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := goCommand(t, dir, nil, "build", "-o", "resident", "."); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, kind := range []string{"struct", "small struct", "any", "bytes"} {
		t.Run(kind, func(t *testing.T) {
			output, err := exec.Command(filepath.Join(dir, "resident"), kind, strconv.Itoa(bound)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			grown, err := strconv.Atoi(strings.TrimSpace(string(output)))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("it grew by %.2f times the bound", float64(grown)/bound)
			if grown > limit {
				t.Errorf("resident memory grew by %d bytes, the limit is %d", grown, limit)
			}
		})
	}
}
