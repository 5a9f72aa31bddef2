// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/patches/mail/send"
)

// sendCmd sends a thread.
type sendCmd struct {
	Mbox          string   `arg:"" type:"existingfile" help:"The thread, as series mail wrote it."`
	DryRun        bool     `short:"n" help:"Show what would be sent to whom, and send nothing."`
	Yes           bool     `help:"Do not ask."`
	ToSelf        bool     `help:"Send it to yourself alone (git's user.email), with the same headers, to see how it arrives."`
	Allow         []string `placeholder:"WHAT" enum:"no-signoff,lint,verdicts,sender,changes,sent" help:"Send although something is not as it should be: no-signoff, lint, verdicts, sender, changes (the change log is not that of the patches) or sent (this version went out before)."`
	Identity      string   `placeholder:"NAME" help:"Take the settings of sendemail.NAME.* before sendemail.*, as git send-email does."`
	AssumeSent    bool     `xor:"unknown" help:"Take messages whose answer was lost for sent."`
	ResendUnknown bool     `xor:"unknown" help:"Send messages whose answer was lost again."`
}

func (c *sendCmd) Run(ctx context.Context, a *app) error {
	config, err := send.GitConfig(ctx, "", c.Identity)
	if err != nil {
		return sendInput(err)
	}
	o := send.FreezeOptions{To: config.To, Cc: config.Cc}
	kind := ""
	if c.ToSelf {
		me, err := gitAddress(ctx)
		if err != nil {
			return err
		}
		o = send.FreezeOptions{Only: me}
		kind = "to " + me
	}
	o.Now = time.Now()
	messages, err := freezeFile(c.Mbox, o)
	if err != nil {
		return err
	}
	work, err := a.work()
	if err != nil {
		return err
	}
	dir := filepath.Join(work, "sent")
	states, err := send.Peek(dir, kind, messages)
	if err != nil {
		return sendFinding(err)
	}
	// What has gone out in part was looked at when it was begun, and is best ended.
	var refusals []refusal
	if !slices.ContainsFunc(states, func(s send.State) bool { return s != send.Waiting }) {
		if refusals, err = c.refusals(ctx, a, config, messages); err != nil {
			return err
		}
	}
	if c.DryRun {
		if err := c.show(a, config, messages, states, ""); err != nil {
			return err
		}
		return refuse(a, refusals)
	}
	if err := refuse(a, refusals); err != nil {
		return err
	}
	j, err := send.OpenJournal(dir, kind, messages)
	if err != nil {
		return sendFinding(err)
	}
	defer j.Close()
	return c.send(ctx, a, config, j, j.Messages())
}

// send asks, and sends what has not been sent.
func (c *sendCmd) send(ctx context.Context, a *app, config *send.Config, j *send.Journal, messages []*send.Message) error {
	if j.Count(send.Unknown) > 0 && !c.AssumeSent && !c.ResendUnknown {
		return &coded{exitFinding, send.UnknownOf(j)}
	}
	if !a.cli.JSON || !c.Yes {
		out := a.stdout
		if a.cli.JSON {
			out = a.stderr // to be looked at before the yes; standard output is for the data
		}
		if err := table(out, config, messages, j.States); err != nil {
			return err
		}
	}
	left := j.Count(send.Waiting)
	if c.ResendUnknown {
		left += j.Count(send.Unknown)
	}
	if left > 0 && !c.Yes {
		if err := confirm(ctx, a, fmt.Sprintf("Send %s through %s?", count(left, "message"), config.Address())); err != nil {
			return err
		}
	}
	if err := j.Resolve(c.AssumeSent); err != nil {
		return err
	}
	if j.Count(send.Sent) == len(messages) {
		fmt.Fprintln(a.stderr, "series: the whole thread has been sent; nothing is left to do")
		c.keep(ctx, a, messages)
		return c.report(a, config, messages, j)
	}
	credential := send.NewCredential(config)
	s := &send.Sender{Config: config,
		Password: func(ctx context.Context) (string, error) {
			pass, err := credential.Fill(ctx)
			if err != nil || pass != "" {
				return pass, err
			}
			return askPassword(a, config)
		},
		Authenticated: func(ctx context.Context, pass string, ok bool) {
			switch {
			case config.Pass != "":
			case ok:
				credential.Approve(ctx, pass)
			default:
				credential.Reject(ctx, pass)
			}
		},
		Progress: func(m *send.Message, reply string) {
			if !a.cli.Quiet {
				fmt.Fprintf(a.stderr, "sent %d/%d %s (%s)\n", m.Number, len(messages), send.Clean(m.Subject), reply)
			}
		},
	}
	if err := s.Send(ctx, j); err != nil {
		return sendInput(sendFinding(err))
	}
	c.keep(ctx, a, messages)
	return c.report(a, config, messages, j)
}

// keep records a thread that is out as the version that was sent, with the messages as they went out. That it cannot be recorded
// changes nothing about that, and series mail --sent can still do it.
func (c *sendCmd) keep(ctx context.Context, a *app, messages []*send.Message) {
	if c.ToSelf {
		return
	}
	out := &mail.Thread{}
	for _, m := range messages {
		out.Messages = append(out.Messages, &mail.Message{Raw: m.Raw})
	}
	var mbox bytes.Buffer
	_, err := out.WriteTo(&mbox)
	if err == nil {
		_, err = a.recordSent(ctx, "", "", mbox.Bytes())
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "series: %s\n", send.Clean(err.Error()))
	}
}

func (c *sendCmd) report(a *app, config *send.Config, messages []*send.Message, j *send.Journal) error {
	if !a.cli.JSON {
		return nil
	}
	return c.show(a, config, messages, j.States, j.Dir)
}

// sendFinding marks what a person has to decide about.
func sendFinding(err error) error {
	if errors.As(err, new(*send.UnknownError)) || errors.As(err, new(*send.ChangedError)) {
		return &coded{exitFinding, err}
	}
	return err
}

// sendInput marks what is wrong with the settings as the user's to mend.
func sendInput(err error) error {
	if errors.As(err, new(*send.ConfigError)) {
		return &coded{exitUsage, err}
	}
	return err
}

func freezeFile(name string, o send.FreezeOptions) ([]*send.Message, error) {
	fi, err := os.Stat(name)
	if err != nil || !fi.Mode().IsRegular() {
		return nil, usage("%s: is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &coded{exitUsage, err}
	}
	defer f.Close()
	messages, err := send.Freeze(f, o)
	if err != nil {
		return nil, &coded{exitUsage, fmt.Errorf("%s: %w", name, err)}
	}
	return messages, nil
}

// gitAddress is the user's own address.
func gitAddress(ctx context.Context) (string, error) {
	who, err := gitIdentity(ctx)
	if err != nil {
		return "", err
	}
	if err := send.CheckAddress(who.Address); err != nil {
		return "", usage("--to-self: user.email of git: %v", err)
	}
	return who.Address, nil
}

// refuse prints why a thread is not sent.
func refuse(a *app, refusals []refusal) error {
	if len(refusals) == 0 {
		return nil
	}
	for _, r := range refusals {
		for _, line := range r.lines {
			fmt.Fprintf(a.stderr, "series: %s\n", send.Clean(line))
		}
		fmt.Fprintf(a.stderr, "series: not sent: %s (--allow %s sends it nevertheless)\n", r.why, r.allow)
	}
	return said{exitFinding}
}

// sentMessage is what --json says of a message.
type sentMessage struct {
	Number  int      `json:"number"` // its place in the thread; 1 is the first
	ID      string   `json:"id"`
	Subject string   `json:"subject"`
	To      []string `json:"to"` // the envelope's recipients
	Size    int      `json:"size"`
	State   string   `json:"state"` // waiting, unknown or sent
}

// show prints the thread, as data.
func (c *sendCmd) show(a *app, config *send.Config, messages []*send.Message, states []send.State, dir string) error {
	if !a.cli.JSON {
		return table(a.stdout, config, messages, states)
	}
	all := []sentMessage{}
	for i, m := range messages {
		all = append(all, sentMessage{m.Number, m.ID, m.Subject, m.Rcpt, len(m.Data), stateWord(states[i])})
	}
	return a.printJSON(map[string]any{"server": config.Address(), "encryption": config.Encryption, "from": envelope(config, messages[0]), "journal": dir, "messages": all})
}

func envelope(config *send.Config, m *send.Message) string {
	if config.EnvelopeFrom != "" {
		return config.EnvelopeFrom
	}
	return m.From.Address
}

func stateWord(s send.State) string {
	if s == send.Waiting {
		return "waiting"
	}
	return string(s)
}

// table prints the thread for a person: what goes to whom.
func table(out io.Writer, config *send.Config, messages []*send.Message, states []send.State) error {
	first := messages[0]
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "From:\t%s\n", send.Clean(plainAddress(first.From)))
	encryption := "not encrypted"
	switch config.Encryption {
	case send.StartTLS:
		encryption = "STARTTLS"
	case send.Implicit:
		encryption = "TLS"
	}
	fmt.Fprintf(w, "Through:\t%s, %s, as <%s>\n", config.Address(), encryption, envelope(config, first))
	var everybody []string
	for _, m := range messages {
		for _, r := range m.Rcpt {
			if !slices.Contains(everybody, r) {
				everybody = append(everybody, r)
			}
		}
	}
	for i, r := range everybody {
		head := ""
		if i == 0 {
			head = "To:"
		}
		var which []string
		for _, m := range messages {
			if slices.Contains(m.Rcpt, r) {
				which = append(which, fmt.Sprint(m.Number))
			}
		}
		text := "all"
		if len(which) < len(messages) {
			text = "messages " + strings.Join(which, ",")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", head, r, text)
	}
	fmt.Fprintln(w)
	for i, m := range messages {
		fmt.Fprintf(w, "%d\t%s\t%d B\t%s\t%s\n", m.Number, send.Clean(m.Subject), len(m.Data), count(len(m.Rcpt), "recipient"), stateWord(states[i]))
	}
	return w.Flush()
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// terminal returns standard input where a person sits in front of it.
func (a *app) terminal() *os.File {
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// confirm asks a person, who has to be there.
func confirm(ctx context.Context, a *app, question string) error {
	tty := a.terminal()
	if tty == nil {
		return usage("nobody to ask: standard input is no terminal; look at it with -n, and send it with --yes")
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := readLine(ctx, tty)
	if err != nil {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return &coded{exitFinding, errors.New("not sent")}
	}
	return nil
}

// readLine reads a line and gives up when the context ends, which a read does not.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(r).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		got <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-got:
		return r.line, r.err
	}
}

func askPassword(a *app, config *send.Config) (string, error) {
	tty := a.terminal()
	if tty == nil {
		return "", usage("the password of %s at %s is not known; store it with git credential, or set sendemail.smtpPass", config.User, config.Address())
	}
	fmt.Fprintf(a.stderr, "Password of %s at %s: ", config.User, config.Address())
	pass, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(a.stderr)
	return string(pass), err
}
