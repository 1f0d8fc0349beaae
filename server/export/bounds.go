package export

import (
	"time"

	"remit/mapping/program"
	"remit/profiles/search"
)

// bounds are what the program can narrow its rows by: the dates that filters ask
// for. The filters still have the last word.
func (s *shape) bounds() map[string][][]program.Bound {
	out := map[string][][]program.Bound{}
	for _, by := range []map[string][]*search.Filter{s.asked, s.granted} {
		for typ, list := range by {
			if out[typ] != nil {
				continue // what is asked for narrows enough
			}
			if alternatives := boundsOf(list); alternatives != nil {
				out[typ] = alternatives
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// boundsOf is nil where any of the filters has no date to narrow by.
func boundsOf(list []*search.Filter) [][]program.Bound {
	var out [][]program.Bound
	for _, f := range list {
		var all []program.Bound
		for i := range f.Clauses {
			if b, ok := boundOf(&f.Clauses[i]); ok {
				all = append(all, b)
			}
		}
		if all == nil {
			return nil
		}
		out = append(out, all)
	}
	return out
}

func boundOf(c *search.Clause) (b program.Bound, ok bool) {
	paths, plain := c.Parameter.Paths()
	if c.Parameter.Kind != search.Date || c.Modifier != "" || !plain || len(paths) != 1 || len(c.Values) != 1 {
		return b, false
	}
	v := &c.Values[0]
	b.Path = paths[0]
	// A day of the column stands for all of that day, in whatever zone: a day
	// more on each side is never too little.
	lo, hi := day(v.Range.Lo, -1), day(v.Range.Hi, 1)
	switch v.Prefix {
	case search.EQ:
		b.From, b.UpTo = lo, hi
	case search.GE, search.GT, search.SA:
		b.From = lo
	case search.LE, search.LT, search.EB:
		b.UpTo = hi
	default:
		return b, false
	}
	return b, true
}

// day is the ISO day of an instant, some days away; "" beyond four-digit years.
func day(micros int64, away int) string {
	t := time.UnixMicro(micros).UTC().AddDate(0, 0, away)
	if t.Year() < 1 || t.Year() > 9999 {
		return ""
	}
	return t.Format(time.DateOnly)
}
