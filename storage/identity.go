package storage

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Identity are the relay's own long-lived keys. They are files that only the relay's user
// may read, made at the first start and never changed by itself.
type Identity struct {
	Relay    ed25519.PrivateKey // signs receipts, links and manifests
	RelayKID string             // RFC 7638 thumbprint of its public half
	Audit    note.Signer        // signs checkpoints of the log
	AuditKey string             // verifier key of Audit (golang.org/x/mod/sumdb/note)
	secret   []byte
}

// OpenIdentity reads the keys in folder, or makes them. origin names the audit log.
func OpenIdentity(folder, origin string) (id Identity, err error) {
	defer wrap(&err, "open the relay's keys")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return id, err
	}
	seed, err := secretFile(filepath.Join(folder, "relay.key"), randomHex)
	if err != nil {
		return id, err
	}
	raw, err := hex.DecodeString(seed)
	if err != nil || len(raw) != 32 {
		return id, errors.New("relay.key is damaged: restore it from your backup of the keys folder")
	}
	id.Relay = ed25519.NewKeyFromSeed(raw)
	x := base64.RawURLEncoding.EncodeToString(id.Relay.Public().(ed25519.PublicKey))
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	id.RelayKID = base64.RawURLEncoding.EncodeToString(sum[:])

	var made error
	pair, err := secretFile(filepath.Join(folder, "audit.key"), func() string {
		s, v, err := note.GenerateKey(rand.Reader, origin)
		made = err
		return s + "\n" + v
	})
	if err = errors.Join(err, made); err != nil {
		return id, err
	}
	signer, verifier, _ := strings.Cut(pair, "\n")
	if id.Audit, err = note.NewSigner(signer); err != nil {
		return id, fmt.Errorf("audit.key is damaged: restore it from your backup of the keys folder: %w", err)
	}
	id.AuditKey = strings.TrimSpace(verifier)
	mac, err := secretFile(filepath.Join(folder, "mac.key"), randomHex)
	if err != nil {
		return id, err
	}
	id.secret, err = hex.DecodeString(mac)
	return id, err
}

// AuditVerifier checks what Audit signs.
func (id Identity) AuditVerifier() (note.Verifier, error) { return note.NewVerifier(id.AuditKey) }

// Secret derives a 32-byte secret for one use, such as "codes" or "jitter" (RFC 5869).
func (id Identity) Secret(use string) []byte {
	key, err := hkdf.Key(sha256.New, id.secret, nil, "cliplease "+use, 32)
	if err != nil {
		panic(err) // 32 bytes are never too many
	}
	return key
}

func randomHex() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// secretFile returns the text of a key file, and makes it with text from fresh when it is
// not there.
func secretFile(path string, fresh func() string) (string, error) {
	raw, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := writeKeyFile(path, []byte(fresh()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		raw, err = readKeyFile(path) // perhaps another process was faster
	}
	return strings.TrimSpace(string(raw)), err
}
