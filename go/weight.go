package scrubjay

import (
	"encoding"
	"encoding/json"
	"reflect"
)

// What a copy may weigh, of which the library knows only how long its text is: it counts a share for a copy that is
// right for structs, with the room that the garbage collector takes. What is heavier for its text, as many an any is,
// is not kept: the memory tier would take more memory than its bound, and so each hit decodes it.
const (
	lightTenths = 26
	lightBytes  = 300
)

// isLight reports whether the value that a pointer leads to, decoded from so many bytes, may be kept.
func isLight(pointer reflect.Value, encoded int) bool {
	return weighed(pointer, encoded*lightTenths/10+lightBytes) >= 0
}

const (
	mapHeader = 48
	// A map has groups of eight, each with a word of its own, and at most seven in use.
	groupSize, groupUse = 8, 7
)

// weighed is what is left of a budget of bytes after the memory that v leads to; negative when it does not suffice.
// The value is a fresh one that nobody else has. What decodes itself may lead anywhere, and counts as its own size.
func weighed(v reflect.Value, left int) int {
	if left < 0 || decodesItself(v.Type()) {
		return left
	}
	switch v.Kind() {
	case reflect.String:
		return left - v.Len()
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return left
		}
		return weighed(v.Elem(), left-max(int(v.Elem().Type().Size()), 8))
	case reflect.Struct:
		for i := range v.NumField() {
			left = weighed(v.Field(i), left)
		}
	case reflect.Slice:
		left -= v.Cap() * int(v.Type().Elem().Size())
		return weighElements(v, left)
	case reflect.Array:
		return weighElements(v, left)
	case reflect.Map:
		if v.IsNil() {
			return left
		}
		entry := int(v.Type().Key().Size() + v.Type().Elem().Size())
		groups := 1
		for groups*groupUse < v.Len() {
			groups *= 2
		}
		left -= mapHeader + groups*(8+groupSize*entry)
		for each := v.MapRange(); left >= 0 && each.Next(); {
			left = weighed(each.Value(), weighed(each.Key(), left))
		}
	}
	return left
}

var (
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func decodesItself(t reflect.Type) bool {
	if t.Name() == "" || t.PkgPath() == "" {
		return false
	}
	pointer := reflect.PointerTo(t)
	return pointer.Implements(unmarshalerType) || pointer.Implements(textUnmarshalerType)
}

func weighElements(v reflect.Value, left int) int {
	if k := v.Type().Elem().Kind(); k <= reflect.Complex128 {
		return left
	}
	for i := 0; left >= 0 && i < v.Len(); i++ {
		left = weighed(v.Index(i), left)
	}
	return left
}
