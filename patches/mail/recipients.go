// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"fmt"
	netmail "net/mail"
)

// Recipients are who gets a message.
type Recipients struct {
	To, Cc []netmail.Address
}

// checkRecipients refuses recipients that could become something else in a header, and lists of another length than the
// thread's.
func (r *renderer) checkRecipients() error {
	if r.Recipients == nil {
		return nil
	}
	if have, want := len(r.Recipients), len(r.Series.Patches)+1; have != want {
		return fmt.Errorf("there are recipients for %d messages, want %d, the cover letter's first", have, want)
	}
	for n, who := range r.Recipients {
		for _, list := range [][]netmail.Address{who.To, who.Cc} {
			for _, a := range list {
				if err := checkAddress(fmt.Sprintf("a recipient of message %d", n), a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// recipients returns who gets message n.
func (r *renderer) recipients(n int) (to, cc []netmail.Address) {
	if r.Recipients == nil {
		return r.to, r.cc
	}
	return r.Recipients[n].To, r.Recipients[n].Cc
}
