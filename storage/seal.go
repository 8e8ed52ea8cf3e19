package storage

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"

	"github.com/minio/sio"
)

// ErrTampered means that stored bytes are not what was sealed: changed, cut short, grown,
// swapped with another object, or sealed under another key.
var ErrTampered = errors.New("the stored bytes are not what was sealed")

// Key seals one object, and only one: whoever seals again makes a new key. It prints
// [redacted] everywhere. Do not keep it longer than its use takes, and in no unexported
// field of a struct that is printed, where fmt calls no method.
type Key [32]byte

// NewKey returns a random key.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails
	return k
}

// Format implements [fmt.Formatter] for every verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns "[redacted]".
func (Key) String() string { return redacted }

// MarshalJSON implements [json.Marshaler].
func (Key) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalText implements [encoding.TextMarshaler].
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements [slog.LogValuer].
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// Sealed describes what was sealed: the plaintext, not the stored bytes. It belongs in the
// row that names the object; OpenRange needs its size.
type Sealed struct {
	Bytes  int64    // length of the plaintext
	SHA256 [32]byte // digest of the plaintext
}

// The DARE 2.0 format: packages of 64 KiB, each with its own header and tag.
const (
	plainPackage  = 64 << 10
	sealedPackage = plainPackage + 32
)

// dare returns the settings of the format, which leave nothing to choose to stored bytes
// but the cipher: AES-256-GCM where the processor has it, else ChaCha20-Poly1305.
func dare(key Key, first uint32) sio.Config {
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, Key: key[:], SequenceNumber: first}
}

// SealTo encrypts what r yields under key and stores it under name, as a stream. Like
// [Objects] Put it never overwrites. Nothing to seal is an error.
func SealTo(ctx context.Context, objects Objects, name string, key Key, r io.Reader) (Sealed, error) {
	plain, err := measure(r)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal object %s: %w", name, err)
	}
	sealed, err := sio.EncryptReader(plain, dare(key, 0))
	if err != nil {
		return Sealed{}, fmt.Errorf("seal object %s: %w", name, err)
	}
	if err := objects.Put(ctx, name, sealed, -1); err != nil {
		return Sealed{}, err
	}
	return plain.sealed(), nil
}

// OpenRange decrypts length bytes of plaintext from offset, or all to the end when length
// is -1, with one ranged Get. size is the plaintext's length as [SealTo] returned it. The
// reader yields exactly the bytes asked for and then io.EOF; anything else is an error,
// [ErrTampered] when the stored bytes are to blame. Only authentic bytes are ever yielded,
// and a range that reaches the end yields its last bytes only when the object ends there
// too. The caller closes the reader. A missing object is [relay.ErrNotFound].
func OpenRange(ctx context.Context, objects Objects, name string, key Key, size, offset, length int64) (io.ReadCloser, error) {
	if length == -1 {
		length = size - offset
	}
	if offset < 0 || length < 0 || length > size-offset {
		return nil, fmt.Errorf("open object %s: a range of %d bytes from %d lies outside its %d bytes", name, length, offset, size)
	}
	if length == 0 {
		return http.NoBody, nil
	}
	first, end := offset/plainPackage, offset+length
	fetch := int64(-1) // to the end, so that bytes added there are noticed
	if end < size {
		fetch = ((end-1)/plainPackage - first + 1) * sealedPackage
	}
	body, err := objects.Get(ctx, name, first*sealedPackage, fetch)
	if err != nil {
		return nil, err
	}
	source := &source{r: body}
	plain, err := sio.DecryptReader(source, dare(key, uint32(first)))
	if err != nil {
		body.Close()
		return nil, fmt.Errorf("open object %s: %w", name, err)
	}
	return &opened{name: name, body: body, source: source, plain: plain, skip: offset - first*plainPackage, left: length, whole: end == size}, nil
}

// opened yields the plaintext of a range.
type opened struct {
	name   string
	body   io.Closer
	source *source
	plain  io.Reader
	skip   int64 // plaintext before the range, in its first package
	left   int64 // plaintext still to yield
	whole  bool  // the range reaches the object's end
	err    error // what every further Read says
}

func (o *opened) Read(p []byte) (int, error) {
	if o.err != nil || len(p) == 0 {
		return 0, o.err
	}
	n, err := o.read(p)
	if err != nil {
		o.err = err
	}
	return n, err
}

func (o *opened) read(p []byte) (int, error) {
	if o.left == 0 {
		return 0, io.EOF
	}
	if o.skip > 0 {
		if _, err := io.CopyN(io.Discard, o.plain, o.skip); err != nil {
			return 0, o.fault(err)
		}
		o.skip = 0
	}
	if int64(len(p)) > o.left {
		p = p[:o.left]
	}
	n, err := o.plain.Read(p)
	if n == 0 && err != nil {
		return 0, o.fault(err)
	}
	o.left -= int64(n) // an error beside bytes comes again, or is the end
	if o.left == 0 && o.whole {
		// The last bytes count only if the object ends with them. Most callers would never
		// read on to learn that it does not.
		if more, err := io.ReadFull(o.plain, make([]byte, 1)); more > 0 || err != io.EOF {
			return 0, o.fault(err)
		}
	}
	return n, nil
}

// fault tells a store that failed from stored bytes that are wrong.
func (o *opened) fault(err error) error {
	if o.source.err != nil {
		return fmt.Errorf("open object %s: %w", o.name, o.source.err)
	}
	return fmt.Errorf("open object %s: %w (%w)", o.name, ErrTampered, err)
}

// Close ends the request to the store.
func (o *opened) Close() error { return o.body.Close() }

// source remembers why reading stored bytes failed. Once it failed it goes on failing.
type source struct {
	r   io.Reader
	err error // never io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		// Not bare: a decrypter would take io.ErrUnexpectedEOF for a short last package.
		s.err = fmt.Errorf("read stored bytes: %w", err)
		err = s.err
	}
	return n, err
}

// measured counts and hashes what is read through it. Once it failed it goes on failing.
type measured struct {
	r    io.Reader
	n    int64
	hash hash.Hash
	err  error
}

// measure returns r measured, or an error when r yields nothing.
func measure(r io.Reader) (*measured, error) {
	b := bufio.NewReaderSize(r, plainPackage)
	if _, err := b.Peek(1); err == io.EOF {
		return nil, errors.New("there is nothing to seal: the source is empty")
	} else if err != nil {
		return nil, err
	}
	return &measured{r: b, hash: sha256.New()}, nil
}

func (m *measured) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.hash.Write(p[:n])
	if err != nil && err != io.EOF { //nolint:errorlint // an end is io.EOF itself; wrapped, it is a failure
		// Not bare: an encrypter would take io.ErrUnexpectedEOF for the source's end and seal
		// a part of it as the whole.
		err = fmt.Errorf("read the source: %w", err)
	}
	m.err = err
	return n, err
}

func (m *measured) sealed() Sealed {
	s := Sealed{Bytes: m.n}
	m.hash.Sum(s.SHA256[:0])
	return s
}
