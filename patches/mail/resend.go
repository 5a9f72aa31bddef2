// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
)

var ownID = regexp.MustCompile(`^([a-z0-9][a-z0-9-]*-v[0-9]{1,3}-[0-9]+)-[0-9a-f]{20}(@.*)$`)

// Resend makes a thread of Render again, as [RESEND PATCH ...], for when nobody answered it: the same messages under other
// Message-Ids. It is made of what went out and of nothing else, so nothing in it can be modified.
func Resend(t *Thread) (*Thread, error) {
	h := sha256.New()
	out := &Thread{}
	for i, m := range t.Messages {
		if !strings.HasPrefix(m.Subject, "[") || !ownID.MatchString(m.ID) {
			return nil, fmt.Errorf("resend: message %d, %q, is none that series mail made", i+1, m.Subject)
		}
		again := *m
		again.Subject, again.Raw, again.Line = "[RESEND "+strings.TrimPrefix(m.Subject[1:], "RESEND "), nil, 0
		out.Messages = append(out.Messages, &again)
		fmt.Fprintln(h, m.ID)
	}
	sum := fmt.Sprintf("%x", h.Sum(nil))[:20]
	first := out.Messages[0]
	for _, m := range out.Messages {
		id := ownID.FindStringSubmatch(m.ID)
		m.ID, m.InReplyTo, m.References = id[1]+"-"+sum+id[2], "", nil
		if m != first {
			m.InReplyTo, m.References = first.ID, []string{first.ID}
		}
		if err := m.encode(); err != nil {
			return nil, fmt.Errorf("resend: message %d: %w", m.Number, err)
		}
	}
	return out, nil
}

// IsResend tells a thread that says that it was sent before.
func (t *Thread) IsResend() bool {
	bracket, _, _ := strings.Cut(t.Messages[0].Subject, "]")
	return strings.Contains(bracket, "RESEND")
}
