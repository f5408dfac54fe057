// The worker of Go of `make witness`: it reads and writes the keys of the truth through a cache, and writes down what it was
// given. tests/proof/witness starts it, with its configuration as the argument.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

func main() {
	var config config
	if err := json.Unmarshal([]byte(os.Args[1]), &config); err != nil {
		fail(err)
	}
	w, err := newWorker(config)
	if err != nil {
		fail(err)
	}
	go w.watchLanding()
	fmt.Println("ready")
	var readers, writer sync.WaitGroup
	words := bufio.NewScanner(os.Stdin)
	for words.Scan() {
		switch word := words.Text(); word {
		case "go":
			for number := range config.Readers {
				start(&readers, func() { w.readOn(rand.New(rand.NewPCG(config.Seed, uint64(number)))) })
			}
			start(&writer, func() { w.writeOn(rand.New(rand.NewPCG(config.Seed, 999))) })
		case "quiet":
			w.stoppedWriting.Store(true)
			writer.Wait()
			for w.isPending() {
				time.Sleep(20 * time.Millisecond)
			}
		case "rest":
			w.stoppedReading.Store(true)
			readers.Wait()
		case "last":
			w.readLast()
		default:
			fail(fmt.Errorf("what is %q?", word))
		}
		fmt.Println(words.Text())
	}
	w.log.flush()
	if err := w.cache.Close(); err != nil {
		fail(err)
	}
}

func start(group *sync.WaitGroup, work func()) {
	group.Add(1)
	go func() {
		defer group.Done()
		work()
	}()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "the worker of Go:", err)
	os.Exit(1)
}
