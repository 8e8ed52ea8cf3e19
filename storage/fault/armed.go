//go:build fault

package fault

import (
	"os"
	"strings"
	"syscall"
)

// file holds the name of the moment at which the process ends.
var file string

// Arm names the file in which a test writes the name of a moment. The process that reaches the
// moment removes the file and ends.
func Arm(path string) string {
	file = path
	return path
}

// Point ends the process if name is the moment that the test chose.
func Point(name string) {
	if raw, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(raw)) != name || os.Remove(file) != nil {
		return
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// Before is the moment just before the change commits that event records.
func Before[E ~string](event E) { Point("before " + string(event)) }

// After is the moment right after that.
func After[E ~string](event E) { Point("after " + string(event)) }
