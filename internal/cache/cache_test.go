// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary be another process with the same cache.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SERIES_TEST_CACHE"); dir != "" {
		role := roles[os.Getenv("SERIES_TEST_ROLE")]
		if role == nil {
			child(dir, os.Getenv("SERIES_TEST_KEY"))
			return
		}
		c, err := Open(dir)
		if err == nil {
			err = role(c)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child fills an entry: half of it, then says so, waits for a line, and does the rest.
func child(dir, key string) {
	c, err := Open(dir)
	if err == nil {
		_, _, err = c.Fill(context.Background(), "kind", key, func(ctx context.Context, dir string) error {
			if err := os.WriteFile(filepath.Join(dir, "half"), []byte("child"), 0o644); err != nil {
				return err
			}
			fmt.Println("half")
			bufio.NewReader(os.Stdin).ReadString('\n')
			return os.WriteFile(filepath.Join(dir, "whole"), []byte("child"), 0o644)
		})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// startChild returns when the child has filled its half.
func startChild(t *testing.T, dir, key string) (kill, goOn func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x := exec.Command(exe)
	x.Env = append(os.Environ(), "SERIES_TEST_CACHE="+dir, "SERIES_TEST_KEY="+key)
	out, _ := x.StdoutPipe()
	in, _ := x.StdinPipe()
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Process.Kill(); x.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "half\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	return func() { x.Process.Kill(); x.Wait() }, func() { in.Write([]byte("\n")) }
}

func open(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(text string) func(context.Context, string) error {
	return func(_ context.Context, dir string) error {
		return os.WriteFile(filepath.Join(dir, "whole"), []byte(text), 0o644)
	}
}

func files(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestKeyOf(t *testing.T) {
	keys := map[string][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"a", "b", "c"}} {
		k := KeyOf(parts...)
		if was, ok := keys[k]; ok {
			t.Errorf("KeyOf(%q) = KeyOf(%q)", parts, was)
		}
		if !keyForm.MatchString(k) || k != KeyOf(parts...) {
			t.Errorf("KeyOf(%q) = %q", parts, k)
		}
		keys[k] = parts
	}
}

func TestFill(t *testing.T) {
	c, key := open(t), KeyOf("x")
	if _, ok := c.Get("kind", key); ok {
		t.Error("Get finds what is not there")
	}
	dir, cached, err := c.Fill(t.Context(), "kind", key, put("one"))
	if err != nil || cached {
		t.Fatalf("Fill = %v, %v", cached, err)
	}
	again, cached, err := c.Fill(t.Context(), "kind", key, func(context.Context, string) error { t.Error("filled twice"); return nil })
	if err != nil || !cached || again != dir {
		t.Errorf("Fill again = %q, %v, %v, want %q", again, cached, err, dir)
	}
	if got := files(t, filepath.Join(c.Dir, "kind")); got != key {
		t.Errorf("beside the entry: %s", got)
	}
	if err := c.Remove("kind", key); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get("kind", key); ok {
		t.Error("Get finds what was removed")
	}
	for _, bad := range [][2]string{{"../x", key}, {"kind", "../../x"}, {"", key}, {"kind", ""}, {"Kind", key}, {"kind", "ABCDEF0123456789"}} {
		if _, _, err := c.Fill(t.Context(), bad[0], bad[1], put("x")); err == nil {
			t.Errorf("Fill(%q) = nil, want an error", bad)
		}
	}
}

func TestFillFails(t *testing.T) {
	c, key, cause := open(t), KeyOf("x"), errors.New("cause")
	_, _, err := c.Fill(t.Context(), "kind", key, func(_ context.Context, dir string) error {
		if err := put("half")(nil, dir); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("Fill = %v, want %v", err, cause)
	}
	if got := files(t, filepath.Join(c.Dir, "kind")); got != "" {
		t.Errorf("a fill that failed left %s", got)
	}
	if _, cached, err := c.Fill(t.Context(), "kind", key, put("one")); err != nil || cached {
		t.Errorf("Fill after a failure = %v, %v", cached, err)
	}
}

func TestFillTogether(t *testing.T) {
	c, key := open(t), KeyOf("x")
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			dir, _, err := c.Fill(t.Context(), "kind", key, func(ctx context.Context, dir string) error {
				fills.Add(1)
				time.Sleep(20 * time.Millisecond)
				return put("one")(ctx, dir)
			})
			if data, err2 := os.ReadFile(filepath.Join(dir, "whole")); err != nil || err2 != nil || string(data) != "one" {
				t.Errorf("Fill = %q, %v; content %q, %v", dir, err, data, err2)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("filled %d times, want once", n)
	}
}

func TestKillInMidFill(t *testing.T) {
	c, key := open(t), KeyOf("x")
	kill, _ := startChild(t, c.Dir, key)
	if _, ok := c.Get("kind", key); ok {
		t.Error("half an entry can be got")
	}
	kill()
	dir, cached, err := c.Fill(t.Context(), "kind", key, put("parent"))
	if err != nil || cached {
		t.Fatalf("Fill after a kill = %v, %v, want it to be filled anew", cached, err)
	}
	if got := files(t, dir); got != "whole" {
		t.Errorf("the entry has %s, want only whole", got)
	}
	if got := files(t, filepath.Join(c.Dir, "kind")); got != key {
		t.Errorf("beside the entry: %s", got)
	}
}

func TestWaitForProcess(t *testing.T) {
	c, key := open(t), KeyOf("x")
	_, goOn := startChild(t, c.Dir, key)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := c.Fill(ctx, "kind", key, put("parent")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Fill = %v, want that it waited for the child", err)
	}
	time.AfterFunc(50*time.Millisecond, goOn)
	dir, cached, err := c.Fill(t.Context(), "kind", key, put("parent"))
	if err != nil || !cached {
		t.Fatalf("Fill = %v, %v, want what the child made", cached, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "whole")); string(data) != "child" {
		t.Errorf("content %q, %v", data, err)
	}
}
