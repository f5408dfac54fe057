package scrubjay_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"scrubjay"
)

type loop struct{ Next *loop }

type tagged struct {
	Text    string `json:"text"`
	Skipped func() `json:"-"`
	List    []any
	hidden  chan int
}

func TestWhatIsEncoded(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, value := range map[string]any{
		`null`:                    nil,
		`"a<b>&c"`:                "a<b>&c",
		`[1,2.5,"x",null]`:        []any{1, 2.5, "x", nil},
		`{"a":1,"b":2}`:           map[string]int{"b": 2, "a": 1},
		`18446744073709551615`:    uint64(math.MaxUint64),
		`{"text":"","List":null}`: tagged{hidden: nil},
		`"2026-01-02T03:04:05Z"`:  date,
		`{"x":[1]}`:               json.RawMessage(` {"x": [1]} `),
		`"😀"`:                     "😀",
		`"\\ufffd"`:               `\ufffd`,
		"\"\ufffd\"":              "\ufffd",
		`"\ud83d\ude00"`:          json.RawMessage(`"\ud83d\ude00"`),
		`12345678901234567890123`: bigInt("12345678901234567890123"),
	} {
		if got, err := scrubjay.Encode(value); err != nil || got != want {
			t.Errorf("%#v became %s, not %s; %v", value, got, want, err)
		}
	}
}

func bigInt(text string) *big.Int {
	number, _ := new(big.Int).SetString(text, 10)
	return number
}

func TestWhatCannotBeStoredIsNamed(t *testing.T) {
	cycle := &loop{}
	cycle.Next = cycle
	self := []any{nil}
	self[0] = self
	for name, test := range map[string]struct {
		value any
		path  string
	}{
		"NaN":               {math.NaN(), "$ is NaN"},
		"infinity":          {map[string]any{"a": []any{0, 1, 2, map[string]float64{"b": math.Inf(1)}}}, "$.a[3].b is Infinity"},
		"float32":           {[]float32{float32(math.Inf(-1))}, "$[0] is -Infinity"},
		"integer keys":      {map[int]string{1: "x"}, "$ is a map"},
		"integer keys deep": {tagged{List: []any{map[bool]int{true: 1}}}, "$.List[0] is a map"},
		"bad text":          {tagged{Text: "a\xff"}, "$.text is text"},
		"bad key":           {map[string]int{"a\xff": 1}, "$ has a key"},
		"strange key":       {map[string]any{"a b": math.NaN()}, `$["a b"] is NaN`},
		"channel":           {[]any{make(chan int)}, "$[0] is a chan"},
		"function":          {func() {}, "$ is a func"},
		"complex":           {map[string]complex128{"z": 1}, "$.z is a complex128"},
		"cycle":             {cycle, "contains itself"},
		"cycle of slices":   {self, "contains itself"},
		"lone surrogate":    {map[string]any{"a": json.RawMessage(`"\ud800"`)}, "$.a has a lone surrogate"},
		"second half":       {json.RawMessage(`"\ude00\ud83d"`), "$ has a lone surrogate"},
		"raw bad text":      {[]json.RawMessage{json.RawMessage("\"\xff\"")}, "$[0] is text"},
		"raw no JSON":       {[]json.RawMessage{json.RawMessage("{")}, "$[0] cannot be encoded"},
	} {
		_, err := scrubjay.Encode(test.value)
		if !errors.Is(err, scrubjay.ErrInvalidValue) || !strings.Contains(err.Error(), test.path) {
			t.Errorf("%s: %v does not say %q", name, err, test.path)
		}
	}
}

func TestNumbersInAny(t *testing.T) {
	type embedded struct{ Inner any }
	type holder struct {
		embedded
		Map   map[string]any
		Exact uint64
		Typed json.Number
		When  time.Time
	}
	var got holder
	text := `{"Inner": [9007199254740992, 1], "Map": {"a": {"b": -9007199254740992}, "f": 1.7976931348623157e308}, "Exact": 18446744073709551615, "Typed": 5, "When": "2026-01-02T03:04:05Z"}`
	if err := scrubjay.Decode(text, &got); err != nil {
		t.Fatal(err)
	}
	want := holder{
		embedded: embedded{Inner: []any{json.Number("9007199254740992"), 1.0}},
		Map:      map[string]any{"a": map[string]any{"b": json.Number("-9007199254740992")}, "f": 1.7976931348623157e308},
		Exact:    math.MaxUint64,
		Typed:    "5",
		When:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%#v", got)
	}
	for text, want := range map[string]any{
		"9007199254740991": float64(1<<53 - 1), "-9007199254740991": -float64(1<<53 - 1), "9007199254740992": json.Number("9007199254740992"),
		"123456789012345678901234567890": json.Number("123456789012345678901234567890"), "0.12345678901234567": 0.12345678901234567, "1": 1.0,
	} {
		var got any
		if err := scrubjay.Decode(text, &got); err != nil || got != want {
			t.Errorf("%s became %#v, %v", text, got, err)
		}
	}
	for _, wrong := range []string{"1234567890123456 7", "12345678901234567x"} {
		if scrubjay.Decode(wrong, new(any)) == nil {
			t.Errorf("%q was decoded", wrong)
		}
	}
}
