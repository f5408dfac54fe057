package scrubjay

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"
	"unicode/utf8"
)

// The codecs that cross into the library; it translates to and from MessagePack itself.
const (
	codecRaw  uint32 = 0
	codecJSON uint32 = 1
)

// A value on its way into the library. After the call, release it.
type encoded struct {
	codec uint32
	bytes []byte
	from  *encoder
}

type encoder struct {
	buffer bytes.Buffer
	json   *json.Encoder
}

// An encoder that once held more than this is not kept.
const maxKeptEncoder = 1 << 20

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.json = json.NewEncoder(&e.buffer)
	// What < > & become in HTML is no concern of a cache, and other languages do not do it.
	e.json.SetEscapeHTML(false)
	return e
}}

func (e encoded) release() {
	if e.from != nil && e.from.buffer.Cap() <= maxKeptEncoder {
		encoders.Put(e.from)
	}
}

// encode makes bytes of a value: a []byte stays as it is, all else becomes JSON.
func encode(operation string, value any) (encoded, error) {
	if raw, ok := value.([]byte); ok {
		return encoded{codec: codecRaw, bytes: raw}, nil
	}
	if err := checkKeys(operation, value); err != nil {
		return encoded{}, err
	}
	e := encoders.Get().(*encoder)
	e.buffer.Reset()
	if err := e.json.Encode(value); err != nil {
		encoders.Put(e)
		if found := findOffender(operation, value); found != nil {
			return encoded{}, found
		}
		return encoded{}, newError(ErrInvalidValue, operation, "$ cannot be encoded as JSON: %v", err)
	}
	text := e.buffer.Bytes()
	text = text[:len(text)-1] // the newline
	if err := checkText(operation, value, text); err != nil {
		encoders.Put(e)
		return encoded{}, err
	}
	return encoded{codec: codecJSON, bytes: text, from: e}, nil
}

// checkText refuses text that is not Unicode. encoding/json does not: it writes \ufffd for a byte that is not
// UTF-8, and copies what marshallers give it.
func checkText(operation string, value any, text []byte) error {
	valid := utf8.Valid(text)
	if valid && !bytes.Contains(text, []byte(`\u`)) {
		return nil
	}
	lone := hasLoneSurrogate(text)
	if valid && !lone && !bytes.Contains(text, []byte(`\ufffd`)) {
		return nil
	}
	if err := findOffender(operation, value); err != nil {
		return err
	}
	if valid && !lone {
		return nil
	}
	return newError(ErrInvalidValue, operation, "$ has text that is not Unicode, written by a json.Marshaler inside it")
}

// hasLoneSurrogate reports whether JSON text has an escape \ud800 to \udfff that is not one of a pair.
func hasLoneSurrogate(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(text[i:])
		switch {
		case !ok:
			i++ // another escape, which may be of a backslash
		case unit < 0xd800 || unit > 0xdfff:
			i += 5
		default:
			low, paired := uint32(0), false
			if i+6 < len(text) {
				low, paired = escapedUnit(text[i+6:])
			}
			if unit > 0xdbff || !paired || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		}
	}
	return false
}

// escapedUnit reads \uXXXX at the start of text.
func escapedUnit(text []byte) (uint32, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var unit uint32
	for _, digit := range text[2:6] {
		switch {
		case '0' <= digit && digit <= '9':
			unit = unit<<4 | uint32(digit-'0')
		case 'a' <= digit|0x20 && digit|0x20 <= 'f':
			unit = unit<<4 | uint32(digit|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

// checkKeys refuses maps whose keys are no strings: encoding/json turns their keys into text, and no other
// language would find them again. Most types cannot hold such a map, and are not looked at twice.
func checkKeys(operation string, value any) error {
	if value == nil || !mayHoldOtherKeys(reflect.TypeOf(value)) {
		return nil
	}
	return findOffender(operation, value)
}

// otherKeys remembers the answer of mayHoldOtherKeys for each type.
var otherKeys sync.Map

func mayHoldOtherKeys(t reflect.Type) bool {
	if known, ok := otherKeys.Load(t); ok {
		return known.(bool)
	}
	found := searchOtherKeys(t, map[reflect.Type]bool{})
	otherKeys.Store(t, found)
	return found
}

func searchOtherKeys(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || marshalsItself(t) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Map:
		return t.Key().Kind() != reflect.String || searchOtherKeys(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return searchOtherKeys(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if searchOtherKeys(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}
