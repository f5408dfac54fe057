// The worker of Go of `make crash`: see tests/proof/crash/protocol.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"scrubjay"
)

// As in each language: so many keys of values and one of changes.
const keys = 3

const drain = 60 * time.Second

type config struct {
	URL    string `json:"url"`
	Prefix string `json:"prefix"`
	Behind struct {
		Name        string  `json:"name"`
		Ack         string  `json:"ack"`
		Directory   string  `json:"directory"`
		MaxAttempts *int    `json:"max_attempts"`
		MaxBytes    int64   `json:"max_bytes"`
		OnFull      string  `json:"on_full"`
		BlockFor    float64 `json:"block_for"`
	} `json:"behind"`
	Name      string  `json:"name"`
	Version   uint64  `json:"version"`
	Producers int     `json:"producers"`
	PauseMs   float64 `json:"pause_ms"`
	Padding   int     `json:"padding"`
	Changes   bool    `json:"changes"`
	Works     bool    `json:"works"`
	AckFirst  bool    `json:"ack_first"`
	StatsMs   int     `json:"stats_ms"`
}

type value struct {
	V   uint64 `json:"v"`
	Pad string `json:"pad"`
}

func main() {
	var c config
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		fail(err)
	}
	if c.AckFirst {
		fail(errors.New("a control of the worker of Rust"))
	}
	behind, err := open(c)
	if err != nil {
		fail(err)
	}
	say("ready")
	truth := &truth{confirmed: make(chan struct{}, 1)}
	if c.Works {
		go func() {
			if err := behind.Run(context.Background(), truth.write); err != nil {
				fail(err)
			}
		}()
	}
	var quiet atomic.Bool
	var producers sync.WaitGroup
	for caller := range c.Producers {
		producers.Add(1)
		go func() {
			defer producers.Done()
			produce(behind, c, caller, &quiet)
		}()
	}
	if c.StatsMs > 0 {
		go tellStats(behind, time.Duration(c.StatsMs)*time.Millisecond)
	}
	words := bufio.NewScanner(os.Stdin)
	for words.Scan() {
		switch word := words.Text(); word {
		case "ok":
			truth.confirmed <- struct{}{}
		case "quiet":
			quiet.Store(true)
			go func() {
				producers.Wait()
				say("q")
			}()
		case "close":
			go func() {
				report, err := behind.CloseWithin(drain)
				if err != nil {
					fail(err)
				}
				say(fmt.Sprintf("c %d %d", report.Left, report.Dead))
			}()
		case "end":
			return
		default:
			fail(fmt.Errorf("what is %q?", word))
		}
	}
}

func open(c config) (*scrubjay.WriteBehind, error) {
	cache, err := scrubjay.Open(scrubjay.Options{URL: c.URL, Prefix: c.Prefix})
	if err != nil {
		return nil, err
	}
	options := scrubjay.WriteBehindOptions{
		Name:        c.Behind.Name,
		Ack:         scrubjay.AckLevel(c.Behind.Ack),
		Directory:   c.Behind.Directory,
		MaxAttempts: c.Behind.MaxAttempts,
		MaxBytes:    c.Behind.MaxBytes,
		OnFull:      scrubjay.OnFull(c.Behind.OnFull),
	}
	if c.Behind.BlockFor > 0 {
		wait := time.Duration(c.Behind.BlockFor * float64(time.Second))
		options.BlockFor = &wait
	}
	return scrubjay.OpenWriteBehind(cache, options)
}

// produce writes behind, and says what was acknowledged, until it is told to be quiet.
func produce(behind *scrubjay.WriteBehind, c config, caller int, quiet *atomic.Bool) {
	ctx := context.Background()
	for version := c.Version + 1; !quiet.Load(); version++ {
		number := version % (keys + 1)
		key := fmt.Sprintf("%s:%d:%d", c.Name, caller, number)
		v := value{version, strings.Repeat("x", c.Padding)}
		kind, err := "s", error(nil)
		if c.Changes || number == keys {
			kind = "d"
			_, err = behind.Delta(ctx, key, v)
		} else {
			_, err = behind.Set(ctx, key, v, 10*time.Minute)
		}
		if err == nil {
			say(fmt.Sprintf("a %s %s %d", kind, key, version))
		} else {
			var failure *scrubjay.Error
			if !errors.As(err, &failure) {
				fail(err)
			}
			say("f " + failure.Kind.String())
			// Its reasons do not go away by asking again at once.
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Duration(c.PauseMs * float64(time.Millisecond)))
	}
}

func tellStats(behind *scrubjay.WriteBehind, every time.Duration) {
	for {
		stats, err := json.Marshal(behind.Stats())
		if err != nil {
			fail(err)
		}
		say("s " + string(stats))
		time.Sleep(every)
	}
}

// truth is at the other end of this process's pipes. It takes one batch at a time.
type truth struct {
	turn      sync.Mutex
	confirmed chan struct{}
}

func (t *truth) write(_ context.Context, writes []scrubjay.Write) error {
	t.turn.Lock()
	defer t.turn.Unlock()
	line := []string{"w"}
	for _, write := range writes {
		var v value
		if err := write.Decode(&v); err != nil {
			fail(err)
		}
		kind := "s"
		if write.Kind == scrubjay.WriteDelta {
			kind = "d"
		}
		line = append(line, fmt.Sprintf("%s,%s,%d,%d,%d", kind, write.Key, v.V, write.Process, write.Sequence))
	}
	say(strings.Join(line, " "))
	<-t.confirmed
	return nil
}

var out sync.Mutex

// say says a line to the parent, at once and whole.
func say(line string) {
	out.Lock()
	defer out.Unlock()
	if _, err := os.Stdout.WriteString(line + "\n"); err != nil {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "the worker of Go:", err)
	os.Exit(1)
}
