package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// truth is as truth.py serves it.
type truth struct {
	mu         sync.Mutex
	connection net.Conn
	answers    *bufio.Reader
}

func connectTruth(path string) (*truth, error) {
	connection, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &truth{connection: connection, answers: bufio.NewReader(connection)}, nil
}

// read returns the committed versions of these keys.
func (t *truth) read(keys []uint32) []int64 {
	line := "r"
	for _, key := range keys {
		line += " " + strconv.FormatUint(uint64(key), 10)
	}
	return t.ask(line)
}

// write commits the next version of a key.
func (t *truth) write(key uint32) int64 { return t.ask(fmt.Sprintf("w %d", key))[0] }

func (t *truth) ask(line string) []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.connection.Write([]byte(line + "\n")); err != nil {
		fail(err)
	}
	answer, err := t.answers.ReadString('\n')
	if err != nil {
		fail(err)
	}
	var vers []int64
	for _, field := range strings.Fields(answer) {
		ver, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			fail(err)
		}
		vers = append(vers, ver)
	}
	return vers
}
