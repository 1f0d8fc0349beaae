package mapping_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/mapping/program"
	"remit/sql/source"
)

// shape is a random small mapping: which elements it writes, and how.
type shape struct {
	identifier, period, dispositionFirst, preAuth, careTeam, item, diagnosis, useMap bool
	created                                                                          int // 0 plain, 1 absent, 2 assumed
	keyed, when, itemLink, itemLiteral, nested                                       bool
	twoTeams                                                                         bool
}

func randomShape(r *rand.Rand) shape {
	b := func() bool { return r.IntN(2) == 0 }
	return shape{b(), b(), b(), b(), b(), b(), b(), b(), r.IntN(3), b(), b(), b(), b(), b(), b()}
}

// yaml writes the mapping.
func (s shape) yaml() string {
	var b strings.Builder
	line := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(&b, "  "+format+"\n", args...)
		}
	}
	b.WriteString("resource: ExplanationOfBenefit\nfrom: p\nid: {key: [=id], form: plain}\nset:\n")
	line(s.identifier, `identifier: {system: "urn:a", value: =a}`)
	line(true, "status: active\n  type: {text: x}\n  outcome: complete")
	line(s.useMap, "use: {map: m, of: =b}")
	line(!s.useMap, "use: claim")
	line(true, "patient: {display: =id}\n  insurer: {display: x}\n  provider: {display: x}\n  insurance: {focal: true, coverage: {display: x}}")
	line(s.period, "billablePeriod: {start: =d, end: =e}")
	line(s.created == 0, "created: =d")
	line(s.created == 1, "created: {value: =d, absent: unknown}")
	line(s.created == 2, `created: {value: =d, assumed: "2000-01-01"}`)
	line(s.dispositionFirst, "disposition: {first: [=a, =b, none]}")
	line(s.preAuth, "preAuthRef: [=a, =b]")
	key, when := "", ""
	if s.keyed {
		key = "key: [=x], "
	}
	if s.when {
		when = "when: =flag, "
	}
	team := fmt.Sprintf("{each: c, %s%sprovider: {display: =x}}", key, when)
	if s.twoTeams {
		team = "[{key: [=a], provider: {display: =a}}, " + team + "]"
	}
	line(s.careTeam, "careTeam: %s", team)
	line(s.diagnosis, "diagnosis: {each: c, key: [=n], diagnosisCodeableConcept: {text: =x}}")
	item := "each: c, sequence: =n, productOrService: {text: =y, absent: unknown}"
	if s.itemLiteral {
		item += ", quantity: 2"
	}
	if s.itemLink && s.careTeam && s.keyed {
		item += ", careTeamSequence: {seq: careTeam, key: [=x]}"
	}
	if s.nested {
		item += ", detail: {each: g, productOrService: {text: =z}}"
	}
	line(s.item, "item: {%s}", item)
	return b.String()
}

// row is one row by column; what is not there is NULL.
type row map[string]string

// reference makes what the mapping means of a parent row and its children, the
// slow and plain way.
func (s shape) reference(p row, children, grand []row) map[string]any {
	type object = map[string]any
	out := object{"resourceType": "ExplanationOfBenefit", "id": p["id"], "status": "active", "type": object{"text": "x"}, "outcome": "complete", "use": "claim",
		"patient": object{"display": p["id"]}, "insurer": object{"display": "x"}, "provider": object{"display": "x"},
		"insurance": []any{object{"focal": true, "coverage": object{"display": "x"}}}}
	if s.useMap {
		switch p["b"] {
		case "":
			delete(out, "use")
		case "b1":
			out["use"] = "predetermination"
		default:
			out["use"] = "preauthorization"
		}
	}
	if s.identifier && p["a"] != "" {
		out["identifier"] = []any{object{"system": "urn:a", "value": p["a"]}}
	}
	if s.period && p["d"]+p["e"] != "" {
		period := object{}
		if p["d"] != "" {
			period["start"] = p["d"]
		}
		if p["e"] != "" {
			period["end"] = p["e"]
		}
		out["billablePeriod"] = period
	}
	switch {
	case p["d"] != "":
		out["created"] = p["d"]
	case s.created == 1:
		out["_created"] = object{"extension": []any{object{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}}}
	case s.created == 2:
		out["created"] = "2000-01-01"
	}
	if s.dispositionFirst {
		out["disposition"] = "none"
		for _, v := range []string{p["b"], p["a"]} {
			if v != "" {
				out["disposition"] = v
			}
		}
	}
	if s.preAuth {
		var refs []any
		for _, v := range []string{p["a"], p["b"]} {
			if v != "" {
				refs = append(refs, v)
			}
		}
		if refs != nil {
			out["preAuthRef"] = refs
		}
	}
	var team []any
	number := map[string]int{}
	member := func(name string, keyed bool) {
		if name == "" || keyed && number[name] > 0 {
			return
		}
		team = append(team, object{"sequence": float64(len(team) + 1), "provider": object{"display": name}})
		if keyed {
			number[name] = len(team)
		}
	}
	if s.careTeam {
		if s.twoTeams {
			member(p["a"], true)
		}
		for _, c := range children {
			if !s.when || c["flag"] == "true" {
				member(c["x"], s.keyed)
			}
		}
	}
	if team != nil {
		out["careTeam"] = team
	}
	var diagnoses, items []any
	for _, c := range children {
		if s.diagnosis && c["x"] != "" {
			diagnoses = append(diagnoses, object{"sequence": float64(len(diagnoses) + 1), "diagnosisCodeableConcept": object{"text": c["x"]}})
		}
		if !s.item {
			continue
		}
		var n float64
		_, _ = fmt.Sscan(c["n"], &n)
		item := object{"sequence": n, "productOrService": object{"text": c["y"]}}
		if c["y"] == "" {
			item["productOrService"] = object{"extension": []any{object{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}}}
		}
		if s.itemLiteral {
			item["quantity"] = object{"value": float64(2)}
		}
		if at := number[c["x"]]; s.itemLink && s.careTeam && s.keyed && at > 0 {
			item["careTeamSequence"] = []any{float64(at)}
		}
		if s.nested {
			var details []any
			for _, g := range grand {
				if g["n"] == c["n"] && g["z"] != "" {
					details = append(details, object{"sequence": float64(len(details) + 1), "productOrService": object{"text": g["z"]}})
				}
			}
			if details != nil {
				item["detail"] = details
			}
		}
		items = append(items, item)
	}
	if diagnoses != nil {
		out["diagnosis"] = diagnoses
	}
	if items != nil {
		out["item"] = items
	}
	return out
}

// TestProperty_ReferenceEvaluation runs random rows through random small
// mappings: what the program emits is what a slow evaluation of the same
// meaning gives.
func TestProperty_ReferenceEvaluation(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := randomShape(r)
		maybe := func(values ...string) string {
			if r.IntN(3) == 0 {
				return ""
			}
			return values[r.IntN(len(values))]
		}
		f := &fake{tables: map[string]*fakeTable{
			"p": {columns: []source.Column{column("id", source.KindText), column("a", source.KindText), column("b", source.KindText), column("d", source.KindDate), column("e", source.KindDate)}},
			"c": {columns: []source.Column{column("id", source.KindText), column("n", source.KindInteger), column("x", source.KindText), column("y", source.KindText), column("flag", source.KindBoolean)}},
			"g": {columns: []source.Column{column("id", source.KindText), column("n", source.KindInteger), column("k", source.KindInteger), column("z", source.KindText)}},
		}}
		add := func(table string, values ...string) row {
			x := row{}
			for i, c := range f.tables[table].columns {
				if values[i] != "" {
					x[c.Name] = values[i]
				}
			}
			f.tables[table].rows = append(f.tables[table].rows, values)
			return x
		}
		var want []map[string]any
		for i := range 5 {
			id := fmt.Sprintf("P%d", i)
			p := add("p", id, maybe("a1", "x1"), maybe("b1", "b2"), maybe("2020-01-02", "2021-03-04"), maybe("2022-05-06"))
			var children, grand []row
			for n := range r.IntN(4) {
				number := fmt.Sprint(n*9 + 1) // 1, 10, 19: order is that of numbers
				children = append(children, add("c", id, number, maybe("x1", "x2"), maybe("y1"), maybe("true", "false")))
				for k := range r.IntN(3) {
					grand = append(grand, add("g", id, number, fmt.Sprint(k), maybe("z1", "z2")))
				}
			}
			want = append(want, s.reference(p, children, grand))
		}
		set := files(map[string]string{
			"sources.yaml": "sources:\n  p: {table: p, key: [id]}\n  c: {table: c, parent: p, order: [\"n\"]}\n  g: {table: g, parent: c, order: [k]}\nmaps:\n  m: {b1: predetermination, default: preauthorization}\n",
			"eob.yaml":     s.yaml(),
		})
		var got []map[string]any
		_, err := runFake(t, f, set, func(e *program.Emitted) error {
			var x map[string]any
			if err := json.Unmarshal(e.Resource.AppendJSON(nil), &x); err != nil {
				return err
			}
			delete(x, "meta")
			got = append(got, x)
			return nil
		})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, s.yaml())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d (-reference +program):\n%s\n%s", seed, d, s.yaml())
		}
	}
}
