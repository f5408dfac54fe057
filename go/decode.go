package scrubjay

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
)

var errUndecodable = errors.New("the stored value does not fit the type asked for")

// A whole number of fewer digits is exact in a float64.
const digitsBeyondFloat = 16

// maxExact is the largest whole number up to which every one is exact in a float64: 2^53-1.
const maxExact = 1<<53 - 1

// decodeInto makes a T of stored bytes. The bytes are not kept.
func decodeInto[T any](codec uint32, stored []byte) (T, error) {
	if codec == codecRaw {
		return rawInto[T](stored)
	}
	var value T
	err := decode(codec, stored, &value)
	if err != nil {
		var none T
		return none, err
	}
	return value, nil
}

// rawInto is decodeInto for bytes. It is a function of its own, in which the value need not lie on the heap.
func rawInto[T any](stored []byte) (T, error) {
	var value T
	if !giveBytes(&value, ownBytes(stored)) {
		return value, errUndecodable
	}
	return value, nil
}

// ownBytes is a copy of bytes, which is not nil.
func ownBytes(stored []byte) []byte { return append(make([]byte, 0, len(stored)), stored...) }

// giveBytes gives bytes away as they are, where dest takes them.
func giveBytes(dest any, bytes []byte) bool {
	switch dest := dest.(type) {
	case *[]byte:
		*dest = bytes
	case *any:
		*dest = bytes
	default:
		return false
	}
	return true
}

// decode makes a value of stored bytes, in dest: a pointer to the zero value of its type.
func decode(codec uint32, stored []byte, dest any) error {
	if codec == codecRaw && giveBytes(dest, ownBytes(stored)) {
		return nil
	}
	if codec != codecJSON {
		return errUndecodable
	}
	if _, isBytes := dest.(*[]byte); isBytes {
		if string(stored) != "null" {
			// A base64 text is not what its writer meant by bytes.
			return errUndecodable
		}
		return nil
	}
	if !hasLongNumber(stored) {
		return json.Unmarshal(stored, dest)
	}
	decoder := json.NewDecoder(bytes.NewReader(stored))
	decoder.UseNumber()
	if err := decoder.Decode(dest); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errUndecodable
	}
	return shortNumbers(reflect.ValueOf(dest).Elem())
}

// hasLongNumber reports whether there may be a whole number beyond a float64 in JSON text: so many digits in a row.
func hasLongNumber(text []byte) bool {
	run := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			run = 0
		} else if run++; run == digitsBeyondFloat {
			return true
		}
	}
	return false
}

// plainNumber is what a number in an any is: a float64, as encoding/json has it, but a json.Number where that would
// lose digits of a whole number.
func plainNumber(number json.Number) (any, error) {
	if whole, err := strconv.ParseInt(string(number), 10, 64); err == nil {
		if whole >= -maxExact && whole <= maxExact {
			return float64(whole), nil
		}
		return number, nil
	}
	if isWhole(string(number)) {
		return number, nil
	}
	float, err := number.Float64()
	return float, err
}

func isWhole(number string) bool {
	for _, c := range number {
		if c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// shortNumbers replaces the numbers inside every any that v holds by plain ones. Numbers of other types were
// decoded exactly.
func shortNumbers(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() || v.NumMethod() > 0 {
			return nil
		}
		plain, err := plainAny(v.Interface())
		if err == nil {
			v.Set(reflect.ValueOf(&plain).Elem())
		}
		return err
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return shortNumbers(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() || field.Anonymous && field.Type.Kind() == reflect.Struct {
				if err := shortNumbers(v.Field(i)); err != nil {
					return err
				}
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() < reflect.Array {
			return nil
		}
		for i := range v.Len() {
			if err := shortNumbers(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(key))
			if err := shortNumbers(element); err != nil {
				return err
			}
			v.SetMapIndex(key, element)
		}
	}
	return nil
}

func plainAny(value any) (any, error) {
	var err error
	switch value := value.(type) {
	case json.Number:
		return plainNumber(value)
	case []any:
		for i := range value {
			if value[i], err = plainAny(value[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for key := range value {
			if value[key], err = plainAny(value[key]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}
