package redact

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if code, ran := Child(); ran {
		os.Exit(code)
	}
	os.Exit(m.Run())
}
