package server

import (
	"fmt"
	"net/url"
	"strconv"

	"remit/server/export"
)

// Extensions of a manifest's items (BE-185): the size and digest of the
// identity form, so that a client can check what it holds.
const (
	sizeExtension   = "urn:remit:file:size"   // bytes
	digestExtension = "urn:remit:file:sha256" // hexadecimal
)

// manifest is the body of a complete export in the form of the endpoint's
// version (Bulk Data 3.0.0, Response - Complete Status; BE-170..185, BE-282).
type manifest struct {
	TransactionTime     string     `json:"transactionTime"`
	Request             string     `json:"request,omitempty"`
	RequiresAccessToken bool       `json:"requiresAccessToken"`
	OutputOrganizedBy   string     `json:"outputOrganizedBy,omitempty"`
	Output              []item     `json:"output"`
	Deleted             []item     `json:"deleted,omitempty"`
	Error               *[]item    `json:"error,omitempty"`   // to 3.0
	Outcome             *[]item    `json:"outcome,omitempty"` // from 4.0
	Link                []pageLink `json:"link,omitempty"`
}

type item struct {
	Type      string `json:"type,omitempty"`
	URL       string `json:"url"`
	Count     int64  `json:"count"`
	FileSize  int64  `json:"fileSize,omitempty"` // from 4.0
	Extension any    `json:"extension,omitempty"`
}

type pageLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// pages is how many pages the manifest's files make.
func (s *Server) pages(m *export.Manifest) int {
	n := len(m.Output) + len(m.Deleted) + len(m.Error)
	if !m.Paged || n <= s.options.PageFiles {
		return 1
	}
	return (n + s.options.PageFiles - 1) / s.options.PageFiles
}

// page reads the page that a status URL asks for, from 1; 0 where it is none.
func page(q url.Values) int {
	text := q.Get("page")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// manifestJSON writes page number n of the manifest. status is the export's
// status URL, to which further pages belong (BE-182..184).
func (s *Server) manifestJSON(m *export.Manifest, id, status string, n int) []byte {
	out := manifest{TransactionTime: m.TransactionTime, RequiresAccessToken: m.RequiresAccessToken, OutputOrganizedBy: m.OutputOrganizedBy, Output: []item{}}
	first, last := 0, len(m.Output)+len(m.Deleted)+len(m.Error)
	if pages := s.pages(m); pages > 1 {
		first = (n - 1) * s.options.PageFiles
		last = min(last, first+s.options.PageFiles)
		if n < pages {
			out.Link = []pageLink{{"next", withQuery(status, fmt.Sprintf("page=%d", n+1))}}
		}
	}
	ballot := s.options.BulkVersion == 4
	at := 0
	list := func(files []export.ManifestFile, typed bool) []item {
		items := []item{}
		for i := range files {
			if at++; at <= first || at > last {
				continue
			}
			items = append(items, s.item(&files[i], id, typed && m.OutputOrganizedBy == "" || typed && files[i].Kind != "output", ballot))
		}
		return items
	}
	out.Output = list(m.Output, true)
	out.Deleted = list(m.Deleted, !ballot)
	told := list(m.Error, !ballot)
	if ballot {
		out.Outcome = &told
	} else {
		out.Request, out.Error = m.Request, &told
	}
	return encodeJSON(out, "")
}

func (s *Server) item(f *export.ManifestFile, id string, typed, ballot bool) item {
	out := item{URL: f.URL, Count: f.Count}
	if s.options.FileURLKey != nil {
		out.URL += "?" + s.sign(id, f.Name)
	}
	if typed {
		out.Type = f.Type
	}
	if f.Info == nil {
		return out
	}
	if ballot {
		out.FileSize = f.Info.Bytes
		out.Extension = []object{{"url": digestExtension, "valueString": f.Info.SHA256}}
		return out
	}
	out.Extension = object{sizeExtension: f.Info.Bytes, digestExtension: f.Info.SHA256}
	return out
}

// withQuery adds to a URL's query.
func withQuery(u, query string) string {
	for _, c := range u {
		if c == '?' {
			return u + "&" + query
		}
	}
	return u + "?" + query
}

// progress is the X-Progress of a running export: a percentage first, below 100
// characters (BE-159).
func progress(e *export.Status) string {
	text := fmt.Sprintf("%d%% complete", min(max(e.Percent, 0), 99))
	switch {
	case e.State == export.StateAccepted:
		text += "; waiting to start"
	case e.Expected > 0:
		text += fmt.Sprintf("; %d of about %d resources; %s of about %s", e.Exported, e.Expected, amount(e.Bytes), amount(e.ExpectedBytes))
	}
	return text
}

// amount writes bytes for people.
func amount(n int64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 10_000 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n = (n + 500) / 1000
	}
	return fmt.Sprintf("%d TB", n)
}
