module scrubjay/benches/coherence

go 1.24.0

require scrubjay v0.0.0

replace scrubjay => ../../../go
