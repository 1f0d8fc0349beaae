package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Publication is one export that is published: a full one, with which an epoch
// begins, or an increment behind it.
type Publication struct {
	ExportID string
	Epoch    string // export id of the full one
	N        int64  // place in the chain, 0 for the full one
	Types    []string
	// Cadence is the ISO 8601 duration between publications, "" where there is
	// no telling.
	Cadence         string
	TransactionTime time.Time
	Published       time.Time
	// Retired is when another epoch took its place, zero while current.
	Retired time.Time
}

type publicationRow struct {
	ExportID        string `db:"export_id"`
	Epoch           string `db:"epoch"`
	N               int64  `db:"n"`
	Types           string `db:"types"`
	Cadence         string `db:"cadence"`
	TransactionTime int64  `db:"transaction_time"`
	Published       int64  `db:"published"`
	Retired         int64  `db:"retired"`
}

func (r *publicationRow) publication() (*Publication, error) {
	p := &Publication{ExportID: r.ExportID, Epoch: r.Epoch, N: r.N, Cadence: r.Cadence, TransactionTime: instant(r.TransactionTime),
		Published: instant(r.Published), Retired: instant(r.Retired)}
	if err := json.Unmarshal([]byte(r.Types), &p.Types); err != nil {
		return nil, fmt.Errorf("types of publication %s: %w", r.ExportID, err)
	}
	return p, nil
}

// Publish adds a complete export to its chain and keeps its files until forever;
// with N 0 it begins an epoch and retires every other at p.Published. Error:
// ErrConflict where the export is not complete; a plain one where the place in
// the chain is taken.
func (s *Store) Publish(ctx context.Context, p *Publication, forever time.Time) error {
	types, err := json.Marshal(p.Types)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return s.inTx(ctx, "publish", func(tx *sqlx.Tx) error {
		if err := s.cas(ctx, tx, "export-keep", millis(forever), p.ExportID); err != nil {
			return err
		}
		_, err := s.exec(ctx, tx, "publication-add", p.ExportID, p.Epoch, p.N, string(types), p.Cadence, millis(p.TransactionTime), millis(p.Published))
		if err != nil || p.N > 0 {
			return err
		}
		_, err = s.exec(ctx, tx, "publication-retire", millis(p.Published), p.Epoch)
		return err
	})
}

// Publication finds what is published of an export. Error: ErrNotFound.
func (s *Store) Publication(ctx context.Context, exportID string) (*Publication, error) {
	return s.publication(ctx, "publication-by-export", exportID)
}

// CurrentPublication finds the full export of the current epoch. Error:
// ErrNotFound.
func (s *Store) CurrentPublication(ctx context.Context) (*Publication, error) {
	return s.publication(ctx, "publication-current")
}

func (s *Store) publication(ctx context.Context, name string, args ...any) (*Publication, error) {
	var r publicationRow
	if err := s.get(ctx, s.read, &r, name, args...); err != nil {
		return nil, err
	}
	return r.publication()
}

// PublicationChain lists an epoch's publications, the full one first.
func (s *Store) PublicationChain(ctx context.Context, epoch string) ([]*Publication, error) {
	var rows []publicationRow
	if err := s.list(ctx, &rows, "publication-chain", epoch); err != nil {
		return nil, err
	}
	out := make([]*Publication, len(rows))
	for i := range rows {
		var err error
		if out[i], err = rows[i].publication(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ForgetPublications drops the publications that were retired before an
// instant, and lets their exports expire at expires.
func (s *Store) ForgetPublications(ctx context.Context, before, expires time.Time) ([]string, error) {
	var ids []string
	if err := s.list(ctx, &ids, "publication-retired", millis(before)); err != nil {
		return nil, err
	}
	for _, id := range ids {
		err := s.inTx(ctx, "forget publication", func(tx *sqlx.Tx) error {
			if _, err := s.exec(ctx, tx, "publication-drop", id); err != nil {
				return err
			}
			_, err := s.exec(ctx, tx, "export-keep", millis(expires), id)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}
