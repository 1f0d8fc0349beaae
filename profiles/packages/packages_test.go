package packages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestBundled(t *testing.T) {
	t.Parallel()
	all, err := Bundled()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	labels := map[string]bool{}
	for _, p := range all {
		got[p.Label()] = len(p.Entries)
		labels[p.Label()] = true
		for i := range p.Entries {
			body, err := p.Read(&p.Entries[i])
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(body, []byte("{")) || !bytes.Contains(body, []byte(p.Entries[i].URL)) {
				t.Fatalf("%s of %s is not its JSON", p.Entries[i].URL, p.Label())
			}
		}
	}
	want := map[string]int{
		"hl7.fhir.r4.core#4.0.1": 4484, "hl7.terminology.r4#7.3.0": 113, "hl7.fhir.us.core#3.1.1": 145, "hl7.fhir.us.core#6.1.0": 209, "hl7.fhir.us.core#7.0.0": 210,
		"hl7.fhir.us.carin-bb#2.0.0": 90, "hl7.fhir.us.carin-bb#2.1.0": 92, "hl7.fhir.us.carin-bb#2.2.0": 92,
		"hl7.fhir.us.davinci-pdex#2.2.0": 107, "hl7.fhir.us.davinci-hrex#1.2.0": 27,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, p := range all {
		for _, d := range p.Dependencies {
			if !labels[d] {
				t.Errorf("%s depends on %s, which is not bundled", p.Label(), d)
			}
		}
	}
}

const profileJSON = `{"resourceType":"StructureDefinition","id":"own","url":"http://example.org/own","name":"Own","kind":"resource","type":"Patient","derivation":"constraint","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient"}`

func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for name, body := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestOpen(t *testing.T) {
	t.Parallel()
	manifest := `{"name":"example.own","version":"1.2.3","dependencies":{"hl7.fhir.r4.core":"4.0.1"}}`
	files := map[string]string{"package/package.json": manifest, "package/own.json": profileJSON, "package/example/p.json": `{"resourceType":"Patient"}`, "package/.index.json": `{}`}
	folder := fstest.MapFS{}
	for name, body := range files {
		folder[name] = &fstest.MapFile{Data: []byte(body)}
	}
	for name, fsys := range map[string]fstest.MapFS{
		"folder":  folder,
		"archive": {"own.tgz": {Data: archive(t, files)}},
	} {
		p, err := Open(fsys)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Label() != "example.own#1.2.3" || len(p.Entries) != 1 || p.Entries[0].Version != "1.2.3" || !cmp.Equal(p.Dependencies, []string{"hl7.fhir.r4.core#4.0.1"}) {
			t.Errorf("%s: %+v", name, p)
		}
		var buf bytes.Buffer
		if err := Pack(&buf, p); err != nil {
			t.Fatal(err)
		}
		again, err := Unpack(buf.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if body, err := again.Read(&again.Entries[0]); err != nil || string(body) != profileJSON || again.Label() != p.Label() {
			t.Errorf("%s: packed and unpacked: %s, %v", name, body, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fsys fstest.MapFS
		want string
	}{
		"empty":         {fstest.MapFS{}, "no definitions"},
		"not JSON":      {fstest.MapFS{"a.json": {Data: []byte("{")}}, "a.json"},
		"bad ndjson":    {fstest.MapFS{"a.ndjson": {Data: []byte(profileJSON + "\n{\n")}}, "line 2"},
		"not a tgz":     {fstest.MapFS{"a.tgz": {Data: []byte("PK")}}, "open package archive"},
		"cut-off tgz":   {fstest.MapFS{"a.tgz": {Data: archive(t, map[string]string{"package/own.json": profileJSON})[:60]}}, "open package archive"},
		"bad manifest":  {fstest.MapFS{"package.json": {Data: []byte("[]")}, "a.json": {Data: []byte(profileJSON)}}, "package.json"},
		"not a package": {fstest.MapFS{"a.pkg": {Data: []byte("nonsense here")}}, "not a packed package"},
	} {
		if _, err := Open(c.fsys); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"2.1.0", "2.1.0", 0}, {"2.1.0", "2.10.0", -1}, {"2.1", "2.1.0", 0}, {"3", "2.9.9", 1},
		{"2.0.0-ballot", "2.0.0", -1}, {"2.0.0-ballot", "2.0.0-snapshot", -1}, {"", "1.0.0", -1}, {"20240606", "20230101", 1},
	} {
		if got := CompareVersions(c.a, c.b); got != c.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := CompareVersions(c.b, c.a); got != -c.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

// FuzzUnpack: damaged packages give an error, never a crash.
func FuzzUnpack(f *testing.F) {
	p, err := Open(fstest.MapFS{"own.json": {Data: []byte(profileJSON)}})
	if err != nil {
		f.Fatal(err)
	}
	var buf bytes.Buffer
	if err := Pack(&buf, p); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte(magic + "\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 10<<10 {
			return
		}
		p, err := Unpack(raw)
		if err != nil {
			return
		}
		for i := range p.Entries {
			_, _ = p.Read(&p.Entries[i])
		}
	})
}

// FuzzArchive: the same for published packages.
func FuzzArchive(f *testing.F) {
	f.Add(archive(f, map[string]string{"package/package.json": `{"name":"a","version":"1"}`, "package/own.json": profileJSON}))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 10<<10 {
			return
		}
		p, err := OpenArchive(bytes.NewReader(raw))
		if err == nil && len(p.Entries) == 0 {
			t.Error("a package without definitions and without an error")
		}
	})
}
