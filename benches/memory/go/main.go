// The speed of the memory tier in Go, beside its peers.
//
// Every case runs its subjects in turn, round after round, in one process; a figure is the median of the rounds. Rounds
// are short and many, so that what else the machine does meets all alike; before each the subject reads as much
// untimed, so that it finds its own data in the caches. Keys are drawn before, and are other strings than those that
// were stored; values are checked after each round. SCALE shortens the rounds, 1 is the full figure. The result is an
// array of {case, subject, metric, value, unit, repeats}.
package main

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"scrubjay/benches/common"
)

var (
	out     = flag.String("out", "", "the file to write")
	only    = flag.String("case", "", "run only cases whose name has this in it")
	who     = flag.String("subjects", "", "measure only these peers, like otter+expiry,xsync.Map")
	memory  = flag.String("memory", "", "measure the memory of this subject, and end")
	repeats = flag.Int("repeats", 21, "rounds")
	cpu     = flag.Bool("cpu", false, "measure processor time: for a look on a busy machine, in one goroutine")
	results []bench.Record
)

// scaled is count at SCALE=1, and never so few that the clock matters.
func scaled(count int) int { return max(int(float64(count)*bench.Scale()), 20_000) }

// clock is the time as it is measured.
func clock() time.Duration {
	if !*cpu {
		return time.Since(began)
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var began = time.Now()

// key is 16 bytes.
func key(i int) string { return fmt.Sprintf("key:%012d", i) }

func keys(from, to int) []string {
	all := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		all = append(all, key(i))
	}
	return all
}

// valueOf is the 100 bytes that belong to a key.
func valueOf(key string) []byte { return []byte(key + strings.Repeat("v", 100-len(key))) }

func main() {
	flag.Parse()
	if *memory != "" {
		measureMemory(*memory)
		return
	}
	if *who != "" {
		makers = slices.DeleteFunc(makers, func(m maker) bool {
			return m.name != "scrubjay" && !slices.Contains(strings.Split(*who, ","), m.name)
		})
	}
	random := rand.New(rand.NewPCG(4, 20261126))
	const hot, uniform, zipf = 1_000, 100_000, 1_000_000
	gets("go/get-hot", makers, hot, draw(2_000_000, func() int { return random.IntN(hot) }), scaled(300_000))
	gets("go/service-get", append([]maker{service}, makers[1:]...), hot, draw(2_000_000, func() int { return random.IntN(hot) }), scaled(300_000))
	gets("go/get-uniform", makers, uniform, draw(2_000_000, func() int { return random.IntN(uniform) }), scaled(200_000))
	gets("go/get-zipf", makers, zipf, draw(4_000_000, newZipf(random, 0.99, zipf).next), scaled(200_000))
	sets("go/set-evict")
	bytesPerEntry("go/bytes-per-entry")
	show()
	if *out != "" {
		if err := bench.Write(*out, results); err != nil {
			panic(err)
		}
	}
}

// draw is so many keys. They are other strings than those that are stored.
func draw(count int, next func() int) []string {
	lookup := map[int]string{}
	drawn := make([]string, count)
	for i := range drawn {
		n := next()
		text, ok := lookup[n]
		if !ok {
			text = key(n)
			lookup[n] = text
		}
		drawn[i] = text
	}
	return drawn
}

// gets measures hits: there are so many entries, of which each round reads count of the keys drawn, in one goroutine
// and in two.
func gets(name string, makers []maker, entries int, drawn []string, count int) {
	if !strings.Contains(name, *only) {
		return
	}
	stored := keys(0, entries)
	subjects := make([]subject, len(makers))
	for i, maker := range makers {
		subjects[i] = maker.make(2 * entries)
		fill(&subjects[i], stored)
	}
	runtime.GC()
	// Hits allocate nothing worth a collection; those of one subject are not to be counted to the next one.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, procs := range []int{1, 2} {
		full := name
		if procs > 1 {
			full += fmt.Sprintf("-%dp", procs)
		}
		before := runtime.GOMAXPROCS(procs)
		times := make([][]float64, len(subjects))
		allocs := make([][]float64, len(subjects))
		for round := range *repeats {
			from := 2 * count * round % (len(drawn) - 2*count)
			warm, timed := drawn[from:from+count], drawn[from+count:from+2*count]
			for i := range subjects {
				subjects[i].get(warm)
				took, allocated := measure(procs, timed, func(part []string) {
					if hits := subjects[i].get(part); hits != len(part) {
						panic(fmt.Sprintf("%s, %s: %d hits of %d", full, makers[i].name, hits, len(part)))
					}
				})
				times[i] = append(times[i], took)
				allocs[i] = append(allocs[i], allocated)
			}
			for i := range subjects {
				check(full, makers[i].name, &subjects[i], stored)
			}
			// A collection looks at the entries of all subjects, which takes seconds: only now and then.
			if round%5 == 4 {
				runtime.GC()
			}
		}
		runtime.GOMAXPROCS(before)
		record(full, makers, times, allocs)
	}
}

// measure runs work on all of keys, shared by so many goroutines, and returns the nanoseconds and the allocations for
// one.
func measure(procs int, keys []string, work func([]string)) (nanoseconds, allocations float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := clock()
	if procs == 1 {
		work(keys)
	} else {
		var group sync.WaitGroup
		for i := range procs {
			group.Add(1)
			go func() {
				defer group.Done()
				work(keys[len(keys)*i/procs : len(keys)*(i+1)/procs])
			}()
		}
		group.Wait()
	}
	took := clock() - start
	runtime.ReadMemStats(&after)
	count := float64(len(keys))
	return float64(took.Nanoseconds()) / count, float64(after.Mallocs-before.Mallocs) / count
}

// fill stores keys, each with a value of its own. Some peers drop what they are given too fast.
func fill(s *subject, stored []string) {
	missing := stored
	for len(missing) > 0 {
		var again []string
		for from := 0; from < len(missing); from += 256 {
			for _, key := range missing[from:min(from+256, len(missing))] {
				s.set([]string{key}, valueOf(key))
			}
			if s.settle != nil {
				s.settle()
			}
		}
		for _, key := range missing {
			if _, ok := s.value(key); !ok {
				again = append(again, key)
			}
		}
		missing = again
	}
}

// check looks at a thousand values.
func check(name, who string, s *subject, stored []string) {
	for i := range 1000 {
		key := stored[i*len(stored)/1000]
		if value, ok := s.value(key); !ok || string(value) != string(valueOf(key)) {
			panic(fmt.Sprintf("%s, %s: the value of %s is %q, %v", name, who, key, value, ok))
		}
	}
}

// sets measures new entries in a full cache: each drives one out.
func sets(name string) {
	if !strings.Contains(name, *only) {
		return
	}
	const capacity = 100_000
	var bounded []maker
	for _, maker := range makers {
		if maker.bounded() {
			bounded = append(bounded, maker)
		}
	}
	count := scaled(100_000)
	for _, procs := range []int{1, 2} {
		full := name
		if procs > 1 {
			full += fmt.Sprintf("-%dp", procs)
		}
		times, allocs := make([][]float64, len(bounded)), make([][]float64, len(bounded))
		value := valueOf(key(0))
		stored := keys(0, 2*capacity)
		subjects := make([]subject, len(bounded))
		for i, maker := range bounded {
			subjects[i] = maker.make(capacity)
			subjects[i].set(stored, value)
		}
		before := runtime.GOMAXPROCS(procs)
		for round := range *repeats {
			fresh := keys(2*capacity+round*count, 2*capacity+(round+1)*count)
			for i := range subjects {
				runtime.GC()
				took, allocated := measure(procs, fresh, func(part []string) { subjects[i].set(part, value) })
				times[i] = append(times[i], took)
				allocs[i] = append(allocs[i], allocated)
				if subjects[i].settle != nil {
					subjects[i].settle()
				}
				held := 0
				for _, key := range fresh {
					if got, ok := subjects[i].value(key); ok {
						held++
						if string(got) != string(value) {
							panic(full + ", " + bounded[i].name + ": a wrong value")
						}
					}
				}
				if held > capacity+capacity/10 {
					panic(fmt.Sprintf("%s, %s holds %d entries", full, bounded[i].name, held))
				}
			}
		}
		runtime.GOMAXPROCS(before)
		record(full, bounded, times, allocs)
	}
}

const millionEntries = 1_000_000

// bytesPerEntry measures what a million entries cost, keys and values included, each subject in a process of its own.
func bytesPerEntry(name string) {
	if !strings.Contains(name, *only) {
		return
	}
	self := must(os.Executable())
	for _, maker := range makers {
		var sizes []float64
		for range 3 {
			text, err := exec.Command(self, "-memory", maker.name).Output()
			if err != nil {
				panic(fmt.Sprintf("%s, %s: %v", name, maker.name, err))
			}
			sizes = append(sizes, must(strconv.ParseFloat(strings.TrimSpace(string(text)), 64)))
		}
		results = append(results, bench.Of(name, maker.name, "bytes", "bytes", sizes))
	}
}

func measureMemory(name string) {
	for _, maker := range makers {
		if maker.name == name {
			debug.FreeOSMemory()
			before := resident()
			s := maker.make(2 * millionEntries)
			for i := range millionEntries {
				s.set([]string{key(i)}, valueOf(key(i)))
			}
			if s.settle != nil {
				s.settle()
			}
			debug.FreeOSMemory()
			after := resident()
			if _, ok := s.value(key(millionEntries / 2)); !ok && name != "ristretto+ttl" {
				panic("an entry is missing")
			}
			fmt.Println(float64(after-before) / millionEntries)
		}
	}
}

func resident() int {
	text := must(os.ReadFile("/proc/self/statm"))
	return must(strconv.Atoi(strings.Fields(string(text))[1])) * os.Getpagesize()
}

func record(name string, makers []maker, times, allocs [][]float64) {
	for i, maker := range makers {
		results = append(results,
			bench.Of(name, maker.name, "ns", "ns", times[i]),
			bench.Of(name, maker.name, "allocs", "allocations", allocs[i]))
	}
}

// show prints a table: the figure of each subject, and ours as a share of it.
func show() {
	ours := map[string]float64{}
	for _, r := range results {
		if r.Subject == "scrubjay" {
			ours[r.Case+r.Metric] = r.Value
		}
	}
	fmt.Printf("%-22s %-22s %10s %12s %10s\n", "case", "subject", "value", "unit", "ours/peer")
	for _, r := range results {
		if r.Metric == "allocs" && r.Subject != "scrubjay" {
			continue
		}
		ratio := "-"
		if r.Subject != "scrubjay" {
			ratio = fmt.Sprintf("%.2f", ours[r.Case+r.Metric]/r.Value)
		}
		fmt.Printf("%-22s %-22s %10.1f %12s %10s\n", r.Case, r.Subject, r.Value, r.Unit, ratio)
	}
}

// A zipf draws ranks of so many by a power law, and spreads them over the keys.
type zipf struct {
	random *rand.Rand
	sums   []float64
	spread []int
}

func newZipf(random *rand.Rand, exponent float64, count int) *zipf {
	z := &zipf{random: random, sums: make([]float64, count), spread: random.Perm(count)}
	sum := 0.0
	for i := range z.sums {
		sum += math.Pow(float64(i+1), -exponent)
		z.sums[i] = sum
	}
	return z
}

func (z *zipf) next() int {
	at, _ := slices.BinarySearch(z.sums, z.random.Float64()*z.sums[len(z.sums)-1])
	return z.spread[min(at, len(z.spread)-1)]
}
