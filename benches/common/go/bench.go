// Package bench has what the benchmarks in Go share: how much is measured, and how figures are written down.
package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A Record is one figure: the median of so many rounds.
type Record struct {
	Case    string  `json:"case"`
	Subject string  `json:"subject"`
	Metric  string  `json:"metric"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Repeats int     `json:"repeats"`
}

// Of makes a record of the figures of all rounds.
func Of(name, subject, metric, unit string, figures []float64) Record {
	return Record{name, subject, metric, median(figures), unit, len(figures)}
}

func median(figures []float64) float64 {
	figures = slices.Sorted(slices.Values(figures))
	return figures[len(figures)/2]
}

// Scale is the SCALE of the environment; 1 is the full figure.
func Scale() float64 {
	if scale, err := strconv.ParseFloat(os.Getenv("SCALE"), 64); err == nil {
		return scale
	}
	return 1
}

// Write writes records for benches/report.py.
func Write(path string, records []Record) error {
	text, err := json.MarshalIndent(records, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
