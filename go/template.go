package scrubjay

import (
	"encoding"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A template of keys, like "user:{0}". The rules are the same in every language: literals stand as they are, what is
// put in is escaped, and between two placeholders stands something that an escaped value cannot contain.
type template struct {
	// what it makes, for errors: key or tags.
	what  string
	parts []part
}

// part is a literal, and after it a placeholder unless the template ends there.
type part struct {
	literal string
	path    path
	last    bool
}

func parseTemplate(what, text string, argument reflect.Type) (*template, error) {
	t := &template{what: what}
	var literal strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '{' || c == '}') && i+1 < len(text) && text[i+1] == c:
			literal.WriteByte(c)
			i++
		case c == '}':
			return nil, newError(ErrInvalidOption, "cached", "%s has a } without a {; write }} for a brace", what)
		case c == '{':
			end := strings.IndexAny(text[i+1:], "{}")
			if end < 0 || text[i+1+end] != '}' {
				return nil, newError(ErrInvalidOption, "cached", "%s has a { without a }; write {{ for a brace", what)
			}
			path, wrong := parsePath(text[i+1 : i+1+end])
			if wrong != "" {
				return nil, newError(ErrInvalidOption, "cached", "%s %s: {%s}", what, wrong, path.text)
			}
			if !path.isIn(argument) {
				return nil, newError(ErrInvalidOption, "cached", "%s has a placeholder {%s} that names no argument", what, path.text)
			}
			if len(t.parts) > 0 && !separates(literal.String()) {
				return nil, newError(ErrInvalidOption, "cached", "%s must have a separator like : between {%s} and {%s}", what, t.parts[len(t.parts)-1].path.text, path.text)
			}
			t.parts = append(t.parts, part{literal: literal.String(), path: path})
			literal.Reset()
			i += 1 + end
		default:
			literal.WriteByte(c)
		}
	}
	t.parts = append(t.parts, part{literal: literal.String(), last: true})
	return t, nil
}

func (t *template) render(argument reflect.Value) (string, error) {
	var key strings.Builder
	for _, part := range t.parts {
		key.WriteString(part.literal)
		if part.last {
			break
		}
		value, ok := part.path.find(argument)
		if !ok {
			return "", newError(ErrInvalidOption, "cached", "%s has a placeholder {%s} without a usable argument", t.what, part.path.text)
		}
		if err := renderValue(&key, t.what, part.path.text, value); err != nil {
			return "", err
		}
	}
	return key.String(), nil
}

func renderValue(key *strings.Builder, what string, name string, v reflect.Value) error {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		if v.IsNil() {
			key.WriteString("null")
			return nil
		}
		if v.Kind() == reflect.Pointer && v.Type().Implements(typeText) {
			break
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		key.WriteString("null")
		return nil
	}
	if v.Type().Implements(typeText) {
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return newError(ErrInvalidOption, "cached", "%s cannot have a %s without text for {%s}: %v", what, v.Type(), name, err)
		}
		escapeInto(key, string(text))
		return nil
	}
	switch {
	case v.Kind() == reflect.String:
		if !utf8.ValidString(v.String()) {
			return newError(ErrInvalidOption, "cached", "%s cannot have text that is not UTF-8 for {%s}", what, name)
		}
		escapeInto(key, v.String())
	case v.Kind() == reflect.Bool:
		key.WriteString(strconv.FormatBool(v.Bool()))
	case v.CanInt():
		key.WriteString(strconv.FormatInt(v.Int(), 10))
	case v.CanUint():
		key.WriteString(strconv.FormatUint(v.Uint(), 10))
	case v.CanFloat() && !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0):
		escapeInto(key, shortest(v.Float()))
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		escapeInto(key, string(v.Bytes()))
	default:
		return newError(ErrInvalidOption, "cached", "%s cannot have a %s for {%s}: only strings, numbers, booleans, bytes, what has a text, and nil", what, v.Type(), name)
	}
	return nil
}

// escapeInto writes text with each byte outside A-Z a-z 0-9 _ . - as %XX.
func escapeInto(key *strings.Builder, text string) {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; unescaped(c) {
			key.WriteByte(c)
		} else {
			key.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		}
	}
}

func unescaped(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

// separates reports whether a literal has a byte that no escaped value has. (% is in those.)
func separates(literal string) bool {
	for i := range len(literal) {
		if c := literal[i]; !unescaped(c) && c != '%' {
			return true
		}
	}
	return false
}
