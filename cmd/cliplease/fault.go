//go:build fault

package main

import (
	"os"

	"cliplease/storage/fault"
)

// The file that FAULT_FILE names says at which moment this process ends.
var _ = fault.Arm(os.Getenv("FAULT_FILE"))
