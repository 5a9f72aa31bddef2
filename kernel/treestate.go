// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A treeState is the journal of a tree. Every file that is neither in Files nor in Pending is a hard link to the base's.
// It is on disk before the first file of a change is touched, with the files in Pending, and again when all are done.
type treeState struct {
	ID      string              `json:"id"`   // of this folder: another one when object files made from it are worth nothing
	Base    string              `json:"base"` // content hash
	Files   map[string]treeFile `json:"files"`
	Pending []string            `json:"pending,omitempty"`
	Time    time.Time           `json:"time"`
}

// A treeFile is what was last put at a path. Mode 0 means that nothing is there.
type treeFile struct {
	Mode  uint32 `json:"mode"`
	Sum   string `json:"sum,omitempty"`
	Stamp stamp  `json:"stamp"`
}

func readState(name string) (*treeState, bool) {
	data, err := os.ReadFile(name)
	var st treeState
	if err != nil || json.Unmarshal(data, &st) != nil || st.ID == "" || st.Base == "" {
		return nil, false
	}
	if st.Files == nil {
		st.Files = map[string]treeFile{}
	}
	return &st, true
}

func newID() string { return rand.Text() }

// content is what a path should have or has: an entry without a path, or nothing (mode 0).
type content struct {
	mode uint32
	sum  digest
}

// onDisk reads what is at a path below root, following no link.
func onDisk(root, name string) (content, error) {
	fi, err := lstatIn(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return content{}, nil
	}
	if err != nil {
		return content{}, err
	}
	c := content{mode: manifestMode(fi.Mode())}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(filepath.Join(root, name))
		if err != nil {
			return content{}, err
		}
		c.sum = sha256.Sum256([]byte(target))
	case fi.Mode().IsRegular():
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return content{}, err
		}
		c.sum = sha256.Sum256(data)
	case fi.IsDir(): // no file
		return content{}, nil
	default: // like nothing that could be wanted
		c.mode = 1
	}
	return c, nil
}

// recorded returns what the journal says is at a path, if nothing speaks against it.
func (st *treeState) recorded(root, name string) (content, bool) {
	f, ok := st.Files[name]
	if !ok {
		return content{}, false
	}
	fi, err := lstatIn(root, name)
	if f.Mode == 0 {
		return content{}, errors.Is(err, fs.ErrNotExist) || err == nil && fi.IsDir()
	}
	if err != nil || stampOf(fi) != f.Stamp || f.Stamp.fresh(st.Time) {
		return content{}, false
	}
	c := content{mode: f.Mode}
	if n, err := hex.Decode(c.sum[:], []byte(f.Sum)); err != nil || n != len(c.sum) {
		return content{}, false
	}
	return c, true
}

func (st *treeState) record(name string, c content, s stamp) {
	f := treeFile{Mode: c.mode, Stamp: s}
	if c.mode != 0 {
		f.Sum = hex.EncodeToString(c.sum[:])
	}
	st.Files[name] = f
}
