package terminology

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// definitions is a Source of literals.
type definitions map[string]string

func (d definitions) ValueSet(canonical, _ string) (Definition, bool) { return d.find(canonical) }
func (d definitions) CodeSystem(canonical, _ string) (Definition, bool) {
	return d.find(canonical)
}

func (d definitions) find(canonical string) (Definition, bool) {
	url, _, _ := strings.Cut(canonical, "|")
	s, ok := d[url]
	return Definition{JSON: []byte(s)}, ok
}

var sample = definitions{
	"cs": `{"url":"cs","content":"complete","property":[{"code":"kind"}],"concept":[
		{"code":"a","display":"A","property":[{"code":"kind","valueCode":"x"}],"concept":[{"code":"a1","concept":[{"code":"a11"}]},{"code":"a2"}]},
		{"code":"b","property":[{"code":"kind","valueCode":"y"}]},{"code":"c","property":[{"code":"subsumedBy","valueCode":"b"}]}]}`,
	"fold":     `{"url":"fold","content":"complete","caseSensitive":false,"concept":[{"code":"Abc"}]}`,
	"fragment": `{"url":"fragment","content":"fragment","concept":[{"code":"f1"}]}`,
	"all":      `{"url":"all","compose":{"include":[{"system":"cs"}]}}`,
	"is-a":     `{"url":"is-a","compose":{"include":[{"system":"cs","filter":[{"property":"concept","op":"is-a","value":"a"}]}]}}`,
	"below":    `{"url":"below","compose":{"include":[{"system":"cs","filter":[{"property":"concept","op":"descendent-of","value":"a"}]}]}}`,
	"not-a":    `{"url":"not-a","compose":{"include":[{"system":"cs","filter":[{"property":"concept","op":"is-not-a","value":"a"}]}]}}`,
	"kind":     `{"url":"kind","compose":{"include":[{"system":"cs","filter":[{"property":"kind","op":"=","value":"x"}]}]}}`,
	"has-kind": `{"url":"has-kind","compose":{"include":[{"system":"cs","filter":[{"property":"kind","op":"exists","value":"true"}]}]}}`,
	"regex":    `{"url":"regex","compose":{"include":[{"system":"cs","filter":[{"property":"code","op":"regex","value":"a."}]}]}}`,
	"both":     `{"url":"both","compose":{"include":[{"valueSet":["is-a","regex"]}]}}`,
	"minus":    `{"url":"minus","compose":{"include":[{"system":"cs"}],"exclude":[{"valueSet":["is-a"]}]}}`,
	"folded":   `{"url":"folded","compose":{"include":[{"system":"fold"}]}}`,
	"part":     `{"url":"part","compose":{"include":[{"system":"fragment"}]}}`,
	"licensed": `{"url":"licensed","compose":{"include":[{"system":"owned"}]}}`,
	"listed":   `{"url":"listed","compose":{"include":[{"system":"owned","concept":[{"code":"1"},{"code":"2"}]}]}}`,
	"nested":   `{"url":"nested","compose":{"include":[{"valueSet":["nowhere"]},{"system":"cs"}]}}`,
	"circle":   `{"url":"circle","compose":{"include":[{"valueSet":["circle"]},{"system":"cs"}]}}`,
	"ready":    `{"url":"ready","expansion":{"contains":[{"system":"cs","code":"a","contains":[{"system":"cs","code":"a1"}]}]}}`,
	"tags":     `{"url":"tags","compose":{"include":[{"system":"urn:ietf:bcp:47"}]}}`,
	"media":    `{"url":"media","compose":{"include":[{"system":"urn:ietf:bcp:13"}]}}`,
	"money":    `{"url":"money","compose":{"include":[{"system":"urn:iso:std:iso:4217"}]}}`,
}

func TestMember(t *testing.T) {
	t.Parallel()
	s, err := New(sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set, system string
		yes         string // codes in it, space-separated
		no, unknown string
	}{
		{"all", "cs", "a a1 a11 a2 b c", "d A", ""},
		{"all", "other", "", "a", ""},
		{"is-a", "cs", "a a1 a11 a2", "b c d", ""},
		{"below", "cs", "a1 a11 a2", "a b", ""},
		{"not-a", "cs", "b c", "a a11", ""},
		{"kind", "cs", "a", "a1 b c", ""},
		{"has-kind", "cs", "a b", "a1 c", ""},
		{"regex", "cs", "a1 a2", "a a11 b", ""},
		{"both", "cs", "a1 a2", "a b", ""},
		{"minus", "cs", "b c", "a a1 a11", ""},
		{"folded", "fold", "Abc abc ABC", "abd", ""},
		{"part", "fragment", "f1", "", "f2"},
		{"licensed", "owned", "", "", "1"},
		{"licensed", "other", "", "1", ""},
		{"listed", "owned", "1 2", "3", ""},
		{"nested", "cs", "a", "", "z"},
		{"nested", "other", "", "", "a"},
		{"circle", "cs", "a", "", "z"},
		{"ready", "cs", "a a1", "a2", ""},
		{"missing", "cs", "", "", "a"},
		{"all", "", "a", "z", ""},
		{"licensed", "", "", "", "1"},
		{"tags", "urn:ietf:bcp:47", "en en-US zh-Hans-CN", "e 12 en_US english-language-x-toolongpart", ""},
		{"tags", "", "de", "12", ""},
		{"media", "urn:ietf:bcp:13", "application/fhir+json text/plain;charset=utf-8", "pdf /x text/", ""},
		{"money", "urn:iso:std:iso:4217", "USD EUR", "usd US", "QQQ"},
	} {
		for want, codes := range map[Tri]string{Yes: c.yes, No: c.no, Unknown: c.unknown} {
			for code := range strings.FieldsSeq(codes) {
				if got := s.Member(c.set, c.system, code); got != want {
					t.Errorf("Member(%s, %s, %s) = %s, want %s", c.set, c.system, code, got, want)
				}
			}
		}
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	s, err := New(sample)
	if err != nil {
		t.Fatal(err)
	}
	codes, complete := s.ValueSet("kind").Codes()
	if diff := cmp.Diff([]Coding{{"cs", "a", "A"}}, codes); diff != "" || !complete {
		t.Errorf("codes of kind (complete %v):\n%s", complete, diff)
	}
	if codes, complete := s.ValueSet("part").Codes(); len(codes) != 1 || complete {
		t.Errorf("codes of part = %v, %v", codes, complete)
	}
	if got := s.ValueSet("nested").Systems(); !cmp.Equal(got, []string{"cs"}) {
		t.Errorf("systems of nested = %v", got)
	}
	if s.ValueSet("missing") != nil || s.CodeSystem("missing") != nil {
		t.Error("what is missing is found")
	}
	if got := s.Display("cs", "a"); got != "A" {
		t.Errorf("display = %q", got)
	}
}

func TestReadList(t *testing.T) {
	t.Parallel()
	list, err := ReadList(fstest.MapFS{
		"codes.csv": {Data: []byte("\ufeffCode,System,Display\n1,owned,One\n2,owned,\n\"9\",cs,Nine\n")},
		"set.json":  {Data: []byte(`{"resourceType":"ValueSet","url":"missing","compose":{"include":[{"system":"owned"}]}}`)},
		"more.json": {Data: []byte(`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"CodeSystem","url":"fragment","content":"complete","concept":[{"code":"f2"}]}}]}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(sample, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set, system, code string
		want              Tri
	}{
		{"licensed", "owned", "1", Yes}, {"licensed", "owned", "3", No}, // decided now
		{"missing", "owned", "2", Yes}, {"missing|9", "owned", "2", Yes}, {"missing", "owned", "3", No},
		{"part", "fragment", "f2", Yes}, {"part", "fragment", "f1", No}, // the list stands for the fragment
		{"all", "cs", "9", Yes}, {"all", "cs", "a", Yes}, {"all", "cs", "z", No}, // and adds to what is whole
	} {
		if got := s.Member(c.set, c.system, c.code); got != c.want {
			t.Errorf("Member(%s, %s, %s) = %s, want %s", c.set, c.system, c.code, got, c.want)
		}
	}
	for name, c := range map[string]struct{ body, want string }{
		"a.csv":  {"code,display\n1,One\n", "columns"},
		"b.csv":  {"system,code\nowned\n", "line 2"},
		"c.csv":  {"system,code\nowned,\n", "line 2"},
		"d.json": {`{"resourceType":"Patient"}`, "not a CodeSystem"},
		"e.json": {`{`, "e.json"},
		"f.txt":  {"", "no .csv"},
	} {
		if _, err := ReadList(fstest.MapFS{name: {Data: []byte(c.body)}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestMemberDoesNotAllocate(t *testing.T) {
	s, err := New(sample)
	if err != nil {
		t.Fatal(err)
	}
	vs := s.ValueSet("all")
	system, code := []byte("cs"), []byte("a11")
	if n := testing.AllocsPerRun(100, func() { vs.Member(system, code) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
