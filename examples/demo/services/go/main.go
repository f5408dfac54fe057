// The shop's product pages, served by Go: every page comes through the cache.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"scrubjay"
)

const ttl = 300 * time.Second

type config struct {
	Database, URL, Prefix, Requests, Answers string
	Service, Services                        int
}

type page struct {
	ID    uint32  `json:"id"`
	Name  string  `json:"name"`
	Price float64 `json:"price"`
	Stock int     `json:"stock"`
	Text  string  `json:"text"`
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	var config config
	if err := json.Unmarshal([]byte(os.Args[1]), &config); err != nil {
		return err
	}
	database, err := sql.Open("sqlite3", "file:"+config.Database+"?mode=ro")
	if err != nil {
		return err
	}
	defer database.Close()
	query, err := database.Prepare("SELECT name, price, stock, text FROM page WHERE id = ?")
	if err != nil {
		return err
	}
	cache, err := scrubjay.Open(scrubjay.Options{URL: config.URL, Prefix: config.Prefix})
	if err != nil {
		return err
	}
	requests, err := os.ReadFile(config.Requests)
	if err != nil {
		return err
	}
	file, err := os.Create(config.Answers)
	if err != nil {
		return err
	}
	answers := bufio.NewWriter(file)

	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	ctx := context.Background()
	start := time.Now()
	before := cache.Stats()
	count := 0
	for index := config.Service; index*4 < len(requests); index += config.Services {
		id := binary.BigEndian.Uint32(requests[index*4:])
		asked := time.Now()
		value, err := scrubjay.GetOrFetch(ctx, cache, fmt.Sprintf("page:%d", id), ttl,
			func(ctx context.Context) (page, error) {
				page := page{ID: id}
				err := query.QueryRowContext(ctx, id).Scan(&page.Name, &page.Price, &page.Stock, &page.Text)
				return page, err
			})
		took := time.Since(asked)
		if err != nil {
			return err
		}
		if value.ID != id {
			return fmt.Errorf("page %d answered with %d", id, value.ID)
		}
		after := cache.Stats()
		tier := "l1"
		switch {
		case after.Loads > before.Loads:
			tier = "load"
		case after.HitsL2 > before.HitsL2:
			tier = "l2"
		}
		before = after
		fmt.Fprintf(answers, "%d %.1f %s\n", time.Since(start).Milliseconds(), float64(took.Nanoseconds())/1000, tier)
		count++
		if count%500 == 0 {
			fmt.Println(count)
		}
	}
	if err := answers.Flush(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := cache.Close(); err != nil {
		return err
	}
	fmt.Println("done", count)
	return nil
}
