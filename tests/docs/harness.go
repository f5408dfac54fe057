package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"scrubjay"
)

type User struct{ Name string }

type database struct{}

func (database) LoadUser(context.Context, int) (User, error) { return User{"Ada"}, nil }

func (database) RenameUser(context.Context, int, string) error { return nil }

var (
	db  database
	ctx = context.Background()
	_   = errors.Is
	_   = fmt.Println
)

func check(ok bool) {
	if !ok {
		panic("a check of the documentation failed")
	}
}

func use(cache *scrubjay.CacheService) { check(cache.Close() == nil) }

SNIPPETS

func main() {
	_ = time.Minute
CALLS}
