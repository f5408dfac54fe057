//go:build cgo && !(linux && amd64) && !scrubjay_dynamic

package platform

var _ int = "Scrubjay has a prebuilt library for linux/amd64 with glibc only: build libscrubjay for this platform, install it with its scrubjay.pc, and use -tags scrubjay_dynamic"
