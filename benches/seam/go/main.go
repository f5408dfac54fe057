// Reads and writes that go to Redis, through Scrubjay and through clients of Redis.
//
//	seam-go OUTPUT.json     REDIS: the server's address; SCALE: 1 = the full figure
//
// It is run in the root of the repository.
// Every subject reads the same values from the same server by keys of its own, in rounds that take turns; ours has its
// memory tier off. Keys are drawn outside of the timed loop, and each value is checked.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"scrubjay/benches/common"
)

const (
	keyCount = 1_000
	calls    = 8_000
)

var (
	scale  = bench.Scale()
	rounds = max(5, int(11*min(scale, 1)))
	names  = func() (all [keyCount]string) {
		for i := range all {
			all[i] = fmt.Sprintf("user:%08d", i)
		}
		return all
	}()
	figures = map[figure][]float64{}
	order   []figure
	units   = map[string]string{"ops_per_s": "1/s", "p50_us": "us", "p99_us": "us", "cpu_us": "us"}
)

type figure struct{ name, subject, metric string }

func valueOf(key string, size int) []byte {
	value := bytes.Repeat([]byte{'.'}, size)
	copy(value, key)
	return value
}

func draw(count int) []string {
	keys := make([]string, count)
	for i := range keys {
		keys[i] = names[rand.IntN(keyCount)]
	}
	return keys
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// timed runs one round: each list of what is asked for is worked off by a goroutine of its own.
func timed[T any](asked [][]T, call func(T) error) map[string]float64 {
	times := make([][]time.Duration, len(asked))
	var group sync.WaitGroup
	begun, used := time.Now(), cpu()
	for caller, list := range asked {
		group.Add(1)
		go func() {
			defer group.Done()
			mine := make([]time.Duration, 0, len(list))
			for _, one := range list {
				start := time.Now()
				if err := call(one); err != nil {
					log.Fatal(err)
				}
				mine = append(mine, time.Since(start))
			}
			times[caller] = mine
		}()
	}
	group.Wait()
	wall, spent := time.Since(begun), cpu()-used
	all := slices.Concat(times...)
	slices.Sort(all)
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return map[string]float64{
		"ops_per_s": float64(len(all)) / wall.Seconds(),
		"p50_us":    micros(all[len(all)/2]),
		"p99_us":    micros(all[len(all)*99/100]),
		"cpu_us":    micros(spent) / float64(len(all)),
	}
}

// measure runs the rounds of one case, each beginning with another subject; the first is a warm-up.
func measure[T any](name string, subjects []subject, asked func() [][]T, call func(*subject, T) error) {
	for round := -1; round < rounds; round++ {
		for turn := range subjects {
			s := &subjects[(round+1+turn)%len(subjects)]
			metrics := timed(asked(), func(one T) error { return call(s, one) })
			if round < 0 {
				continue
			}
			for _, metric := range []string{"ops_per_s", "p50_us", "p99_us", "cpu_us"} {
				id := figure{name, s.name, metric}
				if figures[id] == nil {
					order = append(order, id)
				}
				figures[id] = append(figures[id], metrics[metric])
			}
		}
	}
}

// awake runs work while no processor can fall asleep.
func awake(script string, work func()) {
	spinners := exec.Command("python3", script)
	input, err := spinners.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	output, err := spinners.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := spinners.Start(); err != nil {
		log.Fatal(err)
	}
	if _, err := io.ReadFull(output, make([]byte, 5)); err != nil {
		log.Fatal(err)
	}
	work()
	_ = input.Close()
	_ = spinners.Wait()
}

// check looks at the length of a value and at its key, with which it begins: that costs each subject the same little.
func check(who string, found []byte, key string, size int) error {
	if len(found) != size || string(found[:len(key)]) != key {
		return fmt.Errorf("%s: a wrong value for %s", who, key)
	}
	return nil
}

func main() {
	if len(os.Args) != 2 || os.Getenv("REDIS") == "" {
		log.Fatal("usage: REDIS=redis://... seam-go OUTPUT.json")
	}
	script := "benches/seam/awake.py"
	for _, kind := range []struct {
		label   string
		size    int
		callers []int
	}{{"100B", 100, []int{1, 8, 64, 512}}, {"10KB", 10_000, []int{64}}} {
		subjects, err := open(os.Getenv("REDIS"), kind.label)
		if err != nil {
			log.Fatal(err)
		}
		for _, s := range subjects {
			for _, key := range names {
				if err := s.set(key, valueOf(key, kind.size)); err != nil {
					log.Fatal(err)
				}
			}
		}
		get := func(s *subject, key string) error {
			found, err := s.get(key)
			if err == nil {
				err = check(s.name, found, key, kind.size)
			}
			return err
		}
		for _, callers := range kind.callers {
			count := max(5, int(calls*scale)/callers)
			asked := func() [][]string {
				lists := make([][]string, callers)
				for i := range lists {
					lists[i] = draw(count)
				}
				return lists
			}
			run := func() { measure(fmt.Sprintf("go/l2-get-%dx%s", callers, kind.label), subjects, asked, get) }
			if callers == 1 {
				awake(script, run)
			} else {
				run()
			}
		}
		if kind.size == 100 {
			awake(script, func() { manyAndSets(subjects, kind.size) })
		}
		for _, s := range subjects {
			s.close()
		}
	}
	write(os.Args[1])
}

// manyAndSets measures a hundred keys at once, and plain sets, one caller.
func manyAndSets(subjects []subject, size int) {
	hundreds := func() [][][]string {
		lists := make([][]string, max(5, int(100*scale)))
		for i := range lists {
			for _, n := range rand.Perm(keyCount)[:100] {
				lists[i] = append(lists[i], names[n])
			}
		}
		return [][][]string{lists}
	}
	measure("go/l2-get-many-100", subjects, hundreds, func(s *subject, keys []string) error {
		found, err := s.many(keys)
		if err != nil {
			return err
		}
		return check(s.name, found[99], keys[99], size)
	})
	singles := func() [][]string { return [][]string{draw(max(20, int(2_000*scale)))} }
	measure("go/l2-set-1x100B", subjects, singles, func(s *subject, key string) error {
		return s.set(key, valueOf(key, size))
	})
	loads := 0
	absent := func() [][]string {
		keys := make([]string, max(20, int(1_000*scale)))
		for i := range keys {
			loads++
			keys[i] = fmt.Sprintf("cold:%08d", loads)
		}
		return [][]string{keys}
	}
	measure("go/cold-get-or-fetch-1x100B", subjects, absent, func(s *subject, key string) error {
		found, err := s.load(key, func() ([]byte, error) { return valueOf(key, size), nil })
		if err != nil {
			return err
		}
		return check(s.name, found, key, size)
	})
}

func write(path string) {
	var records []bench.Record
	for _, id := range order {
		r := bench.Of(id.name, id.subject, id.metric, units[id.metric], figures[id])
		fmt.Printf("%-24s %-12s %14.1f %s\n", r.Case, r.Subject, r.Value, r.Metric)
		records = append(records, r)
	}
	if err := bench.Write(path, records); err != nil {
		log.Fatal(err)
	}
}
