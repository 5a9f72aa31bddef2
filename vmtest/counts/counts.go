// SPDX-License-Identifier: Apache-2.0

// Package counts counts the instructions that a guest executes by the function of its kernel that they are in, with a plugin
// for QEMU. The guest marks what is to be counted, with an instruction that does nothing (vmtest/guesttests/internal/mark).
package counts

import (
	"bufio"
	"cmp"
	"context"
	_ "embed" // plugin/count.c
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
)

//go:embed plugin/count.c
var source []byte

// ID names the plugin by its content.
func ID() string { return cache.KeyOf("count plugin 1", string(source)) }

// Plugin builds the plugin, once, and returns the path of it. It takes gcc, as building a kernel does.
func Plugin(ctx context.Context, c *cache.Cache) (string, error) {
	cc, err := run.Look("gcc")
	if err != nil {
		return "", fmt.Errorf("build the plugin that counts: %w", err)
	}
	dir, _, err := c.Fill(ctx, "countplugin", ID(), func(ctx context.Context, dir string) error {
		in := filepath.Join(dir, "count.c")
		if err := os.WriteFile(in, source, 0o644); err != nil {
			return err
		}
		return run.Cmd{Name: cc, Args: []string{"-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
			"-o", filepath.Join(dir, "count.so"), in}, Env: run.CleanEnv()}.Run(ctx)
	})
	if err != nil {
		return "", fmt.Errorf("build the plugin that counts: %w", err)
	}
	return filepath.Join(dir, "count.so"), nil
}

// ErrTruncated says that QEMU did not come to write all that it had counted.
var ErrTruncated = errors.New("the counts are cut off")

// Functions are instructions by the name of the function that they are in.
type Functions map[string]uint64

// Sum is all instructions.
func (f Functions) Sum() uint64 {
	sum := uint64(0)
	for _, n := range f {
		sum += n
	}
	return sum
}

// Counts are what was executed from each mark to the next.
type Counts struct {
	functions *Map
	spans     []span // spans[i]: from mark i+1 to mark i+2
	marks     int
}

// A span is what was executed from one mark to the next one. There may be thousands of them.
type span struct {
	sum    uint64
	pieces []pieceCount
}

type pieceCount struct {
	piece uint32
	n     uint64
}

// Read reads what the plugin wrote about a kernel.
func Read(r io.Reader, m *Map) (*Counts, error) {
	c := &Counts{functions: m}
	left := uint64(0) // of the span's sum
	lines := bufio.NewScanner(r)
	n := 0
	for lines.Scan() {
		n++
		if err := c.line(lines.Text(), m, &left); err != nil {
			return nil, fmt.Errorf("counts: line %d: %w: %.80q", n, err, lines.Text())
		}
		if c.marks > 0 || strings.HasPrefix(lines.Text(), "end ") {
			if lines.Scan() {
				return nil, fmt.Errorf("counts: line %d: something follows the end", n+1)
			}
			return c, lines.Err()
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("counts: %w", err)
	}
	return nil, fmt.Errorf("counts: %w after line %d", ErrTruncated, n)
}

func (c *Counts) line(text string, m *Map, left *uint64) error {
	words := strings.Fields(text)
	if len(words) < 2 {
		return errors.New("two numbers are wanted")
	}
	var nums []uint64
	for _, w := range words {
		v, err := strconv.ParseUint(w, 10, 63)
		if err != nil && (w != words[0] || w != "mark" && w != "end") {
			return errors.New("no number")
		}
		nums = append(nums, v)
	}
	switch {
	case words[0] == "mark" || words[0] == "end":
		if *left != 0 {
			return fmt.Errorf("the functions before it lack %d instructions", *left)
		}
		// Of n marks the first one ends nothing.
		if words[0] == "end" && len(words) == 2 && (nums[1] == uint64(len(c.spans)+1) || nums[1] == 0 && len(c.spans) == 0) {
			c.marks = int(nums[1])
			return nil
		}
		if words[0] == "end" || len(words) != 3 || nums[1] != uint64(len(c.spans)+2) {
			return errors.New("not the next mark")
		}
		*left = nums[2]
		c.spans = append(c.spans, span{sum: nums[2]})
		return nil
	case len(words) != 2 || len(c.spans) == 0 || nums[0] > uint64(len(m.names)) || nums[1] > *left:
		return errors.New("no count of a piece of the kernel")
	}
	*left -= nums[1]
	s := &c.spans[len(c.spans)-1]
	s.pieces = append(s.pieces, pieceCount{uint32(nums[0]), nums[1]})
	return nil
}

// Marks is how many marks the guest has come by.
func (c *Counts) Marks() int { return c.marks }

// Between are the instructions from one mark to another, both from 1.
func (c *Counts) Between(first, last int) (Functions, error) {
	spans, err := c.from(first, last)
	return c.total(spans), err
}

// Calm are the instructions of some of the spans from one mark to another: of all of them, the shortest one first, those from the
// place lo up to the place hi, both from 0 and hi not included.
func (c *Counts) Calm(first, last, lo, hi int) (Functions, error) {
	spans, err := c.from(first, last)
	if err != nil {
		return nil, err
	}
	if lo < 0 || hi <= lo || hi > len(spans) {
		return nil, fmt.Errorf("counts: places %d to %d of %d spans", lo, hi, len(spans))
	}
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.sum, b.sum) })
	return c.total(spans[lo:hi]), nil
}

// Steps are the instructions of the first of each step spans from one mark to another: of 2, those that begin at the marks first,
// first+2 and so on.
func (c *Counts) Steps(first, last, step int) (Functions, error) {
	all, err := c.from(first, last)
	if err != nil {
		return nil, err
	}
	if step < 1 {
		return nil, fmt.Errorf("counts: one of %d spans", step)
	}
	var spans []span
	for i := 0; i < len(all); i += step {
		spans = append(spans, all[i])
	}
	return c.total(spans), nil
}

func (c *Counts) from(first, last int) ([]span, error) {
	if first < 1 || last <= first || last > c.marks {
		return nil, fmt.Errorf("counts: from mark %d to mark %d: the guest has made %d marks", first, last, c.marks)
	}
	return c.spans[first-1 : last-1], nil
}

func (c *Counts) total(spans []span) Functions {
	sum := Functions{}
	for _, s := range spans {
		for _, p := range s.pieces {
			sum[c.functions.name(int(p.piece))] += p.n
		}
	}
	return sum
}
