// Package audit writes the audit trail as FHIR AuditEvents, one a line, and
// checks a file of them against the chains of the control store. It adds nothing
// to the trail, and there is nothing in it of what a client read.
//
// Source: FHIR R4, AuditEvent.
package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"remit/sql/control"
)

// The code systems of AuditEvent.
const (
	dicom       = "http://dicom.nema.org/resources/ontology/DCM"
	eventType   = "http://terminology.hl7.org/CodeSystem/audit-event-type"
	interaction = "http://hl7.org/fhir/restful-interaction"
	entityRole  = "http://terminology.hl7.org/CodeSystem/object-role"
)

type object = map[string]any

type coding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

// kind is what an action of the trail is in the words of AuditEvent.
type kind struct {
	typ     coding
	subtype *coding
	action  string // C, R, U, D, E
}

func rest(code, action string) kind {
	return kind{coding{eventType, "rest", "RESTful Operation"}, &coding{interaction, code, code}, action}
}

// kindOf tells the kind of an action; what is not listed is an activity of the
// application.
func kindOf(action string) kind {
	switch action {
	case "token", "authenticate":
		return kind{coding{dicom, "110114", "User Authentication"}, &coding{dicom, "110122", "Login"}, "E"}
	case "token-revoke":
		return kind{coding{dicom, "110114", "User Authentication"}, &coding{dicom, "110123", "Logout"}, "E"}
	case "kick-off":
		return rest("operation", "E")
	case "download", "access", "read":
		return rest("read", "R")
	case "search":
		return rest("search-type", "E")
	case "delete", "expire":
		return rest("delete", "D")
	case "export":
		return kind{coding{dicom, "110106", "Export"}, nil, "R"}
	}
	if strings.HasPrefix(action, "client-") || strings.HasPrefix(action, "member-choices") || strings.HasPrefix(action, "admin") {
		return kind{coding{dicom, "110137", "User Security Attributes Changed"}, nil, "U"}
	}
	return kind{coding{dicom, "110100", "Application Activity"}, nil, "E"}
}

// outcomes are AuditEvent.outcome: success, minor failure (the caller's),
// serious failure (ours).
func outcomeOf(outcome string) string {
	switch outcome {
	case "ok":
		return "0"
	case "refused":
		return "4"
	}
	return "8"
}

// Resource is the event as an AuditEvent. Its last entity carries the event's
// place in the chain; together with the other members that is all that
// control.Event holds.
func Resource(e *control.Event) ([]byte, error) {
	k := kindOf(e.Action)
	agent := object{"requestor": true}
	switch {
	case e.Actor != "":
		agent["who"] = object{"display": e.Actor}
		agent["altId"] = e.Actor
	case e.ClientID != "":
		agent["who"] = object{"identifier": object{"value": e.ClientID}}
		agent["altId"] = e.ClientID
	default:
		agent["who"] = object{"display": "unknown"}
	}
	if e.Remote != "" {
		agent["network"] = object{"address": e.Remote, "type": "2"}
	}
	var entities []object
	if e.ExportID != "" {
		entities = append(entities, object{"what": object{"identifier": object{"value": e.ExportID}}, "role": coding{entityRole, "20", "Job"}})
	}
	if e.Actor != "" && e.ClientID != "" {
		entities = append(entities, object{"what": object{"identifier": object{"value": e.ClientID}}, "role": coding{entityRole, "11", "Security User Entity"}})
	}
	detail := func(name, value string) object { return object{"type": name, "valueString": value} }
	entities = append(entities, object{"name": "audit chain", "role": coding{entityRole, "13", "Security Resource"}, "detail": []object{
		detail("server", e.Server), detail("seq", strconv.FormatInt(e.Seq, 10)), detail("hash", e.Hash),
	}})
	r := struct {
		ResourceType string   `json:"resourceType"`
		ID           string   `json:"id"`
		Type         coding   `json:"type"`
		Subtype      []coding `json:"subtype,omitempty"`
		Action       string   `json:"action"`
		Recorded     string   `json:"recorded"`
		Outcome      string   `json:"outcome"`
		OutcomeDesc  string   `json:"outcomeDesc"`
		Agent        []object `json:"agent"`
		Source       object   `json:"source"`
		Entity       []object `json:"entity"`
	}{
		ResourceType: "AuditEvent", ID: e.ID, Type: k.typ, Action: k.action, Recorded: e.At.UTC().Format("2006-01-02T15:04:05.000Z"),
		Outcome: outcomeOf(e.Outcome), OutcomeDesc: strings.TrimSpace(e.Action + " " + e.Outcome + ": " + e.Detail),
		Agent: []object{agent}, Source: object{"observer": object{"display": e.Server}}, Entity: entities,
	}
	if k.subtype != nil {
		r.Subtype = []coding{*k.subtype}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("write audit event: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Log appends events to a file as they happen, for whoever collects such files.
// The store is the trail; the file is a copy that another hand can keep.
type Log struct {
	mu   sync.Mutex
	file *os.File
	log  *slog.Logger
}

// OpenLog opens the file for appending and makes it where it is missing,
// readable by its owner alone.
func OpenLog(path string, log *slog.Logger) (*Log, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return &Log{file: f, log: log}, nil
}

// Append writes events. What cannot be written is told in the log: the store
// holds it.
func (l *Log) Append(events []control.Event) {
	var b bytes.Buffer
	for i := range events {
		line, err := Resource(&events[i])
		if err != nil {
			l.log.Error("audit event not copied to its file", slog.String("error", err.Error()))
			continue
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(b.Bytes()); err != nil {
		l.log.Error("audit events not copied to their file", slog.String("error", err.Error()), slog.Int("events", len(events)))
	}
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

// page is how many events are read at once.
const page = 1000

// Events calls do for each event of all chains from the instant on, chain by
// chain, in order.
func Events(ctx context.Context, s *control.Store, from time.Time, do func(*control.Event) error) error {
	chains, err := s.Chains(ctx)
	if err != nil {
		return err
	}
	for _, c := range chains {
		for at := c.BaseSeq; at < c.HeadSeq; {
			events, err := s.EventsAfter(ctx, c.Server, at, page)
			if err != nil {
				return err
			}
			if len(events) == 0 {
				break
			}
			for i := range events {
				at = events[i].Seq
				if events[i].At.Before(from) {
					continue
				}
				if err := do(&events[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Write writes the events from the instant on as NDJSON, and says how many.
func Write(ctx context.Context, s *control.Store, w io.Writer, from time.Time) (int64, error) {
	var n int64
	out := bufio.NewWriter(w)
	err := Events(ctx, s, from, func(e *control.Event) error {
		line, err := Resource(e)
		if err != nil {
			return err
		}
		n++
		_, err = out.Write(append(line, '\n'))
		return err
	})
	return n, errors.Join(err, out.Flush())
}

// Mismatch is a line of a file that is not what the store holds.
type Mismatch struct {
	Line int
	What string
}

// Compare reads a file that a Log wrote, or Write, against the store: each line
// must be, byte for byte, the event that the store holds at its place. Lines of
// events that were trimmed from the store are counted, not compared.
func Compare(ctx context.Context, s *control.Store, file io.Reader) (compared, trimmed int64, wrong []Mismatch, err error) {
	chains, err := s.Chains(ctx)
	if err != nil {
		return 0, 0, nil, err
	}
	base := map[string]int64{}
	for _, c := range chains {
		base[c.Server] = c.BaseSeq
	}
	in := bufio.NewScanner(file)
	in.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for n := 1; in.Scan(); n++ {
		server, seq, ok := place(in.Bytes())
		if !ok {
			wrong = append(wrong, Mismatch{n, "is no audit event of a chain"})
			continue
		}
		first, known := base[server]
		if known && seq <= first {
			trimmed++
			continue
		}
		events, err := s.EventsAfter(ctx, server, seq-1, 1)
		if err != nil {
			return compared, trimmed, wrong, err
		}
		if len(events) == 0 || events[0].Seq != seq {
			wrong = append(wrong, Mismatch{n, fmt.Sprintf("event %d of %s is not in the store", seq, server)})
			continue
		}
		line, err := Resource(&events[0])
		if err != nil {
			return compared, trimmed, wrong, err
		}
		compared++
		if !bytes.Equal(line, in.Bytes()) {
			wrong = append(wrong, Mismatch{n, fmt.Sprintf("event %d of %s differs from the store", seq, server)})
		}
	}
	return compared, trimmed, wrong, in.Err()
}

// place reads where in which chain a line stands.
func place(line []byte) (server string, seq int64, ok bool) {
	var r struct {
		Entity []struct {
			Detail []struct {
				Type        string `json:"type"`
				ValueString string `json:"valueString"`
			} `json:"detail"`
		} `json:"entity"`
	}
	if json.Unmarshal(line, &r) != nil {
		return "", 0, false
	}
	for _, e := range r.Entity {
		for _, d := range e.Detail {
			switch d.Type {
			case "server":
				server = d.ValueString
			case "seq":
				seq, _ = strconv.ParseInt(d.ValueString, 10, 64)
			}
		}
	}
	return server, seq, seq > 0
}
