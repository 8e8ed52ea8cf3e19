package relay

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// FormatCheckpoint returns the text of a checkpoint (C2SP tlog-checkpoint): origin, tree
// size and root hash. It is signed with [note.Sign].
func FormatCheckpoint(origin string, size int64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)
}

// Checkpoint is a signed statement of the log's size and root.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// OpenCheckpoint checks the signature on a checkpoint note and reads it.
func OpenCheckpoint(signed []byte, key note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	for _, s := range n.Sigs { // note takes a signature that is written in more than one way
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("checkpoint: its signature is damaged: %w", err)
		}
	}
	return parseCheckpoint(n.Text)
}

// parseCheckpoint reads the text of a checkpoint.
func parseCheckpoint(text string) (c Checkpoint, err error) {
	var root string
	if _, err := fmt.Sscanf(text, "%s\n%d\n%s\n", &c.Origin, &c.Size, &root); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: the text is damaged: %w", err)
	}
	if c.Root, err = tlog.ParseHash(root); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: the root is damaged: %w", err)
	}
	if text != FormatCheckpoint(c.Origin, c.Size, c.Root) {
		return Checkpoint{}, fmt.Errorf("checkpoint: the text has more than it should")
	}
	return c, nil
}

// ExportedEntry is one line of an exported log: an entry, and the hash of its leaf as it was
// stored when the entry was written, by which a changed leaf is found.
type ExportedEntry struct {
	Entry
	Hash string `json:"hash,omitempty"` // base64; empty in logs that were exported without
}

// VerifyLog reads an exported log, one [ExportedEntry] a line of JSON, and checks it against signed
// checkpoints: every entry opens its own leaf, and the leaves hash to the root that each
// checkpoint states at its size. It names the first bad entry, or, where all that is stored
// with an entry was changed alike, the entries among which it is. It returns how many entries it
// read. Every checkpoint must lie inside the export, and at least one is needed.
func VerifyLog(export io.Reader, checkpoints []Checkpoint) (int64, error) {
	if len(checkpoints) == 0 {
		return 0, fmt.Errorf("no checkpoint to check the log against")
	}
	var tree Tree
	for _, c := range checkpoints {
		if c.Size == 0 && c.Root != emptyRoot {
			return 0, fmt.Errorf("the checkpoint of the empty log states another root than that of nothing")
		}
	}
	good := int64(0) // entries that a checkpoint has confirmed
	in := bufio.NewScanner(export)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var e ExportedEntry
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			return tree.Size(), fmt.Errorf("entry %d cannot be read: %w", tree.Size(), err)
		}
		if e.Index != tree.Size() {
			return tree.Size(), fmt.Errorf("entry %d is missing: %d stands in its place", tree.Size(), e.Index)
		}
		if err := e.Check(); err != nil {
			return tree.Size(), err
		}
		if e.Hash != "" && e.Hash != e.LeafHash().String() {
			return tree.Size(), fmt.Errorf("entry %d: its leaf is not the one that was logged", e.Index)
		}
		if err := tree.Append(e.Leaf); err != nil {
			return tree.Size(), err
		}
		for _, c := range checkpoints {
			if c.Size != tree.Size() {
				continue
			}
			root, err := tree.Root()
			if err != nil {
				return tree.Size(), err
			}
			if root != c.Root {
				return tree.Size(), fmt.Errorf("entries %d to %d are not those of the checkpoint of %d: one of them was changed, or the log was rewritten", good, tree.Size()-1, c.Size)
			}
			good = c.Size
		}
	}
	n := tree.Size()
	if err := in.Err(); err != nil {
		return n, err
	}
	for _, c := range checkpoints {
		if c.Size > n {
			return n, fmt.Errorf("the log ends after %d entries, a checkpoint states %d: entries are missing at the end", n, c.Size)
		}
	}
	return n, nil
}

// Tree is the Merkle tree of a log in memory. The zero Tree is empty.
type Tree struct {
	size   int64
	hashes hashList
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Append adds the next leaf.
func (t *Tree) Append(leaf string) error {
	add, err := tlog.StoredHashes(t.size, []byte(leaf), t.hashes)
	if err != nil {
		return err
	}
	t.hashes = append(t.hashes, add...)
	t.size++
	return nil
}

// Root is the hash of all leaves.
func (t *Tree) Root() (tlog.Hash, error) { return tlog.TreeHash(t.size, t.hashes) }

// Differs compares the hashes that are stored for the tree, in their order, with those of its
// leaves. It returns the index of the first that differs or is missing or too much, or -1.
func (t *Tree) Differs(stored []tlog.Hash) int {
	for i := range max(len(stored), len(t.hashes)) {
		if i >= len(stored) || i >= len(t.hashes) || stored[i] != t.hashes[i] {
			return i
		}
	}
	return -1
}

// emptyRoot is the root of a tree without leaves (RFC 6962): the hash of nothing.
var emptyRoot = tlog.Hash(sha256.Sum256(nil))

// hashList is a [tlog.HashReader] over hashes in memory.
type hashList []tlog.Hash

func (h hashList) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(h)) {
			return nil, fmt.Errorf("hash %d of %d is missing", x, len(h))
		}
		out[i] = h[x]
	}
	return out, nil
}
