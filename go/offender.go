package scrubjay

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The path of what cannot be stored, like $.a[3].b. The walk follows encoding/json: what that does not look into,
// this does not either. It runs only when something is wrong, or might be.

var (
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

func marshalsItself(t reflect.Type) bool {
	return t.Implements(marshalerType) || t.Implements(textMarshalerType) ||
		t.Kind() != reflect.Pointer && (reflect.PointerTo(t).Implements(marshalerType) || reflect.PointerTo(t).Implements(textMarshalerType))
}

// findOffender returns an ErrInvalidValue that names the path of what cannot be stored, or nil.
func findOffender(operation string, value any) error {
	walk := offenderWalk{pointers: map[visit]bool{}}
	path, what := walk.value(reflect.ValueOf(value), "$")
	if what == "" {
		return nil
	}
	return newError(ErrInvalidValue, operation, "%s %s", path, what)
}

type visit struct {
	pointer uintptr
	length  int
	kind    reflect.Kind
}

type offenderWalk struct {
	// pointers are those being looked into: meeting one again is a cycle.
	pointers map[visit]bool
}

func (w *offenderWalk) value(v reflect.Value, path string) (string, string) {
	if !v.IsValid() {
		return "", ""
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if v.IsNil() {
			return "", ""
		}
	}
	if marshalsItself(v.Type()) {
		return w.marshalled(v, path)
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0) {
			return path, fmt.Sprintf("is %s, which JSON does not have", floatName(v.Float()))
		}
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return path, "is text that is not UTF-8; give bytes as a []byte of its own"
		}
	case reflect.Interface:
		return w.value(v.Elem(), path)
	case reflect.Pointer:
		return w.inside(visit{v.Pointer(), 0, reflect.Pointer}, path, func() (string, string) { return w.value(v.Elem(), path) })
	case reflect.Map:
		return w.inside(visit{v.Pointer(), 0, reflect.Map}, path, func() (string, string) { return w.entries(v, path) })
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return "", ""
		}
		return w.inside(visit{v.Pointer(), v.Len(), reflect.Slice}, path, func() (string, string) { return w.elements(v, path) })
	case reflect.Array:
		return w.elements(v, path)
	case reflect.Struct:
		return w.fields(v, path)
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return path, fmt.Sprintf("is a %s, which JSON does not have", v.Kind())
	}
	return "", ""
}

// marshalled looks at what a value that writes its own JSON writes.
func (w *offenderWalk) marshalled(v reflect.Value, path string) (string, string) {
	if !v.CanInterface() {
		return "", ""
	}
	text, err := json.Marshal(v.Interface())
	switch {
	case err != nil:
		return path, fmt.Sprintf("cannot be encoded as JSON: %v", err)
	case !utf8.Valid(text):
		return path, "is text that is not UTF-8"
	case hasLoneSurrogate(text):
		return path, "has a lone surrogate"
	}
	return "", ""
}

func (w *offenderWalk) inside(at visit, path string, look func() (string, string)) (string, string) {
	if w.pointers[at] {
		return path, "contains itself"
	}
	w.pointers[at] = true
	defer delete(w.pointers, at)
	return look()
}

func (w *offenderWalk) elements(v reflect.Value, path string) (string, string) {
	for i := range v.Len() {
		if at, what := w.value(v.Index(i), path+"["+strconv.Itoa(i)+"]"); what != "" {
			return at, what
		}
	}
	return "", ""
}

func (w *offenderWalk) entries(v reflect.Value, path string) (string, string) {
	if v.Type().Key().Kind() != reflect.String {
		return path, fmt.Sprintf("is a map with keys of type %s; keys must be strings", v.Type().Key())
	}
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	for _, key := range keys {
		if !utf8.ValidString(key.String()) {
			return path, "has a key that is not UTF-8"
		}
		if at, what := w.value(v.MapIndex(key), member(path, key.String())); what != "" {
			return at, what
		}
	}
	return "", ""
}

func (w *offenderWalk) fields(v reflect.Value, path string) (string, string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" && options == "" || !field.IsExported() && !field.Anonymous {
			continue
		}
		at := path
		if !field.Anonymous || name != "" {
			if name == "" {
				name = field.Name
			}
			at = member(path, name)
		}
		if at, what := w.value(v.Field(i), at); what != "" {
			return at, what
		}
	}
	return "", ""
}

// member is the path of a named part: $.a, or $["a b"] for a name that is no plain word.
func member(path, name string) string {
	for i, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return path + "[" + strconv.Quote(name) + "]"
		}
	}
	if name == "" {
		return path + `[""]`
	}
	return path + "." + name
}

func floatName(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case f > 0:
		return "Infinity"
	default:
		return "-Infinity"
	}
}
