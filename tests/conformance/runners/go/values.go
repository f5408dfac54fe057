package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

// build makes the Go value that a JSON text of the corpus means: {"$bytes": …} and its like are values that JSON
// does not have, or that would be too long to write down.
func build(text json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return nil, err
	}
	return untag(plain)
}

func untag(plain any) (any, error) {
	switch plain := plain.(type) {
	case json.Number:
		return number(string(plain))
	case []any:
		list := make([]any, len(plain))
		for i := range plain {
			var err error
			if list[i], err = untag(plain[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		if len(plain) == 1 {
			for tag, argument := range plain {
				if strings.HasPrefix(tag, "$") {
					return tagged(tag, argument)
				}
			}
		}
		object := make(map[string]any, len(plain))
		for key := range plain {
			var err error
			if object[key], err = untag(plain[key]); err != nil {
				return nil, err
			}
		}
		return object, nil
	}
	return plain, nil
}

func tagged(tag string, argument any) (any, error) {
	switch tag {
	case "$bytes":
		text, ok := argument.(string)
		if !ok {
			return nil, fmt.Errorf("$bytes of %T", argument)
		}
		return base64.StdEncoding.DecodeString(text)
	case "$int":
		text, ok := argument.(string)
		if !ok {
			return nil, fmt.Errorf("$int of %T", argument)
		}
		return number(text)
	case "$float":
		switch argument {
		case "NaN":
			return math.NaN(), nil
		case "Infinity":
			return math.Inf(1), nil
		case "-Infinity":
			return math.Inf(-1), nil
		}
	case "$nested":
		count, err := whole(argument)
		if err != nil {
			return nil, err
		}
		var nested any = []any{}
		for range count - 1 {
			nested = []any{nested}
		}
		return nested, nil
	case "$repeat", "$bytes_repeat":
		pair, ok := argument.([]any)
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("%s needs a pair", tag)
		}
		count, err := whole(pair[1])
		if err != nil {
			return nil, err
		}
		if text, ok := pair[0].(string); ok && tag == "$repeat" {
			return strings.Repeat(text, count), nil
		}
		octet, err := whole(pair[0])
		return bytes.Repeat([]byte{byte(octet)}, count), err
	}
	return nil, fmt.Errorf("unknown value {%q: %v}", tag, argument)
}

func whole(argument any) (int, error) {
	number, ok := argument.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is no number", argument)
	}
	n, err := number.Int64()
	return int(n), err
}

// number is the Go number that a program would have: an int64, a big integer, or a float64.
func number(text string) (any, error) {
	if !strings.ContainsAny(text, ".eE") {
		integer, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil, fmt.Errorf("%q is no number", text)
		}
		if integer.IsInt64() {
			return integer.Int64(), nil
		}
		return integer, nil
	}
	return json.Number(text).Float64()
}

// same reports whether a value that was read is the one expected. Numbers are compared exactly, whatever their type.
func same(expected, actual any) bool {
	switch expected := expected.(type) {
	case []byte:
		actual, ok := actual.([]byte)
		return ok && bytes.Equal(expected, actual)
	case []any:
		actual, ok := actual.([]any)
		if !ok || len(actual) != len(expected) {
			return false
		}
		for i := range expected {
			if !same(expected[i], actual[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		actual, ok := actual.(map[string]any)
		if !ok || len(actual) != len(expected) {
			return false
		}
		for key := range expected {
			value, ok := actual[key]
			if !ok || !same(expected[key], value) {
				return false
			}
		}
		return true
	}
	if exact := rational(expected); exact != nil {
		other := rational(actual)
		return other != nil && exact.Cmp(other) == 0
	}
	return expected == actual
}

func rational(value any) *big.Rat {
	switch value := value.(type) {
	case int64:
		return new(big.Rat).SetInt64(value)
	case *big.Int:
		return new(big.Rat).SetInt(value)
	case float64:
		return new(big.Rat).SetFloat64(value)
	case json.Number:
		if exact, ok := new(big.Rat).SetString(string(value)); ok {
			return exact
		}
	}
	return nil
}

// show is a value for a message, not too long.
func show(value any) string {
	text := fmt.Sprintf("%#v", value)
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return text
}

func buildKey(text json.RawMessage) (string, error) {
	value, err := build(text)
	switch value := value.(type) {
	case string:
		return value, nil
	case []byte:
		return string(value), nil
	}
	return "", fmt.Errorf("%s is no key: %v", text, err)
}

func buildKeys(texts []json.RawMessage) ([]string, error) {
	keys := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if keys[i], err = buildKey(text); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func buildEntries(pairs [][2]json.RawMessage) (map[string]any, error) {
	entries := map[string]any{}
	for _, pair := range pairs {
		key, err := buildKey(pair[0])
		if err != nil {
			return nil, err
		}
		if entries[key], err = build(pair[1]); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// noDuration is what Go makes of a float that no Duration can hold, NaN included.
const noDuration = time.Duration(math.MinInt64)

// duration makes a Duration of a number of seconds, as a Go program would. What is no number cannot be written in Go;
// the nearest is what a wrong calculation gives.
func duration(text json.RawMessage) time.Duration {
	value, err := build(text)
	if err != nil {
		return noDuration
	}
	exact := rational(value)
	if exact == nil {
		return noDuration
	}
	nanoseconds := new(big.Rat).Mul(exact, new(big.Rat).SetInt64(int64(time.Second)))
	count := new(big.Int).Quo(nanoseconds.Num(), nanoseconds.Denom())
	if !count.IsInt64() {
		return noDuration
	}
	return time.Duration(count.Int64())
}
