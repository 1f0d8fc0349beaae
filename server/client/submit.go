package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// SubmitScope is the scope of every request of a submission.
const SubmitScope = "system/bulk-submit"

// SubmissionState is what a submitter says of a submission.
type SubmissionState string

// The states (FHIR event-status).
const (
	SubmissionInProgress SubmissionState = "in-progress" // more requests follow
	SubmissionCompleted  SubmissionState = "completed"   // this was the last
	SubmissionStopped    SubmissionState = "stopped"     // drop what was sent
)

// Identifier names a submitter, as agreed with the receiver.
type Identifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value"`
}

// Submission names a set of manifests that a receiver takes as one.
//
// Source: Bulk Data 4.0.0-ballot, $bulk-submit (BE-284).
type Submission struct {
	Submitter Identifier
	// ID is unique for the submitter.
	ID string
}

// SubmittedManifest is one manifest of a submission.
type SubmittedManifest struct {
	// URL is where the receiver fetches it.
	URL string
	// FHIRBase is what relative references of the resources are resolved
	// against.
	FHIRBase string
	// Replaces is the URL of an earlier manifest whose data this one replaces;
	// "" for none.
	Replaces string
	// OAuthMetadata is where the receiver learns how to get a token for the
	// files; "" where they need none.
	OAuthMetadata string
	// Headers are sent by the receiver with each request for a file.
	Headers http.Header
	// OutputFormat is the format of the files; "" for NDJSON.
	OutputFormat string
}

// parameter is one parameter of a Parameters resource.
type parameter map[string]any

func parametersJSON(list []parameter) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any{"resourceType": "Parameters", "parameter": list}); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (s *Submission) parameters() ([]parameter, error) {
	if s.Submitter.Value == "" || s.ID == "" {
		return nil, errors.New("a submission needs a submitter and an id")
	}
	return []parameter{{"name": "submitter", "valueIdentifier": s.Submitter}, {"name": "submissionId", "valueString": s.ID}}, nil
}

// Submit tells a receiver of one manifest, or with m nil only of the state. The
// client's scope must be SubmitScope.
func (c *Client) Submit(ctx context.Context, s Submission, m *SubmittedManifest, state SubmissionState) error {
	list, err := s.parameters()
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	if m == nil && state == "" {
		return errors.New("submit: neither a manifest nor a state")
	}
	if state != "" {
		list = append(list, parameter{"name": "submissionStatus", "valueCoding": map[string]string{"system": "http://hl7.org/fhir/event-status", "code": string(state)}})
	}
	if m != nil {
		if m.URL == "" || m.FHIRBase == "" {
			return errors.New("submit: a manifest needs its URL and the FHIR base")
		}
		list = append(list, parameter{"name": "manifestUrl", "valueUrl": m.URL}, parameter{"name": "fhirBaseUrl", "valueUrl": m.FHIRBase})
		if m.Replaces != "" {
			list = append(list, parameter{"name": "replacesManifestUrl", "valueUrl": m.Replaces})
		}
		if m.OutputFormat != "" {
			list = append(list, parameter{"name": "outputFormat", "valueString": m.OutputFormat})
		}
		if m.OAuthMetadata != "" {
			list = append(list, parameter{"name": "oauthMetadataUrl", "valueUrl": m.OAuthMetadata})
		}
		var names []string
		for name := range m.Headers {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			for _, value := range m.Headers[name] {
				list = append(list, parameter{"name": "fileRequestHeader", "part": []parameter{
					{"name": "headerName", "valueString": name}, {"name": "headerValue", "valueString": value},
				}})
			}
		}
	}
	body, err := parametersJSON(list)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	return c.post(ctx, "submit", c.prefix+"/$bulk-submit", body, nil, func(resp *http.Response) error {
		if resp.StatusCode/100 != 2 {
			return c.failure("submit", resp)
		}
		return nil
	})
}

// post sends a body that must not be sent twice unless the server refused it.
func (c *Client) post(ctx context.Context, op, target string, body []byte, h http.Header, answer func(*http.Response) error) error {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Accept", "application/fhir+json")
	h.Set("Content-Type", "application/fhir+json")
	return c.again(ctx, func(ctx context.Context) error {
		resp, err := c.send(ctx, op, http.MethodPost, target, h, bytes.NewReader(body), true)
		if err != nil {
			return lasting{err}
		}
		defer resp.Body.Close()
		return answer(resp)
	})
}

// SubmitStatus asks a receiver to tell of a submission, and returns the URL to
// poll; see Poll.
func (c *Client) SubmitStatus(ctx context.Context, s Submission) (statusURL string, err error) {
	list, err := s.parameters()
	if err != nil {
		return "", fmt.Errorf("submit status: %w", err)
	}
	body, err := parametersJSON(append(list, parameter{"name": "_outputFormat", "valueString": "application/fhir+ndjson"}))
	if err != nil {
		return "", fmt.Errorf("submit status: %w", err)
	}
	err = c.post(ctx, "submit status", c.prefix+"/$bulk-submit-status", body, http.Header{"Prefer": {"respond-async"}}, func(resp *http.Response) error {
		if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
			return c.failure("submit status", resp)
		}
		at, err := resp.Request.URL.Parse(resp.Header.Get("Content-Location"))
		if err != nil || resp.Header.Get("Content-Location") == "" {
			return lasting{errors.New("submit status: the answer has no Content-Location")}
		}
		statusURL = at.String()
		return nil
	})
	return statusURL, err
}

// Published fetches what a server publishes: the root page of $bulk-publish and
// those that it links to. etag is that of the last time, "" for the first; where
// nothing has changed since, the manifest is nil.
//
// The manifest's next is the mark or page at which the publication ends now.
//
// Source: Bulk Data 4.0.0-ballot, $bulk-publish (BE-283).
func (c *Client) Published(ctx context.Context, etag string) (m *Manifest, newTag string, err error) {
	var whole *Manifest
	seen := map[string]bool{}
	for next := c.prefix + "/$bulk-publish"; next != ""; {
		if seen[next] {
			return nil, "", errors.New("publication: the manifest's links go in a circle")
		}
		seen[next] = true
		var page *Manifest
		err := c.again(ctx, func(ctx context.Context) error {
			h := http.Header{"Accept": {"application/json"}}
			if whole == nil && etag != "" {
				h.Set("If-None-Match", etag)
			}
			resp, err := c.send(ctx, "publication", http.MethodGet, next, h, nil, true)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			switch {
			case resp.StatusCode == http.StatusNotModified && h.Get("If-None-Match") != "":
				return nil
			case resp.StatusCode != http.StatusOK:
				return c.failure("publication", resp)
			}
			if whole == nil {
				newTag = resp.Header.Get("ETag")
			}
			page, err = readManifest(resp)
			return err
		})
		if err != nil {
			return nil, "", err
		}
		if page == nil {
			return nil, etag, nil
		}
		next = page.next()
		if whole == nil {
			whole = page
		} else {
			whole.add(page)
		}
	}
	return whole, newTag, nil
}
