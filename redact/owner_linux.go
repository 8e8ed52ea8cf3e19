package redact

import (
	"os"
	"syscall"
)

// ownedByMe says whether a file belongs to the user that this process runs as.
func ownedByMe(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid(), nil
}
