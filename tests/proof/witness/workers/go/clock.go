package main

// #include <time.h>
import "C"

// clockOfTheDay asks the C library, as the cache does: Go's own calls go past it to the kernel.
func clockOfTheDay() int64 { return int64(C.time(nil)) }
