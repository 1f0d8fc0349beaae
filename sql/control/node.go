package control

import (
	"context"
	"time"
)

// Node is a process that works on exports.
type Node struct {
	ID      string
	Version string // of the program
	Workers int    // chunks it runs at once, 0 where it only serves
	Started time.Time
	Seen    time.Time // its last sign of life
}

type nodeRow struct {
	ID      string `db:"id"`
	Version string `db:"version"`
	Workers int    `db:"workers"`
	Started int64  `db:"started"`
	Seen    int64  `db:"seen"`
}

// Announce tells the other nodes that n is alive at n.Seen.
func (s *Store) Announce(ctx context.Context, n Node) error {
	_, err := s.exec(ctx, s.db, "node-announce", n.ID, n.Version, n.Workers, millis(n.Started), millis(n.Seen))
	return err
}

// Leave takes a node off the list, so that what it was running is free at once.
func (s *Store) Leave(ctx context.Context, id string) error {
	_, err := s.exec(ctx, s.db, "node-leave", id)
	return err
}

// ForgetNodes removes the nodes not heard of since before.
func (s *Store) ForgetNodes(ctx context.Context, before time.Time) error {
	_, err := s.exec(ctx, s.db, "node-forget", millis(before))
	return err
}

// Nodes lists the nodes, the longest running first.
func (s *Store) Nodes(ctx context.Context) ([]Node, error) {
	var rows []nodeRow
	if err := s.list(ctx, &rows, "node-list"); err != nil {
		return nil, err
	}
	all := make([]Node, len(rows))
	for i, r := range rows {
		all[i] = Node{ID: r.ID, Version: r.Version, Workers: r.Workers, Started: instant(r.Started), Seen: instant(r.Seen)}
	}
	return all, nil
}
