package profiles

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"remit/profiles/r4"
)

// TestHostileResources has a resource made to hurt judged: it ends with findings,
// in a time and memory in proportion to its size.
func TestHostileResources(t *testing.T) {
	t.Parallel()
	v, err := openSet(t).Validator(ValidatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	nested := func(n int, open, inner, end string) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for name, body := range map[string]string{
		"deep extensions":      `{"resourceType":"Patient","extension":[` + nested(5000, `{"url":"u","extension":[`, `{"url":"u","valueString":"x"}`, `]}`) + `]}`,
		"deep items":           `{"resourceType":"Questionnaire","status":"draft","item":[` + nested(5000, `{"linkId":"1","type":"group","item":[`, `{"linkId":"1","type":"string"}`, `]}`) + `]}`,
		"deep as allowed":      `{"resourceType":"Questionnaire","status":"draft","item":[` + nested(29, `{"linkId":"1","type":"group","item":[`, `{"linkId":"1","type":"string"}`, `]}`) + `]}`,
		"deep Bundles":         nested(3000, `{"resourceType":"Bundle","type":"collection","entry":[{"resource":`, `{"resourceType":"Patient"}`, `}]}`),
		"many names":           `{"resourceType":"Patient","name":[` + many(20_000, `{"family":"x"}`) + `]}`,
		"many wrong names":     `{"resourceType":"Patient","name":[` + many(20_000, `{"use":"x"}`) + `]}`,
		"many references":      `{"resourceType":"Bundle","type":"collection","entry":[` + many(4000, `{"fullUrl":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","resource":{"resourceType":"Patient","managingOrganization":{"reference":"urn:uuid:9c3151bd-1cbf-4d64-b04d-cd9187a4c6e9"}}}`) + `]}`,
		"many contained":       `{"resourceType":"Patient","contained":[` + many(300, `{"resourceType":"Organization","id":"a","partOf":{"reference":"#a"},"name":"x"}`) + `],"managingOrganization":{"reference":"#a"}}`,
		"many profiles":        `{"resourceType":"Patient","meta":{"profile":[` + many(2000, `"http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"`) + `]}}`,
		"profiles of no one":   `{"resourceType":"Patient","meta":{"profile":[` + many(5000, `"http://example.org/a"`) + `]}}`,
		"a long string":        `{"resourceType":"Patient","name":[{"family":"` + strings.Repeat("x", 4<<20) + `"}]}`,
		"a long number":        `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":` + strings.Repeat("9", 1<<20) + `}}`,
		"a huge exponent":      `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1e999999999},"referenceRange":[{"low":{"value":1e-999999999},"high":{"value":-1e999999999}}]}`,
		"a long date":          `{"resourceType":"Patient","birthDate":"` + strings.Repeat("2", 1<<20) + `"}`,
		"a long code":          `{"resourceType":"Patient","gender":"` + strings.Repeat("a ", 1<<19) + `"}`,
		"a narrative":          `{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">` + nested(20_000, "<b>", "x", "</b>") + `</div>"}}`,
		"an endless narrative": `{"resourceType":"Patient","text":{"status":"generated","div":"` + strings.Repeat("<div xmlns='&a;'>", 20_000) + `"}}`,
		"not UTF-8":            "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"" + strings.Repeat("\xff\xc0\x80", 10_000) + "\"}]}",
		"surrogates":           `{"resourceType":"Patient","name":[{"family":"` + strings.Repeat(`\ud800`, 10_000) + `"}]}`,
		"one key":              `{"resourceType":"Patient",` + many(20_000, `"active":true`) + `}`,
		"open brackets":        strings.Repeat("[", 1<<20),
		"open braces":          strings.Repeat(`{"a":`, 1<<18),
		"nothing":              "",
		"nul":                  "\x00\x00\x00",
	} {
		var (
			p             r4.Parser
			r             r4.Resource
			before, after runtime.MemStats
		)
		runtime.ReadMemStats(&before)
		begun := time.Now()
		problems := p.Parse([]byte(body), &r)
		findings := v.Validate(&r, nil)
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		if len(findings) > maxFindings+1 {
			t.Errorf("%s: %d findings", name, len(findings))
		}
		if len(problems)+len(findings) == 0 {
			t.Errorf("%s: nothing found", name)
		}
		// Wide margins: other tests run beside this one.
		if took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
		t.Logf("%-22s %8d bytes %6d problems %6d findings %8.1f ms %7d KiB", name, len(body), len(problems), len(findings), float64(took.Microseconds())/1000, (after.TotalAlloc-before.TotalAlloc)>>10)
	}
}
