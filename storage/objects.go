package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"cliplease/relay"
)

// Objects keeps sealed bytes under random names. What it is given is ciphertext already: a
// store is never trusted with a picture. [Dir] and [S3] implement it, and one test suite
// holds both to the promises below.
//
// A name is 1 to 128 letters, digits, '-' and '_', beginning with a letter or digit. There
// are no folders; List finds by prefix.
type Objects interface {
	// Put stores what r yields under name, and is durable when it returns nil. A size of 0 or
	// more is what r must yield, exactly; -1 means unknown. A name is written once: a name
	// that exists, whatever its content, is [relay.ErrConflict] and the object stays as it
	// was. When Put fails, the name does not exist, unless the answer of a remote store was
	// lost: then the object is whole, and a second Put says ErrConflict.
	Put(ctx context.Context, name string, r io.Reader, size int64) error

	// Get reads length bytes from offset in one request; a length of -1 means to the end. An
	// object that ends earlier yields fewer bytes and no error. A missing object is
	// [relay.ErrNotFound], from Get itself.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// Delete removes the object, every version of it and every unfinished upload to its name.
	// A missing object is no error.
	Delete(ctx context.Context, name string) error

	// List yields the objects whose names begin with prefix, in the order of their names. It
	// ends after the first error. Things in the store that are not ours are left out.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]

	// Check reports whether the store can be reached and written, and really forgets what is
	// deleted (no versioning, no object lock). Its error says what to do.
	Check(ctx context.Context) error
}

// Object describes one stored object.
type Object struct {
	Name     string
	Size     int64     // stored bytes, so of the ciphertext
	Modified time.Time // when it was stored, UTC
}

// checkFor bounds one [Objects] Check, so that a store that does not answer is "not ready"
// and not a page that hangs.
const checkFor = 5 * time.Second

// validName reports whether name can be an object's: it must mean the same in a folder and
// in a bucket, and never a path.
func validName(name string) bool {
	if len(name) == 0 || len(name) > 128 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '_'):
		default:
			return false
		}
	}
	return true
}

// checkName is validName as an error.
func checkName(name string) error {
	if validName(name) {
		return nil
	}
	return fmt.Errorf("object name %q: use 1 to 128 letters, digits, '-' and '_', beginning with a letter or digit", name)
}

// checkRange refuses a range that no object can have.
func checkRange(offset, length int64) error {
	if offset < 0 || length == 0 || length < -1 {
		return fmt.Errorf("range of %d bytes from %d: ask for at least one byte, or -1 for all to the end", length, offset)
	}
	return nil
}

// sized yields what r yields and fails at its end unless that were exactly want bytes;
// -1 allows any number. It also ends when ctx does, which plain files would not notice.
type sized struct {
	ctx  context.Context
	r    io.Reader
	want int64
	got  int64
}

func (s *sized) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	s.got += int64(n)
	switch {
	case s.want < 0:
	case s.got > s.want:
		return n, fmt.Errorf("more than the %d bytes announced", s.want)
	case errors.Is(err, io.EOF) && s.got < s.want:
		return n, fmt.Errorf("%d of the %d bytes announced: %w", s.got, s.want, io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // an end is io.EOF itself; wrapped, it is a failure
		// Wrapped, so that a source that broke off with a bare io.ErrUnexpectedEOF is never
		// taken for one that io.ReadFull read to its end.
		err = fmt.Errorf("read the source: %w", err)
	}
	return n, err
}

// limited is a reader bounded apart from what closes it.
type limited struct {
	io.Reader
	io.Closer
}

// Secret is a password or key of the configuration. It prints [redacted] everywhere; convert
// it to a string where its value is needed.
type Secret string

const redacted = "[redacted]"

// Format implements [fmt.Formatter] for every verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// MarshalText implements [encoding.TextMarshaler], for JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// The implementations are held to the interface here.
var (
	_ Objects = (*Dir)(nil)
	_ Objects = (*S3)(nil)
)

// missing returns the error for an object that is not there.
func missing(name string) error { return fmt.Errorf("object %s: %w", name, relay.ErrNotFound) }

// taken returns the error for a name that is in use.
func taken(name string) error {
	return fmt.Errorf("object %s exists already: %w", name, relay.ErrConflict)
}
