package profiles

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"remit/profiles/r4"
)

func TestCompareValues(t *testing.T) {
	t.Parallel()
	const undecided = 9
	for _, c := range []struct {
		typ, a, b string
		want      int
	}{
		{"integer", "3", "10", -1},
		{"integer", "-3", "-10", 1},
		{"integer", "-0", "0", 0},
		{"decimal", "1.10", "1.1", 0},
		{"decimal", "0.09", "0.1", -1},
		{"decimal", "1e3", "999.9", 1},
		{"decimal", "1E-3", "0.001", 0},
		{"decimal", "-1e-3", "0", -1},
		{"decimal", "1e999999999999999999999", "1", undecided},
		{"decimal", "0.0", "0e5", 0},
		{"date", "2024-01-01", "2024-01-02", -1},
		{"date", "2024", "2023-12", 1},
		{"date", "2024", "2024-06", undecided},
		{"date", "2024-06", "2024-06", 0},
		{"dateTime", "2024-01-01T10:00:00+02:00", "2024-01-01T08:30:00Z", -1},
		{"dateTime", "2024-01-01T10:00:00+02:00", "2024-01-01T08:00:00Z", 0},
		{"dateTime", "2024-01-01", "2024-01-02T10:00:00Z", undecided},
		{"dateTime", "2024-01-01", "2024-01-03T10:00:00Z", -1},
		{"instant", "2024-01-01T10:00:00.5Z", "2024-01-01T10:00:00.25Z", 1},
		{"time", "09:00:00", "10:00:00", -1},
		{"string", "a", "b", undecided},
	} {
		got, ok := compareValues(r4.Lookup(c.typ), c.a, c.b)
		if !ok {
			got = undecided
		}
		if got != c.want {
			t.Errorf("%s %s, %s: %d, want %d", c.typ, c.a, c.b, got, c.want)
		}
	}
}

// R4 ElementDefinition.minValue[x], maxValue[x] of a Quantity.
func TestQuantityBounds(t *testing.T) {
	t.Parallel()
	s := own(t, map[string]string{
		"Observation/bounded": `{"id":"Observation.value[x]","path":"Observation.value[x]","min":0,"max":"1","type":[{"code":"Quantity"}],
			"minValueQuantity":{"value":0,"system":"http://unitsofmeasure.org","code":"mg"},"maxValueQuantity":{"value":10.5,"system":"http://unitsofmeasure.org","code":"mg"}}`,
	})
	v, err := s.Validator(ValidatorOptions{Profiles: []string{"bounded"}})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string][]string{
		`"value":10.50,"system":"http://unitsofmeasure.org","code":"mg"`:               nil,
		`"value":10.51,"system":"http://unitsofmeasure.org","code":"mg"`:               {"error max-value Observation.valueQuantity"},
		`"value":-1e-9,"system":"http://unitsofmeasure.org","code":"mg"`:               {"error min-value Observation.valueQuantity"},
		`"value":99,"system":"http://unitsofmeasure.org","code":"ug"`:                  nil, // another unit
		`"value":99,"comparator":"<","system":"http://unitsofmeasure.org","code":"mg"`: nil,
		`"value":99,"unit":"mg"`: nil,
		`"unit":"mg","system":"http://unitsofmeasure.org","code":"mg"`:                   nil,
		`"value":11,"unit":"milligram","system":"http://unitsofmeasure.org","code":"mg"`: {"error max-value Observation.valueQuantity"},
	} {
		body := `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{` + value + `}}`
		if diff := cmp.Diff(want, judge(t, v, body, Error)); diff != "" {
			t.Errorf("%s:\n%s", value, diff)
		}
	}
}
