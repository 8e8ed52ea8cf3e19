package media

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"cliplease/relay"
)

// span is a part of a file: the bytes from, from+1, … to-1.
type span struct{ from, to int64 }

func (p span) size() int64 { return p.to - p.from }

var errOutside = errors.New("the range lies outside the file")

// parseRange returns the part of a file of size bytes that a request asks for, and whether
// the answer is a partial one. A header that is not understood is ignored (RFC 9110, 14.2).
func parseRange(h http.Header, size int64) (part span, partial bool, err error) {
	whole := span{0, size}
	spec, ok := strings.CutPrefix(strings.Join(h.Values("Range"), ","), "bytes=")
	if !ok || h.Get("If-Range") != "" { // nothing that If-Range could name is ever sent
		return whole, false, nil
	}
	if strings.Contains(spec, ",") {
		spec = "0-" // several at once would only multiply the work
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return whole, false, nil
	}
	part = whole
	switch {
	case first == "": // the last n bytes
		n, valid := number(last)
		if !valid {
			return whole, false, nil
		}
		if n == 0 {
			return whole, false, errOutside
		}
		part.from = max(0, size-n)
	default:
		var valid bool
		if part.from, valid = number(first); !valid {
			return whole, false, nil
		}
		if last != "" {
			to, valid := number(last)
			if !valid || to < part.from {
				return whole, false, nil
			}
			part.to = min(size, to+1)
		}
	}
	if part.from >= size {
		return whole, false, errOutside
	}
	part.to = min(part.to, part.from+relay.RangeMax)
	return part, true, nil
}

// number reads digits and nothing else. A number too large for a file is the largest.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > 1<<62 {
		n = 1 << 62
	}
	return n, true
}
