//go:build scrubjay_dynamic

package scrubjay

// #cgo pkg-config: scrubjay
import "C"
