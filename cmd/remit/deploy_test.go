package main

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"remit/server/ops"
	"remit/sql/control"
)

const (
	deployDir    = "../../.deploy/"
	deployConfig = "/etc/remit/remit.yaml"
)

func deployFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(deployDir + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// chart is the text of all templates.
func chart(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := fs.WalkDir(os.DirFS(deployDir), "helm/templates", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all.WriteString(deployFile(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// found lists what the first group of a pattern matches, at least once.
func found(t *testing.T, pattern, text string) []string {
	t.Helper()
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	if all == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return all
}

type composeService struct {
	Image    string
	Hostname string
	Command  []string
	ReadOnly bool   `yaml:"read_only"`
	Grace    string `yaml:"stop_grace_period"`
	Secrets  []string
	Volumes  []string
	Ports    []string
	Deploy   struct{ Replicas int }
}

type composeFile struct {
	Services map[string]composeService
	Secrets  map[string]struct{ File string }
	Volumes  map[string]any
}

func compose(t *testing.T) (f composeFile, ours map[string]composeService) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(deployFile(t, "compose.yaml")), &f); err != nil {
		t.Fatal(err)
	}
	ours = map[string]composeService{}
	for name, s := range f.Services {
		if s.Image == "remit:local" {
			ours[name] = s
		}
	}
	return f, ours
}

// Every command line of the examples is one that the program takes.
func TestDeploy_Commands(t *testing.T) {
	t.Parallel()
	var lines [][]string
	_, ours := compose(t)
	for _, s := range ours {
		lines = append(lines, s.Command)
	}
	for _, text := range found(t, `(?m)^ +args: (\[.*\])$`, chart(t)) {
		var args []string
		if err := yaml.Unmarshal([]byte(text), &args); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, args)
	}
	readme := deployFile(t, "README.md")
	for _, text := range append(found(t, `(?m)^remit (.*)$`, readme), found(t, "`remit ((?:migrate|worker|serve) --[^`]*)`", readme)...) {
		lines = append(lines, strings.Fields(text))
	}
	verbs := map[string]int{}
	for _, args := range lines {
		parser, err := kong.New(&cli{}, kong.Name("remit"), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil {
			t.Errorf("remit %s: %v", strings.Join(args, " "), err)
		}
		if i := slices.Index(args, "--config"); i >= 0 && args[i+1] != deployConfig {
			t.Errorf("remit %s: the settings lie in %s", strings.Join(args, " "), deployConfig)
		}
		verbs[args[0]]++
	}
	for _, verb := range []string{"serve", "worker", "migrate", "client", "job"} {
		if verbs[verb] == 0 {
			t.Errorf("no example of remit %s", verb)
		}
	}
}

// deploySettings reads settings with the program's own parser, after it has made the
// secrets they refer to; it returns the names of those.
func deploySettings(t *testing.T, text string) (*config, []string) {
	t.Helper()
	names := found(t, `/run/secrets/([a-z-]+)`, text)
	dir := t.TempDir()
	for _, name := range names {
		value := "postgres://u:p@db/" + name
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "remit.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "/run/secrets/", dir+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &config{Config: file}
	if err := c.resolve(&app{getenv: func(string) string { return "" }, stderr: io.Discard, now: time.Now}); err != nil {
		t.Fatalf("settings: %v", err)
	}
	if err := c.shared(); err != nil {
		t.Error(err)
	}
	if err := c.mayBind(c.Addr); err != nil {
		t.Error(err)
	}
	for _, key := range []string{c.IDKeyFile, c.FileURLKey, c.TokenSecret} {
		if !strings.HasPrefix(key, dir) {
			t.Errorf("a key is not among the secrets: %q", key)
		}
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Scheme != "https" {
		t.Errorf("public URL %q", c.PublicURL)
	}
	slices.Sort(names)
	return c, names
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// The compose file's parts agree with each other and with the settings.
func TestDeploy_Compose(t *testing.T) {
	t.Parallel()
	c, secrets := deploySettings(t, deployFile(t, "remit.yaml"))
	f, ours := compose(t)
	if len(ours) != 4 || ours["worker"].Deploy.Replicas != 3 {
		t.Errorf("services %v", ours)
	}
	container := deployFile(t, "Containerfile")
	maker := deployFile(t, "secrets.sh")
	for name, s := range ours {
		slices.Sort(s.Secrets)
		if !slices.Equal(s.Secrets, secrets) {
			t.Errorf("%s mounts secrets %v, and the settings name %v", name, s.Secrets, secrets)
		}
		if !s.ReadOnly {
			t.Errorf("%s may write to its root", name)
		}
		if !slices.Contains(s.Volumes, "./remit.yaml:"+deployConfig+":ro") ||
			!slices.Contains(s.Volumes, "files:"+strings.TrimPrefix(c.Store, "file:")) {
			t.Errorf("%s mounts %v", name, s.Volumes)
		}
		if d, err := time.ParseDuration(s.Grace); err != nil || d <= drainFor+stopWithin {
			t.Errorf("%s has %s to stop, and needs %v", name, s.Grace, drainFor+stopWithin)
		}
		if i := slices.Index(s.Command, "--server-name"); i >= 0 && s.Command[i+1] != s.Hostname {
			t.Errorf("%s is called %s", s.Hostname, s.Command[i+1])
		}
	}
	for name, s := range f.Services {
		for _, secret := range s.Secrets {
			if f.Secrets[secret].File != "secrets/"+secret || !strings.Contains(maker, secret) {
				t.Errorf("%s: nobody makes secret %s", name, secret)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			_, named := f.Volumes[from]
			if _, err := os.Stat(deployDir + from); !named && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	proxy := deployFile(t, "Caddyfile")
	for _, upstream := range found(t, `((?:server-\d+:\d+ ?)+) \{`, proxy) {
		for _, address := range strings.Fields(upstream) {
			host, port, _ := net.SplitHostPort(address)
			if ours[host].Hostname != host || !strings.HasSuffix(c.Addr, ":"+port) {
				t.Errorf("the proxy asks %s", address)
			}
		}
	}
	for _, p := range found(t, `health_port (\d+)`, proxy) {
		if p != port(t, c.OpsAddr) {
			t.Errorf("the proxy asks port %s", p)
		}
	}
	u, _ := url.Parse(c.PublicURL)
	if !strings.Contains(proxy, "https://"+u.Host+" {") || !strings.HasSuffix(f.Services["proxy"].Ports[0], ":"+u.Port()) {
		t.Errorf("the proxy does not serve %s", u.Host)
	}
	if !strings.Contains(container, "EXPOSE "+port(t, c.Addr)+" "+port(t, c.OpsAddr)+"\n") {
		t.Error("the image's ports are others than the settings'")
	}
}

// The chart's parts agree with each other and with the image.
func TestDeploy_Chart(t *testing.T) {
	t.Parallel()
	var values struct {
		Config  yaml.Node
		Secret  string
		Servers int
		Workers int
	}
	if err := yaml.Unmarshal([]byte(deployFile(t, "helm/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(&values.Config)
	if err != nil {
		t.Fatal(err)
	}
	c, secrets := deploySettings(t, string(text))
	templates := chart(t)
	for name, address := range map[string]string{"http": c.Addr, "ops": c.OpsAddr} {
		for _, p := range found(t, `name: `+name+`, containerPort: (\d+)`, templates) {
			if p != port(t, address) {
				t.Errorf("port %s is %s, and the settings say %s", name, p, address)
			}
		}
	}
	for _, s := range found(t, `terminationGracePeriodSeconds: (\d+)`, templates) {
		if d, err := time.ParseDuration(s + "s"); err != nil || d <= drainFor+stopWithin {
			t.Errorf("pods have %s seconds to stop, and need %v", s, drainFor+stopWithin)
		}
	}
	container := deployFile(t, "Containerfile")
	for _, user := range found(t, `runAsUser: (\d+)`, templates) {
		if !strings.Contains(container, "USER "+user+":") {
			t.Errorf("pods run as user %s, the image does not", user)
		}
	}
	if !strings.Contains(templates, "mountPath: "+filepath.Dir(deployConfig)+",") || !strings.Contains(templates, "mountPath: /run/secrets,") {
		t.Error("settings or secrets are mounted elsewhere")
	}
	for _, name := range secrets {
		if !strings.Contains(deployFile(t, "README.md"), "--from-file="+name) {
			t.Errorf("the Secret of the README lacks %s", name)
		}
	}
	// What the templates ask of the values is there.
	var all map[string]any
	if err := yaml.Unmarshal([]byte(deployFile(t, "helm/values.yaml")), &all); err != nil {
		t.Fatal(err)
	}
	for _, path := range found(t, `\.Values\.([A-Za-z.]+)`, templates) {
		var at any = all
		for _, key := range strings.Split(path, ".") {
			m, _ := at.(map[string]any)
			if at = m[key]; at == nil {
				t.Errorf(".Values.%s is not in values.yaml", path)
				break
			}
		}
	}
}

// What the probes ask is answered.
func TestDeploy_Probes(t *testing.T) {
	t.Parallel()
	store, err := control.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "control.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	o, err := ops.New(ops.Options{Store: store, Ready: func(context.Context) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	paths := append(found(t, `httpGet: \{path: (\S+), port: ops\}`, chart(t)), found(t, `health_uri (\S+)`, deployFile(t, "Caddyfile"))...)
	for _, path := range append(paths, found(t, "(?m)^\\| `(/[a-z]+)` \\|", deployFile(t, "README.md"))...) {
		w := httptest.NewRecorder()
		o.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

// The README builds what the image holds, with the Go that the module asks for.
func TestDeploy_Build(t *testing.T) {
	t.Parallel()
	const build = `(?m)(CGO_ENABLED=1 go build .*)$`
	container := deployFile(t, "Containerfile")
	if image, readme := found(t, build, container), found(t, build, deployFile(t, "README.md")); !slices.Equal(image, readme) {
		t.Errorf("the image is built by\n%v\nand the README says\n%v", image, readme)
	}
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want := found(t, `(?m)^go (\d+\.\d+)`, string(module))
	if got := found(t, `golang:(\d+\.\d+)-`, container); !slices.Equal(got, want) {
		t.Errorf("the image is built with Go %v, go.mod says %v", got, want)
	}
	user := found(t, `(?m)^USER (\d+):\d+$`, container)
	if user[0] == "0" {
		t.Error("the image runs as root")
	}
}
