package source

import (
	"path"
	"regexp"
	"strconv"
	"time"
)

// How cameras and recorders write the start of a clip into its name. A name with two times has
// the start first.
var (
	clockTime = regexp.MustCompile(`(?:^|\D)(20\d\d)([-_.]?)(\d\d)[-_.]?(\d\d)(?:[T_\-. ]| at )?(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:\d{3})?(Z?)(?:\D|$)`)
	epoch     = regexp.MustCompile(`(?:^|\D)(1\d{9})(\d{3})?(?:\D|$)`)
	folders   = regexp.MustCompile(`(?:^|\D)(20\d\d)([-_./]?)(\d\d)[-_./]?(\d\d)/(?:.*\D)?(\d\d)[-_.:]?(\d\d)[-_.:]?(\d\d)(Z?)(?:\D|$)`)
)

// StartIn returns the moment that the name of a file tells, which may be a path with slashes:
// year to second in the camera's zone (in UTC when a Z follows), or seconds or milliseconds since
// 1970. When the clock was put back, an hour exists twice; the first is taken.
func StartIn(name string, zone *time.Location) (time.Time, bool) {
	base := path.Base(name)
	for _, m := range clockTime.FindAllStringSubmatch(base, -1) {
		if at, ok := civil(m, zone); ok {
			return at, true
		}
	}
	if m := epoch.FindStringSubmatch(base); m != nil {
		seconds, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return time.Time{}, false
		}
		millis, _ := strconv.ParseInt("0"+m[2], 10, 64)
		return time.UnixMilli(seconds*1000 + millis).UTC(), true
	}
	if m := folders.FindStringSubmatch(name); m != nil { // the day is a folder's name
		return civil(m, zone)
	}
	return time.Time{}, false
}

// civil makes a moment of year, separator, month, day, hour, minute, second and Z. A day or
// hour that does not exist is none.
func civil(m []string, zone *time.Location) (time.Time, bool) {
	var n [6]int
	for i, at := range [6]int{1, 3, 4, 5, 6, 7} {
		n[i], _ = strconv.Atoi(m[at]) // two or four digits
	}
	if m[8] == "Z" {
		zone = time.UTC
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, zone)
	if first := t.Add(-time.Hour); first.Format(time.DateTime) == t.Format(time.DateTime) {
		t = first
	}
	ok := n[1] >= 1 && n[1] <= 12 && n[3] < 24 && n[4] < 60 && n[5] < 60 && t.Day() == n[2]
	return t, ok
}
