package scrubjay

import (
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// A path is what a placeholder names: {id}, {0}, {user.address.city}, {ids[0]}, {by_name[ada]}.
type path struct {
	text string
	// first is the argument: by its position where that is not negative.
	name     string
	position int
	rest     []step
}

// A step leads further into an argument: to the field or the key of this name, or to an element.
type step struct {
	name string
	// index is negative where it is none.
	index int
}

// parsePath reads a placeholder; wrong is what is wrong with it otherwise.
func parsePath(text string) (p path, wrong string) {
	p = path{text: text, position: -1}
	first, rest := cutAt(text)
	if wrong := checkName(first); wrong != "" {
		return p, wrong
	}
	p.name, p.position = first, number(first)
	for rest != "" {
		var name string
		if after, isField := strings.CutPrefix(rest, "."); isField {
			name, rest = cutAt(after)
			if wrong := checkName(name); wrong != "" {
				return p, wrong
			}
			p.rest = append(p.rest, step{name, -1})
			continue
		}
		inside, isIndex := strings.CutPrefix(rest, "[")
		if !isIndex {
			return p, "has something behind a ] that is no . and no ["
		}
		name, after, closed := strings.Cut(inside, "]")
		switch {
		case !closed:
			return p, "has a [ without its ]"
		case name == "" || strings.Contains(name, "["):
			return p, "has an index that is empty, or has a [ in it"
		}
		p.rest, rest = append(p.rest, step{name, number(name)}), after
	}
	return p, ""
}

// cutAt cuts a text before the first . or [.
func cutAt(text string) (before, after string) {
	if i := strings.IndexAny(text, ".["); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// checkName refuses what means something in the templates of some language, so that nothing is taken for what it is not.
func checkName(name string) (wrong string) {
	if name == "" {
		return "has an empty placeholder, or an empty name in one"
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return strings.ContainsRune("]!:?$()'\"", r) || unicode.IsSpace(r) || unicode.IsControl(r)
	}) {
		return "has a placeholder that is no name: conversions, formats and expressions are not known"
	}
	return ""
}

// number is the number that a text of digits is, few enough to be an index; -1 for any other text.
func number(text string) int {
	if len(text) > 9 || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return -1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// isIn reports whether an argument of this type may have what the path names.
func (p path) isIn(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == typeArgs:
		return p.position >= 0
	case isOpaque(t):
		return p.position == 0
	case t.Kind() == reflect.Struct && p.position >= 0:
		_, ok := fieldAt(t, p.position)
		return ok || p.position == 0 && len(p.rest) > 0
	case t.Kind() == reflect.Struct:
		_, ok := fieldNamed(t, p.name)
		return ok
	}
	return p.position == 0 || t.Kind() == reflect.Map || t.Kind() == reflect.Interface
}

// isOpaque reports whether the fields of a struct are no business of others.
func isOpaque(t reflect.Type) bool {
	return t.Implements(typeText) || t == typeBigInt
}

// find is what the path names in an argument.
func (p path) find(argument reflect.Value) (reflect.Value, bool) {
	found, rest := argument, p.rest
	inside := through(argument)
	isStruct := inside.IsValid() && inside.Kind() == reflect.Struct && !isOpaque(inside.Type())
	ok := true
	switch {
	case p.position >= 0 && isStruct:
		if p.position == 0 && len(rest) > 0 {
			if _, has := fieldNamed(inside.Type(), rest[0].name); has {
				break
			}
		}
		var i int
		if i, ok = fieldAt(inside.Type(), p.position); ok {
			found = inside.Field(i)
		}
	case inside.IsValid() && inside.Type() == typeArgs:
		found, ok = step{p.name, p.position}.from(inside)
	case p.position == 0:
	case p.position < 0:
		found, ok = step{p.name, -1}.from(argument)
	default:
		ok = false
	}
	for _, step := range rest {
		if !ok {
			break
		}
		found, ok = step.from(found)
	}
	return found, ok
}

// from is where the step leads from a value.
func (s step) from(v reflect.Value) (reflect.Value, bool) {
	v = through(v)
	if !v.IsValid() {
		return v, false
	}
	switch v.Kind() {
	case reflect.Struct:
		i, ok := fieldNamed(v.Type(), s.name)
		if !ok {
			return v, false
		}
		return v.Field(i), true
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return v, false
		}
		value := v.MapIndex(reflect.ValueOf(s.name).Convert(v.Type().Key()))
		return value, value.IsValid()
	case reflect.Slice, reflect.Array:
		if s.index < 0 || s.index >= v.Len() {
			return v, false
		}
		return v.Index(s.index), true
	}
	return v, false
}

// through follows pointers and interfaces to what they lead to.
func through(v reflect.Value) reflect.Value {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	return v
}

// fieldNamed is the index of the exported field with this name, in Go or in JSON.
func fieldNamed(t reflect.Type, name string) (int, bool) {
	for i := range t.NumField() {
		field := t.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.IsExported() && (name == field.Name || name == tag) {
			return i, true
		}
	}
	return 0, false
}

// fieldAt is the index of the exported field at this position among them.
func fieldAt(t reflect.Type, position int) (int, bool) {
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			continue
		}
		if position == 0 {
			return i, true
		}
		position--
	}
	return 0, false
}
