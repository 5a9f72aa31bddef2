// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches/mail"
)

// A list is a mailing list with a real public-inbox archive.
type archive struct {
	t   *testing.T
	dir string
	env []string
	url string
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	for _, tool := range []string{"public-inbox-init", "public-inbox-mda", "public-inbox-httpd", "git"} {
		need.Tool(t, tool)
	}
	dir := t.TempDir()
	l := &archive{t: t, dir: dir, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "PI_CONFIG=" + filepath.Join(dir, "config"), "GIT_CONFIG_NOSYSTEM=1",
		"ORIGINAL_RECIPIENT=list@example.org", "LC_ALL=C.UTF-8"}}
	l.run("", "public-inbox-init", "-V2", "-L", "basic", "trial", filepath.Join(dir, "inbox"), "http://example.org/trial", "list@example.org")
	l.run("", "git", "config", "-f", filepath.Join(dir, "config"), "publicinboxmda.spamcheck", "none")
	return l
}

func (l *archive) run(stdin, name string, args ...string) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), name, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = l.env, l.dir, strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// serve starts the web server; it ends with the test.
func (l *archive) serve() {
	l.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "public-inbox-httpd", "-W0", "-l", addr)
	cmd.Env, cmd.Dir = l.env, l.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { cancel(); cmd.Wait() })
	l.url = "http://" + addr + "/trial/"
	for range 300 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.t.Fatal("public-inbox-httpd does not listen after 30s")
}

func (l *archive) get(path string) []byte {
	l.t.Helper()
	r, err := http.Get(l.url + path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		l.t.Fatalf("GET %s: %s, %v\n%s", path, r.Status, err, data)
	}
	return data
}

var replyLine = regexp.MustCompile("(?m)^[-0-9]+ +[0-9:]+( +)` <a\nhref=\"[^\"]*\">([^<]*)</a>")

// public-inbox 1.9 takes every message, shows each patch right under the cover letter, and gives back a thread that comes
// in as the series that it was made of.
func TestPublicInbox(t *testing.T) {
	l := newArchive(t)
	s := trial(t, 3)
	s.Patches[2] = trialPatch(t, 3, 3, "A Uthor <a@example.org>", "From here on\n>From there\n\nÜ.\n\nSigned-off-by: A Uthor <a@example.org>\n")
	th := render(t, mail.Options{Series: s, From: jane})
	for _, m := range th.Messages {
		l.run(string(m.Raw), "public-inbox-mda")
	}
	l.serve()
	page := string(l.get(th.Messages[0].ID + "/"))
	var got []string
	for _, m := range replyLine.FindAllStringSubmatch(page, -1) {
		got = append(got, fmt.Sprintf("%d %s", len(m[1]), m[2]))
	}
	want := []string{"1 [PATCH net-next 1/3] f: change 1", "1 [PATCH net-next 2/3] f: change 2", "1 [PATCH net-next 3/3] f: change 3"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("under the cover letter (-want +got):\n%s%s", d, page)
	}
	file := filepath.Join(t.TempDir(), "t.mbox.gz")
	if err := os.WriteFile(file, l.get(th.Messages[2].ID+"/t.mbox.gz"), 0o644); err != nil {
		t.Fatal(err)
	}
	back, err := Read(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(mboxOf(t, th), mboxOf(t, render(t, mail.Options{Series: write(t, back), From: jane}))); d != "" {
		t.Errorf("the thread, taken in from the archive and written again (-first +second):\n%s", d)
	}
}
