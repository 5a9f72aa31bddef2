// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// roles are what the test binary can be as another process.
var roles = map[string]func(c *Cache) error{
	// hold holds the entries whose keys it reads, a line each.
	"hold": func(c *Cache) error {
		c.Hold()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			_, ok := c.Get("kind", in.Text())
			fmt.Println(ok)
		}
		return nil
	},
	// evict deletes all that it may, again and again.
	"evict": func(c *Cache) error {
		fmt.Println("ready")
		for {
			if _, err := c.Evict(context.Background(), 0); err != nil {
				return err
			}
		}
	},
	// use fills entries, and looks whether they are whole as long as it holds them.
	"use": func(c *Cache) error {
		fmt.Println("ready")
		for {
			c.Hold()
			for range 3 {
				key := KeyOf(fmt.Sprint(rand.IntN(6)))
				dir, _, err := c.Fill(context.Background(), "kind", key, manyFiles(8))
				if err != nil {
					return err
				}
				for range 5 {
					if n := countFiles(dir); n != 8 {
						return fmt.Errorf("an entry that is held has %d files of 8", n)
					}
				}
			}
			if err := c.Close(); err != nil {
				return err
			}
		}
	},
}

// another starts the test binary in a role, and returns when it has said something or at once where it waits for input.
func another(t *testing.T, c *Cache, role string) (x *exec.Cmd, say func(string) string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x = exec.Command(exe)
	x.Env = append(os.Environ(), "SERIES_TEST_CACHE="+c.Dir, "SERIES_TEST_ROLE="+role)
	x.Stderr = os.Stderr
	out, _ := x.StdoutPipe()
	in, _ := x.StdinPipe()
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Process.Kill(); x.Wait() })
	lines := bufio.NewReader(out)
	if role != "hold" {
		if line, err := lines.ReadString('\n'); line != "ready\n" {
			t.Fatalf("%s says %q, %v", role, line, err)
		}
	}
	return x, func(s string) string {
		fmt.Fprintln(in, s)
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		return strings.TrimSpace(line)
	}
}

func manyFiles(n int) func(context.Context, string) error {
	return func(_ context.Context, dir string) error {
		for i := range n {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("x"), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

func countFiles(dir string) int {
	list, _ := os.ReadDir(dir)
	return len(list)
}

// ofSize fills an entry that takes so many KiB on disk and was last used so many hours ago.
func (c *Cache) ofSize(t *testing.T, name string, kib, hours int) Entry {
	t.Helper()
	dir, _, err := c.Fill(t.Context(), "kind", KeyOf(name), func(_ context.Context, dir string) error {
		return os.WriteFile(filepath.Join(dir, "data"), make([]byte, kib<<10), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-time.Duration(hours) * time.Hour)
	if err := os.Chtimes(dir, then, then); err != nil {
		t.Fatal(err)
	}
	return Entry{Kind: "kind", Key: KeyOf(name)}
}

func (c *Cache) has(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range []string{"a", "b", "c", "d"} {
		_, err := os.Stat(filepath.Join(c.Dir, "kind", KeyOf(name)))
		want := strings.Contains(strings.Join(names, " "), name)
		if (err == nil) != want {
			t.Errorf("entry %s: there is %v, want %v", name, err == nil, want)
		}
	}
}

func TestEvict(t *testing.T) {
	c := open(t)
	c.ofSize(t, "a", 400, 1)
	c.ofSize(t, "b", 400, 3)
	c.ofSize(t, "c", 400, 2)
	if _, ok := c.Get("kind", KeyOf("b")); !ok { // which makes it the one used last
		t.Fatal("Get finds nothing")
	}
	for _, step := range []struct {
		limit int64
		left  []string
	}{{2 << 20, []string{"a", "b", "c"}}, {1 << 20, []string{"a", "b"}}, {500 << 10, []string{"b"}}, {0, nil}} {
		if _, err := c.Evict(t.Context(), step.limit); err != nil {
			t.Fatal(err)
		}
		c.has(t, step.left...)
	}
	if got := files(t, filepath.Join(c.Dir, "kind")); got != "" {
		t.Errorf("left in the folder: %s", got)
	}
}

func TestEvictHeld(t *testing.T) {
	c := open(t)
	for _, name := range []string{"a", "b", "c"} {
		c.ofSize(t, name, 4, 1)
	}
	child, say := another(t, c, "hold")
	if got := say(KeyOf("a")); got != "true" {
		t.Fatalf("the other process got it: %s", got)
	}
	mine, err := Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	mine.Hold()
	mine.Get("kind", KeyOf("b"))
	d, _, err := mine.Fill(t.Context(), "kind", KeyOf("d"), put("mine")) // what one fills it holds as well
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Evict(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c.has(t, "a", "b", "d")
	for name, want := range map[string]bool{"a": true, "c": false, "d": true} {
		if got := c.Held(Entry{Kind: "kind", Key: KeyOf(name)}); got != want {
			t.Errorf("Held(%s) = %v, want %v", name, got, want)
		}
	}
	child.Process.Kill()
	child.Wait()
	if _, err := c.Evict(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c.has(t, "b", "d")
	if err := os.RemoveAll(d); err != nil { // by hand, under the process that holds it
		t.Fatal(err)
	}
	if _, ok := mine.Get("kind", KeyOf("d")); ok {
		t.Error("Get finds an entry that was deleted by hand")
	}
	if err := mine.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Evict(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c.has(t)
}

func TestDropOnlyWhatWasListed(t *testing.T) {
	c := open(t)
	c.ofSize(t, "a", 4, 1)
	all, err := c.Entries(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("Entries = %v, %v", all, err)
	}
	c.Get("kind", KeyOf("a"))
	if ok, err := c.Drop(all[0]); ok || err != nil {
		t.Errorf("Drop of an entry used since = %v, %v", ok, err)
	}
	c.has(t, "a")
}

func TestLimit(t *testing.T) {
	c := open(t)
	c.ofSize(t, "a", 400, 3)
	c.ofSize(t, "b", 400, 2)
	c.Limit = 1 << 20
	c.Hold()
	c.Get("kind", KeyOf("a")) // the oldest, but this process uses it
	c.ofSize(t, "c", 400, 0)
	c.has(t, "a", "c")
	c.ofSize(t, "d", 400, 0) // over the limit, and all of it in use
	c.has(t, "a", "c", "d")
}

// Somebody who evicts, in a process that is killed now and then, while others use the cache: who holds an entry has all
// of it, and afterwards there is nothing but whole entries.
func TestEvictTogether(t *testing.T) {
	c := open(t)
	var users []*exec.Cmd
	for range 2 {
		u, _ := another(t, c, "use")
		users = append(users, u)
	}
	until := time.Now().Add(2 * time.Second)
	for n := 0; time.Now().Before(until); n++ {
		e, _ := another(t, c, "evict")
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		e.Process.Kill()
		e.Wait()
		if n%4 == 3 {
			u := users[n/4%2]
			if u.ProcessState != nil {
				t.Fatal("a process that uses the cache has ended")
			}
			u.Process.Kill()
			if err := u.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("a process that uses the cache: %v", err)
			}
			users[n/4%2], _ = another(t, c, "use")
		}
	}
	for _, u := range users {
		u.Process.Kill()
		if err := u.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("a process that uses the cache: %v", err)
		}
	}
	if err := c.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := c.each(func(kind, name string) error {
		if n := countFiles(filepath.Join(c.Dir, kind, name)); n != 8 || !keyForm.MatchString(name) {
			t.Errorf("%s/%s has %d files of 8", kind, name, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSweep(t *testing.T) {
	c := open(t)
	key := KeyOf("x")
	kill, _ := startChild(t, c.Dir, key)
	tmp := filepath.Join(c.Dir, "kind", "."+key+tmpSuffix)
	if err := c.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tmp); err != nil {
		t.Errorf("sweep took what another process is filling: %v", err)
	}
	kill()
	gone, err := moveAway(filepath.Join(c.Dir, "kind", "."+key+tmpSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tmp, gone} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("sweep left %s", path)
		}
	}
}

// An entry is removed in one step: who is killed in the middle of it must not leave half of one.
func TestRemoveInOneStep(t *testing.T) {
	c, key := open(t), KeyOf("x")
	const n = 1000
	dir, _, err := c.Fill(t.Context(), "kind", key, manyFiles(n))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			list, err := os.ReadDir(dir)
			if err != nil || len(list) == 0 && !exists(dir) {
				return
			}
			if len(list) != n && exists(dir) {
				t.Errorf("an entry with %d files of %d can be seen", len(list), n)
				return
			}
		}
	})
	if err := c.Remove("kind", key); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if got := files(t, filepath.Join(c.Dir, "kind")); got != "" {
		t.Errorf("Remove left %s", got)
	}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestDiskUsage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	got, err := DiskUsage(t.Context(), dir, nil)
	if err != nil || got < 1<<20 || got > 3<<19 {
		t.Errorf("DiskUsage = %d, %v, want 1 MiB and a little", got, err)
	}
	got, err = DiskUsage(t.Context(), dir, func(fi fs.FileInfo) bool { return fi.IsDir() })
	if err != nil || got >= 1<<20 {
		t.Errorf("DiskUsage of folders = %d, %v", got, err)
	}
	if got, err := DiskUsage(t.Context(), filepath.Join(dir, "nowhere"), nil); got != 0 || err != nil {
		t.Errorf("DiskUsage of nothing = %d, %v", got, err)
	}
}

// BenchmarkGet is what it costs to be safe from those who evict.
func BenchmarkGet(b *testing.B) {
	for _, hold := range []bool{false, true} {
		b.Run(fmt.Sprintf("hold=%v", hold), func(b *testing.B) {
			c, err := Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			if hold {
				c.Hold()
			}
			if _, _, err := c.Fill(b.Context(), "kind", KeyOf("x"), put("x")); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, ok := c.Get("kind", KeyOf("x")); !ok {
					b.Fatal("Get finds nothing")
				}
			}
		})
	}
}

// BenchmarkEntries is a cache of a thousand entries of ten files, as outcomes of guests are.
func BenchmarkEntries(b *testing.B) {
	c, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		dir := filepath.Join(c.Dir, "kind", KeyOf(fmt.Sprint(i)))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := manyFiles(10)(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if all, err := c.Entries(b.Context()); err != nil || len(all) != 1000 {
			b.Fatalf("Entries = %d, %v", len(all), err)
		}
	}
}
