module scrubjay/benches/common

go 1.24.0
