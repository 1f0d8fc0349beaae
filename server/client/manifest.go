package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Manifest is what a server answers when an export is done (Bulk Data 3.0.0,
// Response - Complete Status). Raw is the body as received.
type Manifest struct {
	TransactionTime     string `json:"transactionTime"`
	Request             string `json:"request"`
	RequiresAccessToken bool   `json:"requiresAccessToken"`
	Output              []Item `json:"output"`
	Deleted             []Item `json:"deleted,omitempty"`
	Error               []Item `json:"error"`
	// SubmissionID is set in the manifest of a submission's status.
	SubmissionID string `json:"submissionId,omitempty"`
	// Outcome is what 4.0.0 calls Error; reading moves it there.
	Outcome []Item `json:"outcome,omitempty"`
	Link    []Link `json:"link,omitempty"`

	Raw []byte `json:"-"`
}

// Item is one file of a manifest.
type Item struct {
	Type string `json:"type"`
	URL  string `json:"url"`
	// Count is the number of resources; nil where the server does not say.
	Count *int64 `json:"count,omitempty"`
	// Severities counts the issues of an outcome file, where the server does.
	Severities []Severity `json:"countSeverity,omitempty"`
}

// Severity counts issues of one severity.
type Severity struct {
	Code  string `json:"code"`
	Count int64  `json:"count"`
}

// Link leads to a further page of the manifest.
type Link struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// maxManifest bounds a manifest.
const maxManifest = 64 << 20

func readManifest(resp *http.Response) (*Manifest, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if len(body) > maxManifest {
		return nil, lasting{fmt.Errorf("read manifest: more than %d bytes", maxManifest)}
	}
	m := &Manifest{Raw: body}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, lasting{fmt.Errorf("read manifest: %w", err)}
	}
	if m.Output == nil && m.Link == nil && m.Outcome == nil && m.Deleted == nil && m.TransactionTime == "" {
		return nil, lasting{errors.New("read manifest: it has no output")}
	}
	m.Error = append(m.Error, m.Outcome...)
	m.Outcome = nil
	// The first guide allowed URLs relative to the status URL (BE-176).
	for _, list := range [][]Item{m.Output, m.Deleted, m.Error} {
		for i := range list {
			if list[i].URL, err = absolute(resp.Request.URL, list[i].URL); err != nil {
				return nil, err
			}
		}
	}
	for i := range m.Link {
		if strings.HasPrefix(m.Link[i].URL, "#") {
			continue // a mark, see next
		}
		if m.Link[i].URL, err = absolute(resp.Request.URL, m.Link[i].URL); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// next is the URL of the page behind this one; "" on the last, be it that more
// will come ("#pending") or none ever ("#closed").
func (m *Manifest) next() string {
	for _, l := range m.Link {
		if l.Relation == "next" && !strings.HasPrefix(l.URL, "#") {
			return l.URL
		}
	}
	return ""
}

// add takes over the files of a further page, but for those that are listed
// already.
func (m *Manifest) add(page *Manifest) {
	known := map[string]bool{}
	for _, list := range [][]Item{m.Output, m.Deleted, m.Error} {
		for _, item := range list {
			known[item.URL] = true
		}
	}
	merge := func(to, from []Item) []Item {
		for _, item := range from {
			if !known[item.URL] {
				known[item.URL] = true
				to = append(to, item)
			}
		}
		return to
	}
	m.Output, m.Deleted, m.Error = merge(m.Output, page.Output), merge(m.Deleted, page.Deleted), merge(m.Error, page.Error)
	// Of a publication the last page tells how far it goes.
	if page.TransactionTime > m.TransactionTime {
		m.TransactionTime = page.TransactionTime
	}
}

func absolute(base *url.URL, ref string) (string, error) {
	u, err := base.Parse(ref)
	if err != nil || ref == "" {
		return "", lasting{errors.New("read manifest: an item has no valid URL")}
	}
	return u.String(), nil
}
