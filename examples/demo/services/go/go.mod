module shop

go 1.24

require (
	github.com/mattn/go-sqlite3 v1.14.32
	scrubjay v0.0.0
)

replace scrubjay => ../../../../go
