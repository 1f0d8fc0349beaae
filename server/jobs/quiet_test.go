package jobs

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// While the database is away the log says so now and then, not at each poll.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := newQuiet(slog.NewTextHandler(&out, nil))
	log := slog.New(h).With("queue", "q").Handler()
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, r := range []struct {
		after   time.Duration
		message string
	}{
		{0, "fetch"}, {time.Second, "fetch"}, {2 * time.Second, "elect"}, {9 * time.Second, "fetch"},
		{11 * time.Second, "fetch"}, {12 * time.Second, "fetch"}, {0, "JobExecutor: Job errored"},
	} {
		if err := log.Handle(context.Background(), slog.NewRecord(at.Add(r.after), slog.LevelError, r.message, 0)); err != nil {
			t.Fatal(err)
		}
	}
	text := out.String()
	if strings.Count(text, "msg=fetch") != 2 || strings.Count(text, "msg=elect") != 1 || strings.Contains(text, "Job errored") {
		t.Errorf("log is\n%s", text)
	}
	if log.Enabled(context.Background(), slog.LevelInfo) {
		t.Error("information comes through")
	}
}
