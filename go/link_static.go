//go:build linux && amd64 && !scrubjay_dynamic

package scrubjay

// #cgo LDFLAGS: ${SRCDIR}/lib/linux_amd64/libscrubjay.a -lgcc_s -lutil -lrt -lpthread -lm -ldl
import "C"

import (
	// Keeps the folder of the library when the module is vendored.
	_ "scrubjay/lib/linux_amd64"
)
