package relay

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The errors that callers tell apart with [errors.Is]. Everything else is a fault.
var (
	ErrNotFound = errors.New("not found")               // no such thing, or none that the caller may know of
	ErrConflict = errors.New("changed by someone else") // another writer moved it first, or the name is taken
	ErrState    = errors.New("not possible now")        // the thing is not in a state that allows the move
	ErrPolicy   = errors.New("not allowed")             // a rule or a role says no
)

// InvalidError is bad input: which field, and a sentence that says what would be right.
type InvalidError struct {
	Field  string // the claim or form field, dotted as in "scope.from"; empty when the whole is wrong
	Reason string // a sentence for the person who sent it

	format string // Reason before its values were put in
	args   []any
}

// Say writes the reason with another way to fill a sentence than [fmt.Sprintf], such as one that
// knows the sentence in another language.
func (e *InvalidError) Say(fill func(sentence string, values ...any) string) string {
	if e.format == "" {
		return e.Reason
	}
	return fill(e.format, e.args...)
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Invalid returns an [InvalidError] for field.
func Invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...), format: format, args: args}
}

// NewID returns a random identifier of 130 bits in lower-case base32. Identifiers are never
// counters: their order and number must tell nothing.
func NewID() string { return strings.ToLower(rand.Text()) }

// Stamp writes t as every document of ours does: RFC 3339, UTC, whole seconds.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
