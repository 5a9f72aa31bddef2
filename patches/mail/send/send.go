// SPDX-License-Identifier: Apache-2.0

package send

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Sender sends threads. The zero value plus Config works for a server that asks for no password.
type Sender struct {
	Config *Config
	// Password is asked for the password of Config.User where the configuration has none. It is called at most once.
	Password func(ctx context.Context) (string, error)
	// Authenticated, where set, is told whether the server took a password.
	Authenticated func(ctx context.Context, password string, ok bool)
	// Timeout bounds each step of a session; 0 means what RFC 5321 recommends, 5 and 10 minutes.
	Timeout time.Duration
	// Progress, where set, is told of each message that was taken.
	Progress func(m *Message, reply string)

	known *string
}

func (s *Sender) password(ctx context.Context) (string, error) {
	switch {
	case s.Config.Pass != "":
		return s.Config.Pass, nil
	case s.known != nil:
		return *s.known, nil
	case s.Password == nil:
		return "", &ConfigError{"sendemail.smtpPass", "is not set, and no credential helper of git knows the password"}
	}
	pass, err := s.Password(ctx)
	if err != nil {
		return "", err
	}
	s.known = &pass
	return pass, nil
}

// A NotSentError says that a message was not taken. It and those after it go out when the thread is sent again.
type NotSentError struct {
	Message, Total int
	ID             string
	Err            error
}

func (e *NotSentError) Error() string {
	return fmt.Sprintf("message %d of %d was not sent: %v; run the same command again to go on with it", e.Message, e.Total, e.Err)
}

func (e *NotSentError) Unwrap() error { return e.Err }

// An UnknownError says that a message may have been taken or not.
type UnknownError struct {
	Messages []int
	IDs      []string
	Err      error // what happened, where it did just now
}

func (e *UnknownError) Error() string {
	what := fmt.Sprintf("whether message %s arrived is not known", strings.Trim(fmt.Sprint(e.Messages), "[]"))
	if e.Err != nil {
		what += ": " + e.Err.Error()
	}
	var urls []string
	for _, id := range e.IDs {
		urls = append(urls, "https://lore.kernel.org/all/"+id+"/")
	}
	return what + "; look for " + strings.Join(urls, " ") + " and run the same command with --assume-sent if it is there, or with --resend-unknown if it is not"
}

func (e *UnknownError) Unwrap() error { return e.Err }

// Send sends those messages of the journal's thread that have not been sent, in order. It stops at the first one that the
// server does not take: a *NotSentError, after which Send may be called again, or an *UnknownError, after which somebody
// has to decide (Journal.Resolve).
func (s *Sender) Send(ctx context.Context, j *Journal) error {
	if err := UnknownOf(j); err != nil {
		return err
	}
	var x *session
	defer func() {
		if x != nil {
			x.quit()
		}
	}()
	for i, m := range j.messages {
		if j.States[i] == Sent {
			continue
		}
		notSent := func(err error) error {
			return &NotSentError{Message: m.Number, Total: len(j.messages), ID: m.ID, Err: err}
		}
		if x != nil && s.Config.Batch > 0 && x.taken >= s.Config.Batch {
			x.quit()
			x = nil
			select {
			case <-ctx.Done():
				return notSent(ctx.Err())
			case <-time.After(s.Config.Delay):
			}
		}
		if x == nil {
			var err error
			if x, err = s.connect(ctx); err != nil {
				x = nil
				return notSent(err)
			}
		}
		reply, err := x.deliver(s.envelopeFrom(m), m, j, s.Config.Address())
		if err != nil {
			return s.failed(x, j, m, err, notSent)
		}
		if err := j.add(Entry{Message: m.Number, Event: eventSent, Reply: reply}); err != nil {
			return unknown(j, err)
		}
		if s.Progress != nil {
			s.Progress(m, reply)
		}
	}
	return nil
}

// failed notes that a message was not taken, where that is known.
func (s *Sender) failed(x *session, j *Journal, m *Message, err error, notSent func(error) error) error {
	err = x.cause(err)
	if j.States[m.Number-1] != Unknown {
		return notSent(err)
	}
	var step *StepError
	if !errors.As(err, &step) {
		return unknown(j, err)
	}
	if e := j.add(Entry{Message: m.Number, Event: eventNot, Reply: Clean(err.Error())}); e != nil {
		return unknown(j, e)
	}
	return notSent(err)
}

func (s *Sender) envelopeFrom(m *Message) string {
	if s.Config.EnvelopeFrom != "" {
		return s.Config.EnvelopeFrom
	}
	return m.From.Address
}

// UnknownOf returns an *UnknownError where there are messages of which nothing is known, else nil.
func UnknownOf(j *Journal) error { return unknown(j, nil) }

// unknown returns an *UnknownError where there are messages of which nothing is known, else err.
func unknown(j *Journal, err error) error {
	u := &UnknownError{Err: err}
	for i, state := range j.States {
		if state == Unknown {
			u.Messages = append(u.Messages, i+1)
			u.IDs = append(u.IDs, j.messages[i].ID)
		}
	}
	if len(u.Messages) == 0 {
		return err
	}
	return u
}
