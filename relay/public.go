package relay

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// PublicRate is how many leaves the public tree grows by each hour unless set otherwise.
const PublicRate = 12

// Published reports whether an event gets a public leaf of its own, so that its parties can
// prove it without the rest of the log. All others stand under the root of the log, which is
// one leaf of every hour.
func (k EventKind) Published() bool {
	switch k { //nolint:exhaustive // all others are not
	case RequestReceived, ReleaseGranted, ReleaseRevoked, ReleaseExpired, ReleaseShredded, LinkRevoked, CopyDestroyed, ReleaseAcknowledged,
		AgencyRegistered, KeyAdded, KeyChanged, RelayRestored, ClockFrozen, ClockAcknowledged:
		return true
	}
	return false
}

// PublicLeaf is the public form of a commitment: the hour of publication and the commitment.
func PublicLeaf(hour time.Time, commitment string) string {
	return fmt.Sprintf(`{"c":"%s","h":"%s","v":1}`, commitment, hour.UTC().Format("2006-01-02T15"))
}

// Commitment returns the commitment that a leaf, of the log or the public tree, holds.
func Commitment(text string) (string, error) {
	var l leaf
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return "", fmt.Errorf("the leaf is damaged: %w", err)
	}
	return l.C, nil
}

// Commit commits to text with a fresh salt, in hex.
func Commit(text string) (commitment, salt string) {
	s := make([]byte, 32)
	rand.Read(s) // never fails
	return commit(s, text), hex.EncodeToString(s)
}

func commit(salt []byte, text string) string {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// CommitToNothing returns what nobody can tell from a commitment.
func CommitToNothing() string {
	b := make([]byte, sha256.Size)
	rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}

// Shuffle puts the n leaves of an hour in an order that says nothing: whoever knows the place of
// one would otherwise learn how many real ones came before it.
func Shuffle(n int, swap func(i, j int)) error {
	for i := n - 1; i > 0; i-- {
		j, err := rand.Int(rand.Reader, big.NewInt(int64(i+1)))
		if err != nil {
			return err
		}
		swap(i, int(j.Int64()))
	}
	return nil
}

// TreeProof is the place of a leaf in a tree.
type TreeProof struct {
	Index  int64    `json:"index"`
	Hashes []string `json:"hashes"` // base64, from the leaf to the root
}

// NewTreeProof writes p for the leaf at index.
func NewTreeProof(index int64, p tlog.RecordProof) TreeProof {
	return TreeProof{Index: index, Hashes: hashTexts(p)}
}

func (p TreeProof) check(size int64, root, leaf tlog.Hash) error {
	hashes, err := parseHashes(p.Hashes)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(hashes, size, root, p.Index, leaf)
}

func hashTexts(p []tlog.Hash) []string {
	out := make([]string, len(p))
	for i, h := range p {
		out[i] = h.String()
	}
	return out
}

func parseHashes(texts []string) (out []tlog.Hash, err error) {
	for _, t := range texts {
		h, err := tlog.ParseHash(t)
		if err != nil {
			return nil, fmt.Errorf("a hash of the proof is damaged: %w", err)
		}
		out = append(out, h)
	}
	return out, nil
}

// EntryProof proves that an entry of the log stands in the public tree, whose checkpoints
// witnesses keep.
type EntryProof struct {
	Entry      Entry     `json:"entry"`      // opens its own leaf, unless it was forgotten
	Leaf       string    `json:"leaf"`       // of the public tree
	Place      TreeProof `json:"place"`      // of Leaf in the public tree
	Checkpoint string    `json:"checkpoint"` // signed, of the public tree

	// Where the entry has no public leaf of its own, Leaf commits to the root of the log, and the
	// entry stands under that.
	Log *LogProof `json:"log,omitempty"`
}

// LogProof is the place of an entry in the log itself.
type LogProof struct {
	Place TreeProof `json:"place"`
	Root  string    `json:"root"` // what the public leaf commits to: the log's name, size and root
	Salt  string    `json:"salt"` // hex
}

// Verify checks the proof against the log's key.
func (p EntryProof) Verify(key note.Verifier) error {
	if p.Entry.Event != nil { // whatever laid the proof out anew
		event, err := jcs.Transform(p.Entry.Event)
		if err != nil {
			return fmt.Errorf("entry %d: the event is damaged: %w", p.Entry.Index, err)
		}
		p.Entry.Event = event
	}
	if err := p.Entry.Check(); err != nil {
		return err
	}
	c, err := OpenCheckpoint([]byte(p.Checkpoint), key)
	if err != nil {
		return err
	}
	if c.Origin != PublicOrigin(key.Name()) {
		return fmt.Errorf("the checkpoint is of another log, %s", c.Origin)
	}
	if err := p.Place.check(c.Size, c.Root, tlog.RecordHash([]byte(p.Leaf))); err != nil {
		return fmt.Errorf("the leaf is not in the public tree: %w", err)
	}
	public, err := Commitment(p.Leaf)
	if err != nil {
		return err
	}
	if p.Log == nil {
		own, err := Commitment(p.Entry.Leaf)
		if err != nil {
			return err
		}
		if own != public {
			return errors.New("the public leaf is that of another entry")
		}
		return nil
	}
	salt, err := hex.DecodeString(p.Log.Salt)
	if err != nil || len(salt) != 32 {
		return errors.New("the salt of the root is damaged")
	}
	if commit(salt, p.Log.Root) != public {
		return errors.New("the public leaf commits to another root")
	}
	root, err := parseCheckpoint(p.Log.Root)
	if err != nil {
		return err
	}
	if root.Origin != key.Name() || p.Log.Place.Index != p.Entry.Index {
		return errors.New("the proof is of another entry")
	}
	if err := p.Log.Place.check(root.Size, root.Root, p.Entry.LeafHash()); err != nil {
		return fmt.Errorf("the entry is not in the log: %w", err)
	}
	return nil
}

// PublicOrigin names the public tree of the log origin.
func PublicOrigin(origin string) string { return origin + "/public" }

// GrowthProof proves that the public tree of an older checkpoint is the beginning of a newer one.
type GrowthProof struct {
	Old        string   `json:"old"`        // signed checkpoint; empty: of no leaves
	Hashes     []string `json:"hashes"`     // base64
	Checkpoint string   `json:"checkpoint"` // signed
}

// NewGrowthProof writes p for two checkpoints.
func NewGrowthProof(old, checkpoint string, p tlog.TreeProof) GrowthProof {
	return GrowthProof{Old: old, Hashes: hashTexts(p), Checkpoint: checkpoint}
}

// Verify checks the proof against the log's key.
func (p GrowthProof) Verify(key note.Verifier) error {
	now, err := OpenCheckpoint([]byte(p.Checkpoint), key)
	if err != nil {
		return err
	}
	if p.Old == "" {
		return nil // everything begins with nothing
	}
	old, err := OpenCheckpoint([]byte(p.Old), key)
	if err != nil {
		return err
	}
	if old.Origin != now.Origin {
		return errors.New("the two checkpoints are of different logs")
	}
	hashes, err := parseHashes(p.Hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(hashes, now.Size, now.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("the log of %d leaves is not the beginning of that of %d: it was rewritten: %w", old.Size, now.Size, err)
	}
	return nil
}

// ForWitness is the body of a C2SP add-checkpoint call to a witness that knows old leaves.
func (p GrowthProof) ForWitness(old int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range p.Hashes {
		b.WriteString(h + "\n")
	}
	return b.String() + "\n" + p.Checkpoint
}
