module scrubjay-crash

go 1.24

require scrubjay v0.0.0

replace scrubjay => ../../../../../go
