// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Limits on one patch file. The largest patches posted to kernel lists are a few MiB.
const (
	maxPatchSize = 10 << 20 // bytes
	maxHunks     = 10_000
)

// A Patch is one file in the form that git format-patch writes.
type Patch struct {
	File   string `json:"file"`   // the path it was loaded from
	Number int    `json:"number"` // 1 is the first of its series; 0 for a patch without one
	Raw    []byte `json:"-"`      // the file's bytes

	Author  Person    `json:"author"`
	Date    time.Time `json:"date"`    // with the zone that the patch names
	Subject string    `json:"subject"` // decoded, in one line, without [PATCH ...]
	Prefix  string    `json:"-"`       // what stood in brackets: "PATCH v2 1/3"
	Body    string    `json:"-"`       // between the subject and ---, trailers included, as git am would keep it
	Notes   string    `json:"-"`       // between --- and the diff: remarks and the diffstat
	// Trailers are the lines of the body's last paragraph, where that is one of trailers.
	Trailers []Trailer `json:"-"`
	// Diff is what gitdiff made of the diff. It must not be changed.
	Diff []*gitdiff.File `json:"-"`
	// Lines tells where the parts begin in the file; 1 is the first line.
	Lines Lines `json:"-"`
}

// Lines are line numbers in a patch file; 1 is the first.
type Lines struct {
	Subject int
	Body    int     // first line after the header
	Notes   int     // the --- line; 0 where there is none
	Diff    int     // the first "diff --git"
	Files   []int   // each "diff --git", as in Patch.Diff
	Hunks   [][]int // each "@@" line of each file
}

// A Person is an author: a name and an address.
type Person struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

func (p Person) String() string { return p.Name + " <" + p.Email + ">" }

// A Trailer is one line such as "Link: https://...".
type Trailer struct {
	Key   string
	Value string // continuation lines joined with a space
	Line  int    // in the patch file
}

// Message is the commit message: the subject, and the body after an empty line.
func (p *Patch) Message() string {
	if p.Body == "" {
		return p.Subject + "\n"
	}
	return p.Subject + "\n\n" + p.Body
}

// Paths returns the paths that the patch reads or writes, each once, in the order of the patch.
func (p *Patch) Paths() []string {
	var out []string
	seen := map[string]bool{}
	for _, f := range p.Diff {
		for _, name := range []string{f.OldName, f.NewName} {
			if name != "" && !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

// LoadPatch reads a patch from a file, which must be a regular one. Errors about what it says are *InputError.
func LoadPatch(path string) (*Patch, error) {
	raw, err := readRegular(path, maxPatchSize)
	if err != nil {
		return nil, err
	}
	return ParsePatch(path, raw)
}

// readRegular reads a regular file of at most limit bytes. Whatever else has the name (a folder, a pipe that nobody
// writes to) is an error and not waited for.
func readRegular(path string, limit int64) ([]byte, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &InputError{File: path, Msg: "no such file", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("read patch series: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, &InputError{File: path, Msg: "is not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read patch series: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read patch series: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, &InputError{File: path, Msg: fmt.Sprintf("is larger than %d MiB, which is the limit", limit>>20)}
	}
	return b, nil
}

// ParsePatch parses a patch that stands in raw; file is its name for errors.
func ParsePatch(file string, raw []byte) (*Patch, error) {
	file = filepath.Clean(file)
	if err := checkText(file, raw); err != nil {
		return nil, err
	}
	p := &Patch{File: file, Raw: raw}
	rest, line, err := p.parseMessage()
	if err != nil {
		return nil, err
	}
	if err := p.parseDiff(rest, line); err != nil {
		return nil, err
	}
	return p, nil
}

// checkText refuses what cannot be a patch in a plain mail.
func checkText(file string, raw []byte) error {
	if len(raw) > maxPatchSize {
		return &InputError{File: file, Msg: fmt.Sprintf("is larger than %d MiB, which is the limit", maxPatchSize>>20)}
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return &InputError{File: file, Msg: "is empty"}
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return &InputError{File: file, Line: lineAt(raw, i), Msg: "NUL byte: this is not a text patch"}
	}
	if !utf8.Valid(raw) {
		i := 0
		for i < len(raw) {
			r, n := utf8.DecodeRune(raw[i:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			i += n
		}
		return &InputError{File: file, Line: lineAt(raw, i), Msg: fmt.Sprintf("byte 0x%02x is not UTF-8", raw[i])}
	}
	if i := bytes.Index(raw, []byte("\r\n")); i >= 0 {
		return &InputError{File: file, Line: lineAt(raw, i), Msg: "line ends in CR LF; save the patch as git format-patch wrote it, or run dos2unix"}
	}
	return nil
}

func lineAt(b []byte, i int) int { return 1 + bytes.Count(b[:i], []byte("\n")) }
