package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// scenarioTime ends a scenario that hangs.
const scenarioTime = 2 * time.Minute

// A scenario is one file of the corpus.
type scenario struct {
	Name    string                     `json:"name"`
	About   string                     `json:"about"`
	Options map[string]json.RawMessage `json:"options"`
	Steps   []step                     `json:"steps"`
}

// A step is one operation and what is expected of it. Which fields belong to which operation is in the table of
// operations; a field outside that, or outside this struct, fails the scenario.
type step struct {
	Op      string                     `json:"op"`
	About   string                     `json:"about"`
	Cache   string                     `json:"cache"`
	Options map[string]json.RawMessage `json:"options"`
	Key     json.RawMessage            `json:"key"`
	Keys    []json.RawMessage          `json:"keys"`
	Value   json.RawMessage            `json:"value"`
	Entries [][2]json.RawMessage       `json:"entries"`
	TTL     json.RawMessage            `json:"ttl"`
	Codec   string                     `json:"codec"`
	Tags    []string                   `json:"tags"`
	Fetch   *fetchSpec                 `json:"fetch"`
	Count   int                        `json:"count"`
	Leader  string                     `json:"leader"`
	Step    *step                      `json:"step"`
	Within  float64                    `json:"within"`

	Remember string `json:"remember"`
	Token    string `json:"token"`
	TokenOf  string `json:"token_of"`

	Expect        json.RawMessage     `json:"expect"`
	ExpectMiss    bool                `json:"expect_miss"`
	ExpectError   string              `json:"expect_error"`
	ExpectNames   []string            `json:"expect_names"`
	ExpectPending *bool               `json:"expect_pending"`
	ExpectFetches *int64              `json:"expect_fetches"`
	ExpectMissing [][]json.RawMessage `json:"expect_missing"`
	ExpectFailed  []json.RawMessage   `json:"expect_failed"`
}

// fetchSpec is what a fetch does.
type fetchSpec struct {
	Value     json.RawMessage      `json:"value"`
	Values    [][2]json.RawMessage `json:"values"`
	Error     *string              `json:"error"`
	NotFound  bool                 `json:"not_found"`
	During    []step               `json:"during"`
	Recursive json.RawMessage      `json:"recursive"`
	Tags      []string             `json:"tags"`
	TTL       json.RawMessage      `json:"ttl"`
}

type backend struct{ name, url string }

var prefixes atomic.Int64

func runFile(file string, on backend) (name string, err error) {
	name = strings.TrimSuffix(filepath.Base(file), ".json")
	text, err := os.ReadFile(file)
	if err != nil {
		return name, err
	}
	var s scenario
	if err := decodeStrict(text, &s); err != nil {
		return name, err
	}
	if s.Name != "" {
		name = s.Name
	}
	ctx, cancel := context.WithTimeout(context.Background(), scenarioTime)
	defer cancel()
	r := newRunner(map[string]any{"url": on.url, "prefix": fmt.Sprintf("go-%d-%d", os.Getpid(), prefixes.Add(1))})
	defer r.closeAll()
	done := make(chan error, 1)
	go func() { done <- r.scenario(ctx, s) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = fmt.Errorf("it did not end within %v", scenarioTime)
	}
	return name, err
}

func (r *runner) scenario(ctx context.Context, s scenario) error {
	if err := r.open("a", s.Options); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return r.steps(ctx, s.Steps)
}

func (r *runner) steps(ctx context.Context, steps []step) error {
	for i, s := range steps {
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.Op, err)
		}
	}
	return nil
}

// decodeStrict refuses fields that this runner does not know.
func decodeStrict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("something follows the JSON")
	}
	return nil
}
