module scrubjay

go 1.24
