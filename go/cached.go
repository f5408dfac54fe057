package scrubjay

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"time"
)

// CachedOptions say how [Cached] keeps the results of a function.
type CachedOptions struct {
	// Key is the template of the keys, like "user:{0}" or "page:{Lang}:{Path}". {0} is the argument; of a struct {Name} is
	// the field with that name, in Go or in JSON, and {0}, {1}, … are its exported fields in order. {user.id}, {ids[0]} and
	// {by_name[ada]} lead into them, and {0.Name} is a field of the argument. Strings, integers, booleans, floats, bytes,
	// what has a MarshalText, and nil can stand in a key; what is not A-Z a-z 0-9 _ . - in them is escaped, so that no
	// separator in one imitates one of the template. A template does not tell 7 from "7". {{ and }} are braces.
	//
	// Default: a key of the function's name and its argument, like main.loadUser(7). No two different arguments share one, and
	// it is the same in every process and release. A closure, a method value and an instance of a generic function have no
	// name of their own: they need a Key or a Name. A struct with unexported fields needs a Key.
	Key string
	// Name is what default keys begin with instead of the name of the function, which may change when code is moved. The
	// same name and argument have the same key in every language.
	Name string
	// Tags are the templates of the tags, as those of Key, like "users" or "team:{Team}". Default: none.
	Tags []string
	// TagsFunc makes more tags of the argument: a func(A) []string. Default: none.
	TagsFunc any
	// TTL is how long a result is fresh; [StoreAs] says so from within the function. Default: that of the cache.
	TTL time.Duration
	// Codec is what results are stored as. Default: that of the cache.
	Codec Codec
	// Unless says which results are not kept: a func(T) bool. Those who wait for such a result get it too, and what was kept
	// before stays. Default: none.
	Unless any
	// CacheErrors says which errors of the function are remembered, for [Options.NegativeTTL]: callers within that time
	// get ErrFetchFailed with the message, in every language, and the function is not run. Nothing stale is served instead.
	// Default: none, but ErrNotFound always is.
	CacheErrors func(error) bool
}

// Args are several arguments of a function, by their positions: its default keys are those that functions of several
// arguments have in other languages, and {0}, {1}, … in its templates are these. A struct has names instead, and types.
type Args []any

// CachedFunc is a function with its results cached: see [Cached]. It is called as any other.
type CachedFunc[A, T any] func(context.Context, A) (T, error)

// An asked call of a CachedFunc is not for a result.
type asked struct {
	context.Context
	key     bool
	refresh bool
	// place is where the answer is put.
	place place
}

// A place is where a result is kept, and how.
type place struct {
	cache *CacheService
	key   string
	put   put
}

// Cached returns fn with its results cached, by [GetOrFetch]. A wrong option is the error of every call.
//
//	getUser := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: "user:{0}", TTL: time.Minute},
//		func(ctx context.Context, id int) (User, error) { return db.LoadUser(ctx, id) })
//	user, err := getUser(ctx, 42)
//	receipt, err := getUser.Invalidate(ctx, 42)
//
// A function of several arguments takes them as a struct, or as [Args]; one of none takes a struct{}.
func Cached[A, T any](cache *CacheService, opts CachedOptions, fn func(context.Context, A) (T, error)) CachedFunc[A, T] {
	if opts.Key != "" {
		template, err := parseTemplate("key", opts.Key, reflect.TypeFor[A]())
		if err == nil && opts.Name != "" {
			err = newError(ErrInvalidOption, "cached", "Name is for default keys: give either Name or Key")
		}
		return cachedBy(cache, opts, err, func(arg A) (string, error) { return template.render(reflect.ValueOf(&arg).Elem()) }, fn)
	}
	var err error
	name := opts.Name
	if name == "" {
		name, err = functionName(fn)
	}
	if err == nil {
		name, err = escapedName(name)
	}
	return cachedBy(cache, opts, err, func(arg A) (string, error) { return callKey(name, reflect.ValueOf(&arg).Elem()) }, fn)
}

// CachedBy is [Cached] with a function that makes the key; opts.Key and opts.Name are not used. Two arguments that are to
// have different results must have different keys.
func CachedBy[A, T any](cache *CacheService, opts CachedOptions, key func(A) string, fn func(context.Context, A) (T, error)) CachedFunc[A, T] {
	return cachedBy(cache, opts, nil, func(arg A) (string, error) { return key(arg), nil }, fn)
}

// GetKey returns the key under which the result for arg is kept.
func (f CachedFunc[A, T]) GetKey(arg A) (string, error) {
	question := &asked{Context: context.Background(), key: true}
	_, err := f(question, arg)
	return question.place.key, err
}

// GetTags returns the tags of the result for arg.
func (f CachedFunc[A, T]) GetTags(arg A) ([]string, error) {
	question := &asked{Context: context.Background(), key: true}
	if _, err := f(question, arg); err != nil || question.place.put.tags == nil {
		return nil, err
	}
	return question.place.put.tags.list(), nil
}

// Invalidate deletes the result for arg.
func (f CachedFunc[A, T]) Invalidate(ctx context.Context, arg A) (Receipt, error) {
	question := &asked{Context: ctx, key: true}
	if _, err := f(question, arg); err != nil {
		return Receipt{}, err
	}
	return question.place.cache.Delete(ctx, question.place.key)
}

// Refresh forgets the result for arg, runs the function, and keeps what it returns: what was loaded before this call, here or
// in another process, is neither returned nor kept. Where the function fails nothing is kept.
func (f CachedFunc[A, T]) Refresh(ctx context.Context, arg A) (T, error) {
	return f(&asked{Context: ctx, refresh: true}, arg)
}

func cachedBy[A, T any](cache *CacheService, opts CachedOptions, wrong error, key func(A) (string, error), fn func(context.Context, A) (T, error)) CachedFunc[A, T] {
	tags, err := tagMaker[A](opts)
	unless, ok := opts.Unless.(func(T) bool)
	switch {
	case wrong != nil:
	case err != nil:
		wrong = err
	case yields(reflect.TypeFor[T]()):
		wrong = newError(ErrInvalidOption, "cached", "a function that returns a %s cannot be cached: what it gives can be taken once only; return a slice instead", reflect.TypeFor[T]())
	case opts.Unless != nil && !ok:
		wrong = newError(ErrInvalidOption, "cached", "Unless must be a func(%s) bool, is a %T", reflect.TypeFor[T](), opts.Unless)
	}
	if wrong != nil {
		return func(context.Context, A) (T, error) { var none T; return none, wrong }
	}
	how := put{ttl: opts.TTL, codec: opts.Codec, remembers: opts.CacheErrors}
	if how.ttl == 0 {
		how.ttl = DefaultTTL
	}
	run := fn
	if unless != nil {
		run = func(ctx context.Context, arg A) (T, error) {
			result, err := fn(ctx, arg)
			if err == nil && unless(result) {
				StoreAs(ctx, WithKeep(false))
			}
			return result, err
		}
	}
	return func(ctx context.Context, arg A) (T, error) {
		var none T
		k, err := key(arg)
		if err != nil {
			return none, err
		}
		put := how
		if tags != nil {
			if put.tags, err = tags(arg); err != nil {
				return none, err
			}
		}
		if question, ok := ctx.(*asked); ok {
			if question.key {
				question.place = place{cache, k, put}
				return none, nil
			}
			ctx = question.Context
			if _, err := cache.Delete(ctx, k); err != nil {
				return none, err
			}
		}
		return load(ctx, cache, k, put, false, func(ctx context.Context) (T, error) { return run(ctx, arg) })
	}
}

// yields reports whether a result is a channel or an iterator.
func yields(t reflect.Type) bool { return t.Kind() == reflect.Chan || t.Kind() == reflect.Func }

// tagMaker makes the tags of an argument; nil where there are none.
func tagMaker[A any](opts CachedOptions) (func(A) (*flat, error), error) {
	more, ok := opts.TagsFunc.(func(A) []string)
	if opts.TagsFunc != nil && !ok {
		return nil, newError(ErrInvalidOption, "cached", "TagsFunc must be a func(%s) []string, is a %T", reflect.TypeFor[A](), opts.TagsFunc)
	}
	templates := make([]*template, len(opts.Tags))
	for i, text := range opts.Tags {
		template, err := parseTemplate("tags", text, reflect.TypeFor[A]())
		if err != nil {
			return nil, err
		}
		templates[i] = template
	}
	if len(templates) == 0 && more == nil {
		return nil, nil
	}
	return func(arg A) (*flat, error) {
		tags := &flat{}
		for _, template := range templates {
			tag, err := template.render(reflect.ValueOf(&arg).Elem())
			if err != nil {
				return nil, err
			}
			tags.add(tag)
		}
		if more != nil {
			for _, tag := range more(arg) {
				tags.add(tag)
			}
		}
		return tags, nil
	}, nil
}

// functionName is the name of fn where that says which function it is.
func functionName(fn any) (string, error) {
	name := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name()
	last := name[strings.LastIndexByte(name, '/')+1:]
	// pkg.f.func1 is a closure, pkg.(*T).M-fm a method value, pkg.f[...] an instance: each stands for many.
	if strings.ContainsAny(last, "[(-") || strings.Count(last, ".") != 1 || strings.HasPrefix(last, "glob..") {
		return "", newError(ErrInvalidOption, "cached", "key must be given, or Name, for %s: closures, methods and generic functions share their name", last)
	}
	return name, nil
}
