package storage

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"cliplease/relay"

	"golang.org/x/crypto/chacha20poly1305"
)

// spool is the folder of what has come of unfinished uploads: one file each, of sealed pieces of
// pieceSize bytes, the last one shorter. So the length of a file says how much of an upload is
// there, after a crash as well: a piece that was cut off in the middle is written over.
type spool struct{ dir string }

const (
	pieceSize     = 64 << 10
	pieceOverhead = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
	uploadContext = "upload" // of the key of an upload
)

func openSpool(dir string) (spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return spool{}, fmt.Errorf("folder for uploads: %w", err)
	}
	return spool{dir}, nil
}

func (s spool) path(id string) string { return filepath.Join(s.dir, filepath.Base(id)) }

// remove deletes the pieces of an upload; none are no error.
func (s spool) remove(id string) error {
	err := os.Remove(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ids returns the uploads that have pieces.
func (s spool) ids() (ids []string, err error) {
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, err
}

// seals names what a piece belongs to, so that pieces cannot be swapped.
func seals(id string, n int64) []byte { return binary.BigEndian.AppendUint64([]byte(id), uint64(n)) }

// UploadedBytes returns how many bytes of an upload are there. All of those of one that became a
// clip are.
func (s *Store) UploadedBytes(u relay.Upload) (int64, error) {
	if u.ClipID != "" {
		return u.Size, nil
	}
	info, err := os.Stat(s.spool.path(u.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	whole, rest := info.Size()/(pieceSize+pieceOverhead), info.Size()%(pieceSize+pieceOverhead)
	if last := u.Size % pieceSize; whole == u.Size/pieceSize && last > 0 && rest == last+pieceOverhead {
		return u.Size, nil
	}
	return whole * pieceSize, nil
}

// AppendUpload seals what body yields to the end of u, of which offset bytes are there, and returns
// how many bytes more are there now. Whole pieces are kept of a body that breaks off, which is no
// error here. One caller at a time; another offset than [Store.UploadedBytes] is [relay.ErrConflict].
func (s *Store) AppendUpload(ctx context.Context, u relay.Upload, offset int64, body io.Reader) (n int64, err error) {
	defer wrap(&err, "append to an upload")
	have, err := s.UploadedBytes(u)
	if err != nil {
		return 0, err
	}
	if have != offset {
		return 0, relay.ErrConflict
	}
	aead, err := s.uploadCipher(ctx, u)
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(s.spool.path(u.ID), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	place := offset / pieceSize
	if err := f.Truncate(place * (pieceSize + pieceOverhead)); err != nil {
		return 0, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	plain := make([]byte, pieceSize)
	for offset+n < u.Size {
		piece := plain[:min(pieceSize, u.Size-offset-n)]
		if _, err := io.ReadFull(body, piece); err != nil {
			break // the next request brings it again
		}
		nonce := make([]byte, chacha20poly1305.NonceSizeX)
		rand.Read(nonce)
		if _, err := f.Write(aead.Seal(nonce, nonce, piece, seals(u.ID, place))); err != nil {
			return n, full(err, s.spool.dir)
		}
		place, n = place+1, n+int64(len(piece))
	}
	return n, full(f.Sync(), s.spool.dir)
}

func (s *Store) uploadCipher(ctx context.Context, u relay.Upload) (cipher.AEAD, error) {
	key, err := s.Keys.Get(ctx, u.ID, uploadContext)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(key[:])
}

// OpenUpload yields what has come of an upload. Bytes that are not what was sealed are
// [ErrTampered]. The caller closes the reader.
func (s *Store) OpenUpload(ctx context.Context, u relay.Upload) (_ io.ReadCloser, err error) {
	defer wrap(&err, "open an upload")
	aead, err := s.uploadCipher(ctx, u)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.spool.path(u.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, relay.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &pieces{id: u.ID, file: f, aead: aead, sealed: make([]byte, pieceSize+pieceOverhead)}, nil
}

// pieces reads a file of the spool.
type pieces struct {
	id     string
	file   *os.File
	aead   cipher.AEAD
	next   int64
	sealed []byte
	plain  []byte // of the piece that is being read
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.plain) == 0 {
		n, err := io.ReadFull(p.file, p.sealed)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err // io.EOF at the end of the last piece
		}
		if n <= pieceOverhead {
			return 0, ErrTampered
		}
		nonce, sealed := p.sealed[:chacha20poly1305.NonceSizeX], p.sealed[chacha20poly1305.NonceSizeX:n]
		if p.plain, err = p.aead.Open(sealed[:0], nonce, sealed, seals(p.id, p.next)); err != nil {
			return 0, ErrTampered
		}
		p.next++
	}
	n := copy(b, p.plain)
	p.plain = p.plain[n:]
	return n, nil
}

func (p *pieces) Close() error { return p.file.Close() }
