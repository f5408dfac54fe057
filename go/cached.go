package scrubjay

import (
	"context"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// CachedOptions say how [Cached] keeps the results of a function.
type CachedOptions struct {
	// Key is the template of the keys, like "user:{0}" or "page:{Lang}:{Path}". {0} is the argument; when that is a
	// struct, {0}, {1}, … are its exported fields in order and {Name} the one with that name, in Go or in JSON.
	// Strings, integers, booleans, floats and nil pointers can stand in a key; what is not A-Z a-z 0-9 _ . - in them
	// is escaped, so that no two arguments meet in one key. {{ and }} are braces.
	//
	// Default: a key of the function's name and its argument as JSON. A closure, a method value and an instance of a
	// generic function have no name of their own: they need a Key.
	Key string
	// Tags are the templates of the tags, as those of Key, like "users" or "team:{Team}". Default: none.
	Tags []string
	// TTL is how long a result is fresh. Default: that of the cache.
	TTL time.Duration
	// Codec is what results are stored as. Default: that of the cache.
	Codec Codec
}

// Cached returns fn with its results cached, by [GetOrFetch]. A wrong option is the error of every call.
//
//	getUser := scrubjay.Cached(cache, scrubjay.CachedOptions{Key: "user:{0}", TTL: time.Minute},
//		func(ctx context.Context, id int) (User, error) { return db.LoadUser(ctx, id) })
//	user, err := getUser(ctx, 42)
//
// A function of several arguments takes them as a struct.
func Cached[A, T any](cache *CacheService, opts CachedOptions, fn func(context.Context, A) (T, error)) func(context.Context, A) (T, error) {
	if opts.Key == "" {
		name, err := functionName(fn)
		if err != nil {
			return func(context.Context, A) (T, error) { var none T; return none, err }
		}
		return cachedBy(cache, opts, func(arg A) (string, error) { return defaultKey(name, arg) }, fn)
	}
	template, err := parseTemplate("key", opts.Key, reflect.TypeFor[A]())
	if err != nil {
		return func(context.Context, A) (T, error) { var none T; return none, err }
	}
	return cachedBy(cache, opts, func(arg A) (string, error) { return template.render(reflect.ValueOf(&arg).Elem()) }, fn)
}

// CachedBy is [Cached] with a function that makes the key; opts.Key is not used. Two arguments that are to have
// different results must have different keys.
func CachedBy[A, T any](cache *CacheService, opts CachedOptions, key func(A) string, fn func(context.Context, A) (T, error)) func(context.Context, A) (T, error) {
	return cachedBy(cache, opts, func(arg A) (string, error) { return key(arg), nil }, fn)
}

func cachedBy[A, T any](cache *CacheService, opts CachedOptions, key func(A) (string, error), fn func(context.Context, A) (T, error)) func(context.Context, A) (T, error) {
	put := put{ttl: opts.TTL, codec: opts.Codec}
	if put.ttl == 0 {
		put.ttl = DefaultTTL
	}
	templates := make([]*template, len(opts.Tags))
	for i, text := range opts.Tags {
		template, err := parseTemplate("tags", text, reflect.TypeFor[A]())
		if err != nil {
			return func(context.Context, A) (T, error) { var none T; return none, err }
		}
		templates[i] = template
	}
	return func(ctx context.Context, arg A) (T, error) {
		k, err := key(arg)
		if err != nil {
			var none T
			return none, err
		}
		put := put
		if len(templates) > 0 {
			tags, err := renderTags(templates, reflect.ValueOf(&arg).Elem())
			if err != nil {
				var none T
				return none, err
			}
			put.tags = tags
		}
		return load(ctx, cache, k, put, false, func(ctx context.Context) (T, error) { return fn(ctx, arg) })
	}
}

// renderTags are the tags of a result.
func renderTags(templates []*template, arg reflect.Value) (*flat, error) {
	tags := &flat{}
	for _, template := range templates {
		tag, err := template.render(arg)
		if err != nil {
			return nil, err
		}
		tags.add(tag)
	}
	return tags, nil
}

// functionName is the name of fn where that says which function it is.
func functionName(fn any) (string, error) {
	name := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name()
	last := name[strings.LastIndexByte(name, '/')+1:]
	// pkg.f.func1 is a closure, pkg.(*T).M-fm a method value, pkg.f[...] an instance: each stands for many.
	if strings.ContainsAny(last, "[(-") || strings.Count(last, ".") != 1 || strings.HasPrefix(last, "glob..") {
		return "", newError(ErrInvalidOption, "cached", "key must be given for %s: closures, methods and generic functions share their name", last)
	}
	return name, nil
}

// defaultKey has its two parts each behind its length, so that no other two make the same key.
func defaultKey(name string, arg any) (string, error) {
	encoded, err := encode("cached", []any{arg})
	if err != nil {
		return "", err
	}
	defer encoded.release()
	return segment(name) + segment(string(encoded.bytes)), nil
}

func segment(text string) string { return strconv.Itoa(len(text)) + ":" + text }
