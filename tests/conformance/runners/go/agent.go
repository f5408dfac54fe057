package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
)

// The agent does steps that another program sends, one JSON object a line, and answers each with
// {"ok": true} or {"ok": false, "why": "…"}. The first step opens a cache with its url and prefix.

type verdict struct {
	OK  bool   `json:"ok"`
	Why string `json:"why,omitempty"`
}

func runAgent(in io.Reader, out io.Writer) {
	r := newRunner(nil)
	defer r.closeAll()
	reader := bufio.NewReader(in)
	answers := json.NewEncoder(out)
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if answers.Encode(r.agentStep(line)) != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *runner) agentStep(line []byte) verdict {
	var s step
	err := decodeStrict(line, &s)
	if err == nil {
		err = r.step(context.Background(), s)
	}
	if err != nil {
		return verdict{Why: err.Error()}
	}
	return verdict{OK: true}
}
