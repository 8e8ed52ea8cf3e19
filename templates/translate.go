package templates

import (
	"regexp"
	"strings"
)

// A message of a page is what stands on one line of the source between two tags that break the
// line: a sentence with its values and its markup, so that a translator can move them.
const (
	action = `\{\{.*?\}\}`
	tag    = `<(?:[^<>{}"']|"(?:` + action + `|[^"])*"|'[^']*'|` + action + `)*>`
)

var (
	piece     = regexp.MustCompile(`(?s)` + action + `|` + tag + `|\n`)
	inline    = regexp.MustCompile(`^</?(?:a|strong|em|code|span|br|time|s)\b`)
	attribute = regexp.MustCompile(`(?s)\b(aria-label|placeholder|title|alt)="((?:` + action + `|[^"{])*)"`)
	silent    = regexp.MustCompile(`(?s)` + action + `|` + tag + `|&\w+;`)
	letters   = regexp.MustCompile(`[A-Za-z]{2}`)
)

// translate returns the source of a page with each of its messages as put gives it.
func translate(source string, put func(message string) string) string {
	var out strings.Builder
	var run []string // what may be a message
	flush := func() {
		before, message, after := trim(run)
		for _, p := range before {
			out.WriteString(p)
		}
		text := strings.Join(message, "")
		if core := strings.TrimSpace(text); letters.MatchString(silent.ReplaceAllString(core, "")) {
			lead, tail, _ := strings.Cut(text, core)
			text = lead + put(core) + tail
		}
		out.WriteString(text)
		for _, p := range after {
			out.WriteString(p)
		}
		run = nil
	}
	at := 0
	for _, m := range piece.FindAllStringIndex(source, -1) {
		if m[0] > at {
			run = append(run, source[at:m[0]])
		}
		p := source[m[0]:m[1]]
		at = m[1]
		if strings.HasPrefix(p, "{{") || inline.MatchString(p) {
			run = append(run, p)
			continue
		}
		flush()
		out.WriteString(p)
	}
	run = append(run, source[at:])
	flush()
	return attribute.ReplaceAllStringFunc(out.String(), func(a string) string {
		m := attribute.FindStringSubmatch(a)
		if !letters.MatchString(silent.ReplaceAllString(m[2], "")) {
			return a
		}
		return m[1] + `="` + put(m[2]) + `"`
	})
}

// trim takes off space, and tags that stand around all of the rest.
func trim(run []string) (before, message, after []string) {
	from, to := 0, len(run)
	for {
		for from < to && strings.TrimSpace(run[from]) == "" {
			from++
		}
		for to > from && strings.TrimSpace(run[to-1]) == "" {
			to--
		}
		if to-from < 3 || !surrounds(run[from:to]) {
			return run[:from], run[from:to], run[to:]
		}
		from, to = from+1, to-1
	}
}

// surrounds reports whether the first piece is a tag that the last one closes.
func surrounds(run []string) bool {
	if opens(run[0]) != 1 || opens(run[len(run)-1]) != -1 {
		return false
	}
	depth := 0
	for _, p := range run[:len(run)-1] {
		if depth += opens(p); depth == 0 {
			return false
		}
	}
	return true
}

// opens is 1 for a tag that opens an element, -1 for one that closes it, else 0.
func opens(p string) int {
	switch {
	case strings.HasPrefix(p, "</"):
		return -1
	case strings.HasPrefix(p, "<") && !strings.HasPrefix(p, "<br"):
		return 1
	}
	return 0
}

// translateLines does for the source of a mail what translate does for a page; each line is a message.
func translateLines(source string, put func(message string) string) string {
	lines := strings.Split(source, "\n")
	for i, l := range lines {
		if letters.MatchString(silent.ReplaceAllString(l, "")) {
			lines[i] = put(l)
		}
	}
	return strings.Join(lines, "\n")
}

// scriptMessage is a message of a script: what its function t is called with.
var scriptMessage = regexp.MustCompile(`\bt\("((?:[^"\\]|\\.)*)"`)
