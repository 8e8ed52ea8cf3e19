package templates

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/language"
)

// The pages, mails and scripts are written in English. A file of messages/ holds the same words in
// another language: each English message, as it stands in the source, with what is shown instead.
// A page is translated before it is parsed, so what escapes values is html/template in every language.

// Lang is a language that pages and mails are shown in.
type Lang string

// The languages. English is what the sources are written in and what everything falls back to.
const (
	English Lang = "en"
	Dutch   Lang = "nl"
)

// Languages lists every language, the source's first.
func Languages() []Lang { return []Lang{English, Dutch} }

// Name is what a language calls itself.
func (l Lang) Name() string {
	if l == Dutch {
		return "Nederlands"
	}
	return "English"
}

// Known reports whether pages can be shown in l.
func (l Lang) Known() bool { return l == English || l == Dutch }

var matcher = language.NewMatcher([]language.Tag{language.English, language.Dutch})

// Accepted is the language that suits the header Accept-Language best.
func Accepted(header string) Lang {
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return English
	}
	_, i, _ := matcher.Match(tags...)
	return Languages()[i]
}

// catalogue is a file of messages/.
type catalogue struct {
	Nouns    map[string][2]string `json:"nouns"`    // that are counted: one, and many
	Messages map[string]string    `json:"messages"` // by the English message
}

var catalogues = sync.OnceValues(func() (map[Lang]catalogue, error) {
	out := map[Lang]catalogue{English: {}}
	for _, l := range Languages()[1:] {
		raw, err := files.ReadFile("messages/" + string(l) + ".json")
		if err != nil {
			return nil, err
		}
		var c catalogue
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			return nil, fmt.Errorf("messages of %s: %w", l, err)
		}
		out[l] = c
	}
	return out, nil
})

// look finds a message. What has no translation is shown in English rather than not at all.
func (l Lang) look(message string) string {
	all, err := catalogues()
	if err != nil {
		return message
	}
	if m, ok := all[l].Messages[message]; ok {
		return m
	}
	return message
}

// T is an English message in l, its verbs (see [fmt.Sprintf]) filled with args.
func (l Lang) T(message string, args ...any) string {
	if len(args) == 0 {
		return l.look(message)
	}
	return fmt.Sprintf(l.look(message), args...)
}

// Sentence is T for what is wrong with input: of its args those are put into l that are messages themselves.
func (l Lang) Sentence(message string, args ...any) string {
	said := make([]any, len(args))
	for i, a := range args {
		if s, ok := a.(string); ok {
			a = l.look(s)
		}
		said[i] = a
	}
	return l.T(message, said...)
}

// Plural writes a count with its English noun in l: "1 view", "3 views".
func (l Lang) Plural(n int, noun string) string {
	forms := [2]string{noun, noun + "s"}
	if all, err := catalogues(); err == nil {
		if f, ok := all[l].Nouns[noun]; ok {
			forms = f
		}
	}
	if n == 1 {
		return "1 " + forms[0]
	}
	return fmt.Sprintf("%d %s", n, forms[1])
}

// Span writes a length of time for a person, in its two largest units.
func (l Lang) Span(d time.Duration) string {
	d = d.Round(time.Second)
	type unit struct {
		length time.Duration
		name   string
	}
	var parts []string
	for _, u := range []unit{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.length); n > 0 && len(parts) < 2 {
			parts = append(parts, l.Plural(n, u.name))
			d -= time.Duration(n) * u.length
		} else if len(parts) > 0 {
			break
		}
	}
	if len(parts) == 0 {
		return l.Plural(0, "second")
	}
	return strings.Join(parts, " ")
}

// Time writes a moment by a layout of package time, with the names of days and months in l.
func (l Lang) Time(t time.Time, layout string) string {
	s := t.Format(layout)
	if l != Dutch {
		return s
	}
	return english.ReplaceAllStringFunc(s, func(name string) string { return dutchDates[name] })
}

var (
	dutchDates = map[string]string{
		"Monday": "maandag", "Tuesday": "dinsdag", "Wednesday": "woensdag", "Thursday": "donderdag", "Friday": "vrijdag", "Saturday": "zaterdag", "Sunday": "zondag",
		"Mon": "ma", "Tue": "di", "Wed": "wo", "Thu": "do", "Fri": "vr", "Sat": "za", "Sun": "zo",
		"January": "januari", "February": "februari", "March": "maart", "April": "april", "May": "mei", "June": "juni", "July": "juli",
		"August": "augustus", "September": "september", "October": "oktober", "November": "november", "December": "december",
		"Jan": "jan", "Feb": "feb", "Mar": "mrt", "Apr": "apr", "Jun": "jun", "Jul": "jul", "Aug": "aug", "Sep": "sep", "Oct": "okt", "Nov": "nov", "Dec": "dec",
	}
	english = regexp.MustCompile(`\b(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|May|June|July|August|September|October|November|December|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b`)
)

// When writes a moment for a person, in the zone that t carries, with the zone named.
func (l Lang) When(t time.Time) string {
	if t.IsZero() {
		return l.T("never")
	}
	return l.Time(t, "Mon 2 Jan 2006, 15:04 MST")
}

// scriptMessages is a script that hands the messages of all scripts to them in l.
func scriptMessages(l Lang) ([]byte, error) {
	messages, err := messagesOfScripts()
	if err != nil {
		return nil, err
	}
	words := map[string]string{}
	for _, m := range messages {
		words[m] = l.look(m)
	}
	raw, err := json.Marshal(words)
	return append(append([]byte("\"use strict\";\nconst messages = "), raw...), ";\n"...), err
}

// messagesOfScripts lists what the scripts call t with.
func messagesOfScripts() ([]string, error) {
	names, err := fs.Glob(files, "static/*.js")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		raw, err := files.ReadFile(n)
		if err != nil {
			return nil, err
		}
		for _, m := range scriptMessage.FindAllStringSubmatch(string(raw), -1) {
			out = append(out, m[1])
		}
	}
	return out, nil
}

type langKey struct{}

// Into returns a context whose pages are in l.
func (l Lang) Into(ctx context.Context) context.Context { return context.WithValue(ctx, langKey{}, l) }

// Spoken is the language that the pages of ctx are in; English when none was chosen.
func Spoken(ctx context.Context) Lang {
	if l, ok := ctx.Value(langKey{}).(Lang); ok {
		return l
	}
	return English
}
