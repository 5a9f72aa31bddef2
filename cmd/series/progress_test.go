// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// The live view ends when the stages have, also where a stage did not begin all of its cells.
func TestLiveEnds(t *testing.T) {
	var screen bytes.Buffer
	p := &progress{live: newLive(&screen, mpb.WithAutoRefresh())}
	full := p.stage("build", 2)
	full.begin("amd64 0/1")("known")
	full.begin("amd64 1/1")("known")
	full.end("0 built, 2 known")
	p.stage("apply", 3).end("3 patches")
	short := p.stage("test", 2)
	short.begin("amd64 0/1")("pass")
	short.end("1 kernel")
	p.stage("bench", 2).abort()
	done := make(chan struct{})
	go func() {
		p.wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the live view does not end")
	}
	for _, want := range []string{"build    2/2", "apply    3/3", "test     2/2"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("no %q on the screen:\n%s", want, screen.String())
		}
	}
	if n := len(p.times()); n != 3 {
		t.Errorf("times of %d stages, want 3", n)
	}
}
