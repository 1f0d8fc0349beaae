package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	Link                []Link `json:"link,omitempty"`

	Raw []byte `json:"-"`
}

// Item is one file of a manifest.
type Item struct {
	Type string `json:"type"`
	URL  string `json:"url"`
	// Count is the number of resources; nil where the server does not say.
	Count *int64 `json:"count,omitempty"`
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
	if m.Output == nil {
		return nil, lasting{errors.New("read manifest: it has no output")}
	}
	// The first guide allowed URLs relative to the status URL (BE-176).
	for _, list := range [][]Item{m.Output, m.Deleted, m.Error} {
		for i := range list {
			if list[i].URL, err = absolute(resp.Request.URL, list[i].URL); err != nil {
				return nil, err
			}
		}
	}
	for i := range m.Link {
		if m.Link[i].URL, err = absolute(resp.Request.URL, m.Link[i].URL); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func absolute(base *url.URL, ref string) (string, error) {
	u, err := base.Parse(ref)
	if err != nil || ref == "" {
		return "", lasting{errors.New("read manifest: an item has no valid URL")}
	}
	return u.String(), nil
}
