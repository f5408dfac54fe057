package scrubjay

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The argument of a function as text, for its default keys: the same argument gives the same text in every process and
// language, and different arguments never do. The core writes it for Rust and Python; the grammar is in
// docs/wire-format.md, tests/vectors/arguments.json holds this to it.

const (
	// Arguments whose text is longer stand in a key as its SHA-256.
	maxArguments = 256
	// The longest name of a function, escaped.
	maxName = 512
	// The deepest nesting of an argument.
	maxArgumentDepth = 64
)

// escapedName is a name in which only A-Z a-z 0-9 _ . - stand for themselves, so that it ends where the arguments begin.
func escapedName(name string) (string, error) {
	var escaped strings.Builder
	escapeInto(&escaped, name)
	if n := escaped.Len(); n < 1 || n > maxName {
		return "", newError(ErrInvalidOption, "cached", "name must be 1 to %d bytes, escaped, has %d", maxName, n)
	}
	return escaped.String(), nil
}

// callKey is the key of a call of the function with this escaped name.
func callKey(name string, arg reflect.Value) (string, error) {
	text := append(make([]byte, 0, 64), '(')
	var err error
	switch {
	case arg.Type() == reflect.TypeFor[struct{}]():
		// A function of nothing takes an empty struct.
	case arg.Type() == typeArgs:
		for i := range arg.Len() {
			if i > 0 {
				text = append(text, ',')
			}
			if text, err = appendArgument(text, arg.Index(i), "", 0); err != nil {
				return "", err
			}
		}
	default:
		if text, err = appendArgument(text, arg, "", 0); err != nil {
			return "", err
		}
	}
	text = append(text, ')')
	if len(text) <= maxArguments {
		return name + string(text), nil
	}
	sum := sha256.Sum256(text)
	return name + "#" + hex.EncodeToString(sum[:]), nil
}

func refuseArgument(at, format string, args ...any) error {
	if at == "" {
		at = "the argument"
	} else {
		at = "the field " + at + " of the argument"
	}
	return newError(ErrInvalidOption, "cached", "key must be given: "+at+" "+format, args...)
}

var (
	typeArgs       = reflect.TypeFor[Args]()
	typeTime       = reflect.TypeFor[time.Time]()
	typeBigInt     = reflect.TypeFor[big.Int]()
	typeJSONNumber = reflect.TypeFor[json.Number]()
	typeText       = reflect.TypeFor[encoding.TextMarshaler]()
)

// appendArgument appends the text of v, which lies at this place in the argument.
func appendArgument(text []byte, v reflect.Value, at string, depth int) ([]byte, error) {
	if depth > maxArgumentDepth {
		return nil, refuseArgument(at, "is nested deeper than %d levels", maxArgumentDepth)
	}
	if !v.IsValid() {
		return append(text, "null"...), nil
	}
	t := v.Type()
	switch t {
	case typeTime:
		when := v.Interface().(time.Time)
		text = append(text, "!Time(["...)
		text = appendText(text, when.Format(time.RFC3339Nano))
		return append(appendText(append(text, ','), when.Location().String()), "])"...), nil
	case typeBigInt:
		n := v.Interface().(big.Int)
		return n.Append(text, 10), nil
	case typeJSONNumber:
		return appendNumber(text, v.String(), at)
	}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && t.Implements(typeText) {
		written, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return nil, refuseArgument(at, "is a %s that has no text: %v", t, err)
		}
		return appendTyped(text, t.PkgPath()+"."+t.Name(), func(text []byte) ([]byte, error) {
			return appendString(text, string(written), at)
		})
	}
	switch t.Kind() {
	case reflect.Bool:
		return strconv.AppendBool(text, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(text, v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.AppendUint(text, v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return appendFloat(text, v.Float()), nil
	case reflect.String:
		return appendString(text, v.String(), at)
	case reflect.Pointer, reflect.Interface:
		return appendInside(text, v, at, depth)
	case reflect.Slice, reflect.Array:
		return appendList(text, v, at, depth)
	case reflect.Map:
		return appendMap(text, v, at, depth)
	case reflect.Struct:
		return appendStruct(text, v, at, depth)
	}
	return nil, refuseArgument(at, "is a %s, which no key can tell", t)
}

// appendInside appends what a pointer leads to, or an interface holds: that with its type, unless that is one of the
// language itself.
func appendInside(text []byte, v reflect.Value, at string, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(text, "null"...), nil
	}
	inside, start := v.Elem(), len(text)
	if v.Kind() == reflect.Interface {
		if name := taggedName(inside.Type()); name != "" {
			return appendTyped(text, name, func(text []byte) ([]byte, error) {
				return appendArgument(text, inside, at, depth+1)
			})
		}
	}
	text, err := appendArgument(text, inside, at, depth+1)
	if err != nil {
		return nil, err
	}
	// A pointer to nothing is not nothing.
	if v.Kind() == reflect.Pointer && (string(text[start:]) == "null" || strings.HasPrefix(string(text[start:]), "!some(")) {
		text = slices.Insert(text, start, []byte("!some(")...)
		text = append(text, ')')
	}
	return text, nil
}

// taggedName is the name of a type in an interface, where there are others that look the same: "" for those of the language
// itself and those that say so themselves.
func taggedName(t reflect.Type) string {
	pointers := ""
	for t.Kind() == reflect.Pointer {
		t, pointers = t.Elem(), pointers+"*"
	}
	if t.PkgPath() == "" || t.Implements(typeText) || t == typeBigInt || t == typeJSONNumber {
		return ""
	}
	return pointers + t.PkgPath() + "." + t.Name()
}

func appendTyped(text []byte, name string, value func([]byte) ([]byte, error)) ([]byte, error) {
	var escaped strings.Builder
	escapeInto(&escaped, name)
	text, err := value(append(append(append(text, '!'), escaped.String()...), '('))
	return append(text, ')'), err
}

func appendList(text []byte, v reflect.Value, at string, depth int) ([]byte, error) {
	if v.Kind() == reflect.Slice && v.IsNil() {
		return append(text, "null"...), nil
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		text = append(text, `x"`...)
		for i := range v.Len() {
			text = hex.AppendEncode(text, []byte{byte(v.Index(i).Uint())})
		}
		return append(text, '"'), nil
	}
	var err error
	text = append(text, '[')
	for i := range v.Len() {
		if i > 0 {
			text = append(text, ',')
		}
		if text, err = appendArgument(text, v.Index(i), at, depth+1); err != nil {
			return nil, err
		}
	}
	return append(text, ']'), nil
}

func appendMap(text []byte, v reflect.Value, at string, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(text, "null"...), nil
	}
	entries := make([][2]string, 0, v.Len())
	for from := v.MapRange(); from.Next(); {
		key, err := appendArgument(nil, from.Key(), at, depth+1)
		if err != nil {
			return nil, err
		}
		value, err := appendArgument(nil, from.Value(), at, depth+1)
		if err != nil {
			return nil, err
		}
		entries = append(entries, [2]string{string(key), string(value)})
	}
	return appendEntries(text, entries), nil
}

func appendEntries(text []byte, entries [][2]string) []byte {
	slices.SortFunc(entries, func(a, b [2]string) int { return strings.Compare(a[0]+"\x00"+a[1], b[0]+"\x00"+b[1]) })
	text = append(text, '{')
	for i, entry := range entries {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, entry[0]...), ':'), entry[1]...)
	}
	return append(text, '}')
}

// appendStruct writes a struct as the map of its fields, under their names in JSON. The fields of an embedded struct are
// its own.
func appendStruct(text []byte, v reflect.Value, at string, depth int) ([]byte, error) {
	var entries [][2]string
	if err := addFields(&entries, v, at, depth); err != nil {
		return nil, err
	}
	return appendEntries(text, entries), nil
}

func addFields(entries *[][2]string, v reflect.Value, at string, depth int) error {
	if depth > maxArgumentDepth {
		return refuseArgument(at, "is nested deeper than %d levels", maxArgumentDepth)
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		where := strings.TrimPrefix(at+"."+field.Name, ".")
		switch {
		case tag == "-":
			// What JSON leaves out on purpose tells no arguments apart.
			continue
		case field.Anonymous && tag == "" && field.Type.Kind() == reflect.Struct:
			if err := addFields(entries, v.Field(i), where, depth+1); err != nil {
				return err
			}
			continue
		case !field.IsExported():
			return refuseArgument(where, "is not exported, and may tell arguments apart; `json:\"-\"` says that it does not")
		}
		if tag == "" {
			tag = field.Name
		}
		value, err := appendArgument(nil, v.Field(i), where, depth+1)
		if err != nil {
			return err
		}
		name := string(appendText(nil, tag))
		if slices.ContainsFunc(*entries, func(entry [2]string) bool { return entry[0] == name }) {
			return refuseArgument(where, "has the name of another field")
		}
		*entries = append(*entries, [2]string{name, string(value)})
	}
	return nil
}

func appendString(text []byte, s string, at string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, refuseArgument(at, "has text that is not UTF-8; bytes are a []byte")
	}
	return appendText(text, s), nil
}

func appendText(text []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	text = append(text, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			text = append(text, '\\', c)
		case c < ' ':
			text = append(text, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			text = append(text, c)
		}
	}
	return append(text, '"')
}

// appendNumber writes the number of a JSON text: as the integer that it is, or as a float.
func appendNumber(text []byte, number string, at string) ([]byte, error) {
	if n, ok := new(big.Int).SetString(number, 10); ok {
		return n.Append(text, 10), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return nil, refuseArgument(at, "is a json.Number that is no number")
	}
	return appendFloat(text, f), nil
}

// appendFloat writes a float such that it never looks like an integer.
func appendFloat(text []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(text, "NaN"...)
	case math.IsInf(f, 1):
		return append(text, "Infinity"...)
	case math.IsInf(f, -1):
		return append(text, "-Infinity"...)
	}
	start := len(text)
	if f == 0 && math.Signbit(f) {
		text = append(text, '-')
	}
	text = append(text, shortest(f)...)
	if !strings.ContainsAny(string(text[start:]), ".e") {
		text = append(text, ".0"...)
	}
	return text
}

// shortest is a finite float as JavaScript writes it: the fewest digits that mean this very float, whole numbers without a
// fraction, and an exponent below 1e-6 and from 1e21 on.
func shortest(f float64) string {
	if f == 0 {
		return "0"
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	// The exponent of strconv has two digits at least.
	return digits + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
}
