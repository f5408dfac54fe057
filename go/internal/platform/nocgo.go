//go:build !cgo

package platform

var _ int = "Scrubjay needs cgo: build with CGO_ENABLED=1 and a C compiler (Debian: apt install gcc; Alpine is not supported yet)"
