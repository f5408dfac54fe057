package scrubjay_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scrubjay"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

var ctx = context.Background()

// eventually polls until ok, or fails.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("in %v never: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func open(t testing.TB, options scrubjay.Options) *scrubjay.CacheService {
	t.Helper()
	cache, err := scrubjay.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return cache
}

// redis is a real server on a port of its own.
type redis struct {
	port    int
	command *exec.Cmd
}

func startRedis(t testing.TB) *redis {
	t.Helper()
	r := &redis{port: freePort(t)}
	r.start(t)
	t.Cleanup(r.kill)
	return r
}

func (r *redis) addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

func (r *redis) start(t testing.TB) {
	t.Helper()
	r.command = exec.Command("redis-server", "--port", strconv.Itoa(r.port), "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := r.command.Start(); err != nil {
		t.Fatalf("redis-server: %v", err)
	}
	eventually(t, "redis-server answers", func() bool {
		connection, err := net.Dial("tcp", r.addr())
		if err != nil {
			return false
		}
		defer connection.Close()
		_, _ = connection.Write([]byte("PING\r\n"))
		answer := make([]byte, 7)
		_, err = connection.Read(answer)
		return err == nil && string(answer) == "+PONG\r\n"
	})
}

// cli returns what redis-cli says to a command.
func (r *redis) cli(t testing.TB, words ...string) string {
	t.Helper()
	said, err := exec.Command("redis-cli", append([]string{"-p", strconv.Itoa(r.port)}, words...)...).Output()
	if err != nil {
		t.Fatalf("redis-cli %v: %v", words, err)
	}
	return strings.TrimSpace(string(said))
}

func (r *redis) kill() {
	if r.command != nil {
		_ = r.command.Process.Kill()
		_ = r.command.Wait()
		r.command = nil
	}
}

// pause has it take what is sent, and carry out no write, nor what comes behind one on its connection, until unpause.
func (r *redis) pause(t testing.TB) { r.ask(t, "CLIENT PAUSE 60000 WRITE") }

func (r *redis) unpause(t testing.TB) { r.ask(t, "CLIENT UNPAUSE") }

func (r *redis) ask(t testing.TB, command string) {
	t.Helper()
	connection, err := net.Dial("tcp", r.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	answer := make([]byte, 5)
	if _, err = connection.Write([]byte(command + "\r\n")); err == nil {
		_, err = io.ReadFull(connection, answer)
	}
	if err != nil || string(answer) != "+OK\r\n" {
		t.Fatal(command, string(answer), err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// onBoth runs a test in memory and over a real Redis.
func onBoth(t *testing.T, test func(t *testing.T, cache *scrubjay.CacheService)) {
	t.Run("memory", func(t *testing.T) { test(t, open(t, scrubjay.Options{})) })
	t.Run("redis", func(t *testing.T) {
		server := startRedis(t)
		test(t, open(t, scrubjay.Options{URL: server.addr(), Prefix: "go-test"}))
	})
}

// counted is a fetch that counts its runs.
func counted[T any](runs *atomic.Int64, value T) func(context.Context) (T, error) {
	return func(context.Context) (T, error) {
		runs.Add(1)
		return value, nil
	}
}
