// The conformance runner of the Go package.
//
//	go run . --corpus ../.. --redis redis://localhost:6379 --out result.json
//	go run . --agent
//
// The first form runs every scenario in memory and over the Redis. The second reads steps from standard input, one a
// line, and answers each with a line: see agent.go.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

func main() {
	corpus := flag.String("corpus", "", "folder of the scenarios")
	redis := flag.String("redis", "", "URL of a Redis")
	out := flag.String("out", "", "file for the results")
	agent := flag.Bool("agent", false, "read steps from standard input")
	flag.Parse()
	if *agent {
		runAgent(os.Stdin, os.Stdout)
		return
	}
	failed, err := runCorpus(*corpus, *redis, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

type result struct {
	Language string `json:"language"`
	Backend  string `json:"backend"`
	Scenario string `json:"scenario"`
	OK       bool   `json:"ok"`
	Why      string `json:"why"`
}

func runCorpus(corpus, redis, out string) (failed int, err error) {
	files, err := filepath.Glob(filepath.Join(corpus, "*.json"))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("no scenario in %q", corpus)
	}
	sort.Strings(files)
	backends := []backend{{"memory", "memory://"}, {"redis", redis}}
	var results []result
	for _, file := range files {
		for _, backend := range backends {
			name, err := runFile(file, backend)
			r := result{Language: "go", Backend: backend.name, Scenario: name, OK: err == nil}
			verdict := "ok"
			if err != nil {
				failed++
				r.Why = err.Error()
				verdict = "FAILED: " + r.Why
			}
			results = append(results, r)
			fmt.Printf("conformance go %s %s %s\n", r.Backend, r.Scenario, verdict)
		}
	}
	if out != "" {
		text, err := json.MarshalIndent(results, "", "  ")
		if err != nil {
			return failed, err
		}
		if err := os.WriteFile(out, append(text, '\n'), 0o644); err != nil {
			return failed, err
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(results)-failed, failed)
	return failed, nil
}
