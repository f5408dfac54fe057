// A web service with a cache before its database:
//
//	go run ./examples/http -redis localhost:6379
//	curl localhost:8080/users/7
//
// Without -redis the cache is in memory alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net/http"
	"time"

	"scrubjay"
)

type user struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func main() {
	listen := flag.String("listen", "localhost:8080", "where to listen")
	redis := flag.String("redis", "memory://", "host:port or URL of a Redis")
	flag.Parse()

	cache, err := scrubjay.Open(scrubjay.Options{URL: *redis, Prefix: "example", TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	log.Printf("listening on http://%s", *listen)
	server := http.Server{Addr: *listen, Handler: routes(cache), ReadHeaderTimeout: 5 * time.Second}
	log.Print(server.ListenAndServe())
}

func routes(cache *scrubjay.CacheService) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		// A client that goes away cancels r.Context(): the fetch is then another request's to run.
		found, err := scrubjay.GetOrFetch(r.Context(), cache, "user:"+id, scrubjay.DefaultTTL,
			func(ctx context.Context) (user, error) { return loadUser(ctx, id) })
		switch {
		case errors.Is(err, scrubjay.ErrNotFound):
			http.NotFound(w, r)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadGateway)
		default:
			writeJSON(w, found)
		}
	})
	mux.HandleFunc("DELETE /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		// First the database, then the cache: what was read before is never stored after this returns.
		receipt, err := cache.Delete(r.Context(), "user:"+r.PathValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		writeJSON(w, map[string]any{"pending": receipt.Pending})
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, cache.Stats()) })
	return mux
}

// loadUser stands for a query that takes a while.
func loadUser(ctx context.Context, id string) (user, error) {
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
		return user{}, ctx.Err()
	}
	if id == "0" {
		return user{}, scrubjay.ErrNotFound
	}
	return user{ID: id, Name: "user " + id}, nil
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}
