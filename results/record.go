// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Errors that a caller may tell apart.
var (
	ErrHash      = errors.New("the record does not match its own hash: it was changed after it was written")
	ErrTruncated = errors.New("the record is truncated")
	ErrInvalid   = errors.New("the record is not valid")
)

// maxRecord bounds what Load reads: a record is some hundred KB, so more than this is no record.
const maxRecord = 64 << 20

// Encode sorts the record, fills Format and Hash, checks it and returns its file form: JSON with sorted keys, two
// spaces of indentation and one newline at the end. The same record gives the same bytes.
func Encode(r *Run) ([]byte, error) {
	r.Format = Format
	r.Started, r.Finished = r.Started.UTC().Round(0), r.Finished.UTC().Round(0)
	r.sort()
	if err := r.Check(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	obj, err := decodeAny(raw)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	if r.Hash, err = hashOf(obj); err != nil {
		return nil, err
	}
	obj["sha256"] = r.Hash
	return indented(obj)
}

// Decode reads a record and checks it strictly: the form, the hash, unknown fields, and that what it says can be.
func Decode(rd io.Reader) (*Run, error) {
	data, err := io.ReadAll(io.LimitReader(rd, maxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if len(data) > maxRecord {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrInvalid, maxRecord)
	}
	obj, err := decodeAny(data)
	if err != nil {
		return nil, err
	}
	if format, ok := obj["format"].(json.Number); ok && format.String() != fmt.Sprint(Format) {
		return nil, fmt.Errorf("%w: format %s, this program reads %d", ErrInvalid, format, Format)
	}
	want, err := hashOf(obj)
	if err != nil {
		return nil, err
	}
	have, _ := obj["sha256"].(string)
	if have == "" {
		return nil, fmt.Errorf("%w: it has no sha256 field", ErrHash)
	}
	if have != want {
		return nil, fmt.Errorf("%w: content is %s, sha256 field says %s", ErrHash, want, have)
	}
	// A duplicate key or other spacing leaves the hash as it was, and was still not written by us.
	canon, err := indented(obj)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(canon, data) {
		return nil, fmt.Errorf("%w: line %d is not in the form that series writes", ErrHash, firstDiffLine(canon, data))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	r := new(Run)
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("%w: %s (written by a newer series?)", ErrInvalid, strings.TrimPrefix(err.Error(), "json: "))
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	return r, nil
}

// Load reads the record in a file.
func Load(path string) (*Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Save writes the record to dir as NAME.json and, where it has benchmarks, their lines as NAME.txt, and returns both
// paths (txt is "" where there were none). NAME says when the run started, and is the same for the same record. Each
// file appears whole or not at all.
func Save(dir string, r *Run) (jsonPath, txtPath string, err error) {
	data, err := Encode(r)
	if err != nil {
		return "", "", err
	}
	var txt bytes.Buffer
	if err := WriteBenchmarks(&txt, r); err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", "", err
	}
	base := filepath.Join(dir, Name(r))
	// The figures first: a record is the sign that the run was written, so it comes last.
	if txt.Len() > 0 {
		txtPath = base + ".txt"
		if err := writeFile(txtPath, txt.Bytes()); err != nil {
			return "", "", err
		}
	}
	jsonPath = base + ".json"
	if err := writeFile(jsonPath, data); err != nil {
		if txtPath != "" {
			os.Remove(txtPath)
		}
		return "", "", err
	}
	return jsonPath, txtPath, nil
}

// Name is the name of the record's files without their ending: v1-20261121T101500Z-1a2b3c4d. Encode has to have been
// called, as Save does.
func Name(r *Run) string {
	short := strings.TrimPrefix(r.Hash, "sha256:")
	return fmt.Sprintf("v%d-%s-%.8s", r.Revision, r.Started.UTC().Format("20060102T150405Z"), short)
}

// writeFile replaces a file in one step.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	// Without the sync a crash after the rename could leave an empty file under the good name.
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// decodeAny reads one JSON object and nothing after it, keeping numbers as they are written.
func decodeAny(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var obj map[string]any
	if err := dec.Decode(&obj); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: it ends at byte %d", ErrTruncated, len(data))
		}
		return nil, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	if obj == nil {
		return nil, fmt.Errorf("%w: it is no JSON object", ErrInvalid)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows the record at byte %d", ErrInvalid, dec.InputOffset())
	}
	return obj, nil
}

// hashOf hashes the canonical form: compact JSON with sorted keys, without the hash itself. It is taken from the file
// and not from the Go type, so that records with fields this program does not know can still be checked.
func hashOf(obj map[string]any) (string, error) {
	rest := make(map[string]any, len(obj))
	for k, v := range obj {
		if k != "sha256" {
			rest[k] = v
		}
	}
	data, err := marshal(rest, "")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func indented(obj map[string]any) ([]byte, error) { return marshal(obj, "  ") }

func marshal(v any, indent string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return buf.Bytes(), nil
}

func firstDiffLine(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	return 1 + bytes.Count(a[:i], []byte("\n"))
}

// sort puts cells and patches into their one order, so that the order of the work does not show in the record.
func (r *Run) sort() {
	slices.SortStableFunc(r.Cells, func(a, b Cell) int {
		if c := strings.Compare(a.Arch, b.Arch); c != 0 {
			return c
		}
		if c := strings.Compare(a.Config, b.Config); c != 0 {
			return c
		}
		return a.Patch - b.Patch
	})
	slices.SortStableFunc(r.Patches, func(a, b PatchFile) int { return a.N - b.N })
}

// Duration is the time from start to finish.
func (r *Run) Duration() time.Duration { return r.Finished.Sub(r.Started) }
