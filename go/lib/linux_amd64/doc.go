// Package linux_amd64 holds libscrubjay.a for Linux on x86-64 with glibc. It is a package so that `go mod vendor`
// keeps the folder.
package linux_amd64
