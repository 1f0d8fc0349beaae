package r4

import (
	"strconv"
	"strings"
	"testing"
)

// lookups of elements for the builders of tests.
func elem(t testing.TB, path string) *Element {
	t.Helper()
	dot := strings.LastIndexByte(path, '.')
	typ := Lookup(path[:dot])
	if typ == nil {
		t.Fatalf("no type %s", path[:dot])
	}
	e := typ.Element(path[dot+1:])
	if e == nil {
		t.Fatalf("no element %s", path)
	}
	return e
}

// concept is a template: a CodeableConcept with one coding.
func concept(t testing.TB, system, code string) *Resource {
	t.Helper()
	var r Resource
	r.Start(Lookup("CodeableConcept"), 0)
	coding := r.Add(Root, elem(t, "CodeableConcept.coding"), 0)
	r.SetString(r.Add(coding, elem(t, "Coding.system"), 0), system)
	r.SetString(r.Add(coding, elem(t, "Coding.code"), 0), code)
	return &r
}

// claim places a professional ExplanationOfBenefit of CARIN Blue Button with
// twelve lines, as a mapping would: literals grafted, values set as text.
type claim struct {
	eob                                                                                                        *Type
	id, meta, lastUpdated, profile, identifier, idType, idSystem, idValue, status, typ, use, patient, period   *Element
	start, end, created, insurer, provider, outcome, careTeam, ctSeq, ctProvider, ctRole                       *Element
	reference, supportingInfo, siSeq, siCategory, siTiming, diagnosis, dxSeq, dxConcept, dxType, insurance     *Element
	focal, coverage, item, itemSeq, itemCareTeam, itemDx, product, serviced, location, quantity, quantityValue *Element
	adjudication, category, amount, value, currency, coding, system, code, total, totalCategory, totalAmount   *Element
	payment, payDate, payAmount                                                                                *Element
	kind, number, cleared, primary, principal, pos                                                             *Resource
	categories                                                                                                 []*Resource
}

func newClaim(t testing.TB) *claim {
	const e, i = "ExplanationOfBenefit.", "ExplanationOfBenefit.item."
	c := &claim{eob: Lookup("ExplanationOfBenefit")}
	for _, at := range []struct {
		e    **Element
		path string
	}{
		{&c.id, e + "id"}, {&c.meta, e + "meta"}, {&c.lastUpdated, "Meta.lastUpdated"}, {&c.profile, "Meta.profile"},
		{&c.identifier, e + "identifier"}, {&c.idType, "Identifier.type"}, {&c.idSystem, "Identifier.system"}, {&c.idValue, "Identifier.value"},
		{&c.status, e + "status"}, {&c.typ, e + "type"}, {&c.use, e + "use"}, {&c.patient, e + "patient"}, {&c.period, e + "billablePeriod"},
		{&c.start, "Period.start"}, {&c.end, "Period.end"}, {&c.created, e + "created"}, {&c.insurer, e + "insurer"}, {&c.provider, e + "provider"},
		{&c.outcome, e + "outcome"},
		{&c.careTeam, e + "careTeam"}, {&c.ctSeq, e + "careTeam.sequence"}, {&c.ctProvider, e + "careTeam.provider"}, {&c.ctRole, e + "careTeam.role"},
		{&c.reference, "Reference.reference"}, {&c.supportingInfo, e + "supportingInfo"}, {&c.siSeq, e + "supportingInfo.sequence"},
		{&c.siCategory, e + "supportingInfo.category"}, {&c.siTiming, e + "supportingInfo.timingDate"},
		{&c.diagnosis, e + "diagnosis"}, {&c.dxSeq, e + "diagnosis.sequence"}, {&c.dxConcept, e + "diagnosis.diagnosisCodeableConcept"}, {&c.dxType, e + "diagnosis.type"},
		{&c.insurance, e + "insurance"}, {&c.focal, e + "insurance.focal"}, {&c.coverage, e + "insurance.coverage"},
		{&c.item, e + "item"}, {&c.itemSeq, i + "sequence"}, {&c.itemCareTeam, i + "careTeamSequence"}, {&c.itemDx, i + "diagnosisSequence"},
		{&c.product, i + "productOrService"}, {&c.serviced, i + "servicedDate"}, {&c.location, i + "locationCodeableConcept"},
		{&c.quantity, i + "quantity"}, {&c.quantityValue, "Quantity.value"},
		{&c.adjudication, i + "adjudication"}, {&c.category, i + "adjudication.category"}, {&c.amount, i + "adjudication.amount"},
		{&c.value, "Money.value"}, {&c.currency, "Money.currency"}, {&c.coding, "CodeableConcept.coding"}, {&c.system, "Coding.system"}, {&c.code, "Coding.code"},
		{&c.total, e + "total"}, {&c.totalCategory, e + "total.category"}, {&c.totalAmount, e + "total.amount"},
		{&c.payment, e + "payment"}, {&c.payDate, e + "payment.date"}, {&c.payAmount, e + "payment.amount"},
	} {
		*at.e = elem(t, at.path)
	}
	const hl7, c4bb = "http://terminology.hl7.org/CodeSystem/", "http://hl7.org/fhir/us/carin-bb/CodeSystem/"
	c.kind = concept(t, hl7+"claim-type", "professional")
	c.number = concept(t, c4bb+"C4BBIdentifierType", "uc")
	c.cleared = concept(t, c4bb+"C4BBSupportingInfoType", "clmrecvddate")
	c.primary = concept(t, hl7+"claimcareteamrole", "primary")
	c.principal = concept(t, hl7+"ex-diagnosistype", "principal")
	c.pos = concept(t, "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "11")
	for _, code := range []string{"submitted", "benefit", "eligible", "deductible"} {
		c.categories = append(c.categories, concept(t, hl7+"adjudication", code))
	}
	return c
}

func (c *claim) money(r *Resource, parent Node, e *Element, value string, o Origin) {
	m := r.Add(parent, e, o)
	r.SetString(r.Add(m, c.value, o), value)
	r.SetString(r.Add(m, c.currency, o), "USD")
}

func (c *claim) coded(r *Resource, parent Node, e *Element, system, code string, o Origin) {
	n := r.Add(r.Add(parent, e, o), c.coding, o)
	r.SetString(r.Add(n, c.system, o), system)
	r.SetString(r.Add(n, c.code, o), code)
}

func (c *claim) refer(r *Resource, parent Node, e *Element, to string, o Origin) {
	r.SetString(r.Add(r.Add(parent, e, o), c.reference, o), to)
}

var small = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}

// place builds the tree with twelve lines: 11.2 KB.
func (c *claim) place(r *Resource) { c.placeLines(r, 12) }

// placeLines builds it with as many lines as given, at most twelve.
func (c *claim) placeLines(r *Resource, lines int) {
	r.Start(c.eob, 1)
	r.SetString(r.Add(Root, c.id, 2), "pro-000000814711")
	meta := r.Add(Root, c.meta, 3)
	r.SetString(r.Add(meta, c.lastUpdated, 3), "2024-05-01T00:00:00Z")
	r.SetString(r.Add(meta, c.profile, 3), "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0")
	id := r.Add(Root, c.identifier, 4)
	r.Graft(id, c.idType, c.number, Root, 4)
	r.SetString(r.Add(id, c.idSystem, 4), "https://payer.example/claim")
	r.SetString(r.Add(id, c.idValue, 4), "000000814711")
	r.SetString(r.Add(Root, c.status, 5), "active")
	r.Graft(Root, c.typ, c.kind, Root, 6)
	r.SetString(r.Add(Root, c.use, 7), "claim")
	c.refer(r, Root, c.patient, "Patient/3f1c0a77d2e94b0e", 8)
	period := r.Add(Root, c.period, 9)
	r.SetString(r.Add(period, c.start, 9), "2024-01-03")
	r.SetString(r.Add(period, c.end, 9), "2024-01-14")
	r.SetString(r.Add(Root, c.created, 10), "2024-02-01T00:00:00-05:00")
	c.refer(r, Root, c.insurer, "Organization/payer", 11)
	c.refer(r, Root, c.provider, "Organization/npi-1234567893", 12)
	r.SetString(r.Add(Root, c.outcome, 13), "complete")
	team := r.Add(Root, c.careTeam, 15)
	r.SetString(r.Add(team, c.ctSeq, 15), "1")
	c.refer(r, team, c.ctProvider, "Practitioner/npi-1528060837", 15)
	r.Graft(team, c.ctRole, c.primary, Root, 15)
	info := r.Add(Root, c.supportingInfo, 16)
	r.SetString(r.Add(info, c.siSeq, 16), "1")
	r.Graft(info, c.siCategory, c.cleared, Root, 16)
	r.SetString(r.Add(info, c.siTiming, 16), "2024-01-20")
	for i, dx := range [...]string{"E11.9", "I10", "Z79.4"} {
		d := r.Add(Root, c.diagnosis, 17)
		r.SetString(r.Add(d, c.dxSeq, 17), small[i+1])
		c.coded(r, d, c.dxConcept, "http://hl7.org/fhir/sid/icd-10-cm", dx, 17)
		r.Graft(d, c.dxType, c.principal, Root, 17)
	}
	cover := r.Add(Root, c.insurance, 18)
	r.SetString(r.Add(cover, c.focal, 18), "true")
	c.refer(r, cover, c.coverage, "Coverage/3f1c0a77d2e94b0e-ppo", 18)
	for line := 1; line <= lines; line++ {
		it := r.Add(Root, c.item, 19)
		r.SetString(r.Add(it, c.itemSeq, 19), small[line])
		r.SetString(r.Add(it, c.itemCareTeam, 19), "1")
		r.SetString(r.Add(it, c.itemDx, 19), "1")
		r.SetString(r.Add(it, c.itemDx, 19), "2")
		c.coded(r, it, c.product, "http://www.ama-assn.org/go/cpt", "99213", 20)
		r.SetString(r.Add(it, c.serviced, 21), "2024-01-03")
		if line%4 == 0 {
			r.Graft(it, c.location, c.pos, Root, 22)
		}
		q := r.Add(it, c.quantity, 23)
		r.SetString(r.Add(q, c.quantityValue, 23), "1")
		for k := range 3 {
			a := r.Add(it, c.adjudication, 24)
			r.Graft(a, c.category, c.categories[k], Root, 24)
			c.money(r, a, c.amount, "112.50", 24)
		}
	}
	for _, category := range c.categories {
		t := r.Add(Root, c.total, 25)
		r.Graft(t, c.totalCategory, category, Root, 25)
		c.money(r, t, c.totalAmount, "1350.00", 25)
	}
	pay := r.Add(Root, c.payment, 26)
	r.SetString(r.Add(pay, c.payDate, 26), "2024-02-03")
	c.money(r, pay, c.payAmount, "1001.12", 26)
}

// BenchmarkBuildAppend builds an EOB and writes it: of nine lines (9 KB) and of
// twelve (11 KB).
func BenchmarkBuildAppend(b *testing.B) {
	for _, lines := range []int{9, 12} {
		b.Run(strconv.Itoa(lines)+"lines", func(b *testing.B) {
			c := newClaim(b)
			var r Resource
			c.placeLines(&r, lines)
			out := r.AppendJSON(nil)
			b.SetBytes(int64(len(out)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				c.placeLines(&r, lines)
				out = r.AppendJSON(out[:0])
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "resources/s")
			b.ReportMetric(float64(r.Len()), "nodes")
			b.ReportMetric(float64(len(out)), "bytes")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	c := newClaim(b)
	var r Resource
	c.place(&r)
	b.ReportAllocs()
	for b.Loop() {
		c.place(&r)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	var r Resource
	newClaim(b).place(&r)
	out := r.AppendJSON(nil)
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		out = r.AppendJSON(out[:0])
	}
}

func BenchmarkParse(b *testing.B) {
	var r Resource
	newClaim(b).place(&r)
	data := r.AppendJSON(nil)
	var p Parser
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if problems := p.Parse(data, &r); problems != nil {
			b.Fatal(problems)
		}
	}
}

func BenchmarkValidPrimitive(b *testing.B) {
	var r Resource
	newClaim(b).place(&r)
	b.ReportAllocs()
	for b.Loop() {
		for n := range Node(r.Len()) {
			if v := r.Value(n); v != nil && !ValidPrimitive(r.TypeOf(n), v) {
				b.Fatal(r.Path(n) + " " + strconv.Itoa(len(v)))
			}
		}
	}
}

// BenchmarkLookup is the first use of a type: only what it holds is made.
func BenchmarkLookup(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if Lookup("ExplanationOfBenefit") == nil {
			b.Fatal("no type")
		}
	}
}
