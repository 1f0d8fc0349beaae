package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"remit/mapping/program"
	"remit/sql/control"
)

// publisher owns the exports that are published: no registration can have the
// name.
const publisher = "$bulk-publish"

// publishManifest is the canonical of the manifest of a publication.
const publishManifest = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkPublishManifest"

// Publications are static exports of what belongs to nobody (organizations,
// practitioners ...), which every client with the scopes may fetch without a
// kick-off: a full one, and where the mappings can tell what changed, increments
// behind it, each the next page of the one before.
//
// Types that hold members' data are not published: whose they are, and what
// members chose, is decided for each client and each export.
//
// Source: Bulk Data 4.0.0-ballot, $bulk-publish (BE-283).
type Publications struct {
	engine *Engine
	// Grace is how long the files of a former epoch stay; default 24 h.
	Grace time.Duration
}

// Publications gives those of the engine.
func (e *Engine) Publications() *Publications {
	return &Publications{engine: e, Grace: 24 * time.Hour}
}

// Publish asks for one publication.
type Publish struct {
	// Types lists what is published; nil means every type that may be.
	Types []string
	// Full begins a new epoch, also where an increment would do.
	Full bool
	// Cadence is how often publications come, 0 where there is no telling.
	Cadence time.Duration
	// URL is the manifest's public URL.
	URL string
}

// ErrNotPublic says that a type cannot be published, since it holds members'
// data or is not made at all.
var ErrNotPublic = errors.New("holds members' data, or is not exported")

// published lists the types that may be published, and whether an increment can
// tell what changed in them.
func published(types []program.Type, wanted []string) (names []string, tracked bool, err error) {
	tracked = true
	for _, t := range types {
		if t.Reach != program.Shared || wanted != nil && !slices.Contains(wanted, t.Name) {
			continue
		}
		names = append(names, t.Name)
		tracked = tracked && t.Tracked
	}
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return nil, false, fmt.Errorf("resource type %s: %w", w, ErrNotPublic)
		}
	}
	if len(names) == 0 {
		return nil, false, fmt.Errorf("resource types of the mapping set: %w", ErrNotPublic)
	}
	return names, tracked, nil
}

// Publish makes an export and publishes it: an increment of the current epoch
// where there is one of the same types and the mappings tell what changed, else
// the beginning of a new epoch. Errors: ErrNotPublic; *FailedError;
// control.ErrConflict where another server published meanwhile.
func (p *Publications) Publish(ctx context.Context, q Publish, progress func(*Status)) (*control.Publication, error) {
	e := p.engine
	runner, _ := e.Program()
	if runner == nil {
		return nil, errors.New("publish: no mapping set is loaded")
	}
	types, tracked, err := published(runner.Types(), q.Types)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	out := &control.Publication{Types: types, Cadence: isoDuration(q.Cadence)}
	r := Request{ClientID: publisher, Level: LevelSystem, Types: types, URL: q.URL}
	last, err := p.last(ctx)
	if err != nil {
		return nil, err
	}
	if last != nil && !q.Full && tracked && slices.Equal(last.Types, types) {
		out.Epoch, out.N, r.Since = last.Epoch, last.N+1, last.TransactionTime
	}
	st, err := e.Run(ctx, r, progress)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	out.ExportID, out.TransactionTime, out.Published = st.ID, st.TransactionTime, e.Clock().UTC().Truncate(time.Millisecond)
	if out.Epoch == "" {
		out.Epoch = st.ID
	}
	// Far beyond any expiry; retirement sets a nearer one.
	if err := e.Control.Publish(ctx, out, out.Published.AddDate(100, 0, 0)); err != nil {
		return nil, errors.Join(err, e.Delete(context.WithoutCancel(ctx), st.ID))
	}
	e.Log.InfoContext(ctx, "published", "job_id", st.ID, "chunk", out.N, "resources", st.Exported)
	now := e.Clock()
	if _, err := e.Control.ForgetPublications(ctx, now.Add(-p.Grace), now); err != nil {
		return out, err
	}
	return out, nil
}

// last is the newest publication of the current epoch, nil without one.
func (p *Publications) last(ctx context.Context) (*control.Publication, error) {
	current, err := p.engine.Control.CurrentPublication(ctx)
	if errors.Is(err, control.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	chain, err := p.engine.Control.PublicationChain(ctx, current.Epoch)
	if err != nil {
		return nil, err
	}
	return chain[len(chain)-1], nil
}

// Due says whether the newest publication is older than the cadence, and when
// the epoch is older than epoch, where that is above 0.
func (p *Publications) Due(ctx context.Context, cadence, epoch time.Duration) (due, full bool, err error) {
	last, err := p.last(ctx)
	if err != nil || last == nil {
		return err == nil, true, err
	}
	chain, err := p.engine.Control.PublicationChain(ctx, last.Epoch)
	if err != nil {
		return false, false, err
	}
	now := p.engine.Clock()
	return now.Sub(last.Published) >= cadence, epoch > 0 && now.Sub(chain[0].Published) >= epoch, nil
}

// PublishedManifest is one page of a publication.
type PublishedManifest struct {
	ManifestType        string          `json:"manifestType"`
	TransactionTime     string          `json:"transactionTime"`
	UpdateCadence       string          `json:"updateCadence,omitempty"`
	RequiresAccessToken bool            `json:"requiresAccessToken"`
	OutputFormat        string          `json:"outputFormat"`
	Output              []PublishedFile `json:"output"`
	Deleted             []PublishedFile `json:"deleted,omitempty"`
	Outcome             []PublishedFile `json:"outcome,omitempty"`
	Link                []PublishedLink `json:"link,omitempty"`

	// Types are those of the whole publication.
	Types []string `json:"-"`
}

// PublishedFile is one file of a page. Deleted and outcome files have no type.
type PublishedFile struct {
	Type     string `json:"type,omitempty"`
	URL      string `json:"url"`
	Count    int64  `json:"count"`
	FileSize int64  `json:"fileSize"`
}

// PublishedLink leads on: to the URL of the next page, "#pending" where none is
// there yet, "#closed" where none will come.
type PublishedLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// Manifest lays down one page of a publication: that of the export, or the
// first of the current epoch for "". base is the public URL of the root page.
// Error: ErrNotFound.
func (p *Publications) Manifest(ctx context.Context, exportID, base string, requiresAccessToken bool) (*PublishedManifest, error) {
	e := p.engine
	var page *control.Publication
	var err error
	if exportID == "" {
		page, err = e.Control.CurrentPublication(ctx)
	} else {
		page, err = e.Control.Publication(ctx, exportID)
	}
	if errors.Is(err, control.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	m, err := e.Manifest(ctx, page.ExportID, base+"/"+page.ExportID+"/", requiresAccessToken)
	if errors.Is(err, ErrExpired) || errors.Is(err, ErrNotReady) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	out := &PublishedManifest{ManifestType: publishManifest, TransactionTime: m.TransactionTime, UpdateCadence: page.Cadence,
		RequiresAccessToken: requiresAccessToken, OutputFormat: "application/fhir+ndjson", Output: []PublishedFile{}, Types: page.Types}
	files := func(list []ManifestFile, typed bool) []PublishedFile {
		var all []PublishedFile
		for _, f := range list {
			one := PublishedFile{URL: f.URL, Count: f.Count}
			if typed {
				one.Type = f.Type
			}
			if f.Info != nil {
				one.FileSize = f.Info.Bytes
			}
			all = append(all, one)
		}
		return all
	}
	out.Output = append(out.Output, files(m.Output, true)...)
	out.Deleted, out.Outcome = files(m.Deleted, false), files(m.Error, false)
	next, err := p.next(ctx, page)
	if err != nil {
		return nil, err
	}
	switch {
	case next == "":
	case strings.HasPrefix(next, "#"):
		out.Link = []PublishedLink{{"next", next}}
	default:
		out.Link = []PublishedLink{{"next", base + "/" + next}}
	}
	return out, nil
}

// next tells what follows a page: an export's id, a mark, or "" where the
// publication is renewed as a whole.
func (p *Publications) next(ctx context.Context, page *control.Publication) (string, error) {
	chain, err := p.engine.Control.PublicationChain(ctx, page.Epoch)
	if err != nil {
		return "", err
	}
	if int(page.N)+1 < len(chain) {
		return chain[page.N+1].ExportID, nil
	}
	runner, _ := p.engine.Program()
	if runner == nil {
		return "", nil
	}
	_, tracked, err := published(runner.Types(), page.Types)
	switch {
	case err != nil || !tracked:
		return "", nil // types that are no more are renewed as a whole
	case !page.Retired.IsZero():
		return "#closed", nil
	}
	return "#pending", nil
}

// OpenFile finds a file of a publication. Error: ErrNotFound.
func (p *Publications) OpenFile(ctx context.Context, exportID, name string) (*File, error) {
	if _, err := p.engine.Control.Publication(ctx, exportID); errors.Is(err, control.ErrNotFound) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, err
	}
	return p.engine.OpenFile(ctx, exportID, name)
}

// isoDuration writes a duration in ISO 8601, "" for 0.
func isoDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return ""
	case d%day == 0:
		return fmt.Sprintf("P%dD", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("PT%dH", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("PT%dM", d/time.Minute)
	}
	return fmt.Sprintf("PT%dS", max(1, d/time.Second))
}
