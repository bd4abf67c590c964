package sasl

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `# logins
; of this host
[credentials-jo]
authname=jo
password= geheim=#;

[credentials-al]
username=al
password=
[credentials-both]
username=al
authname=jo
[credentials-nobody]
password=x

[auth-libvirt-kvm01.example.com]
credentials=jo
[auth-libvirt-localhost]
credentials=al
[auth-libvirt-two]
credentials=both
[auth-libvirt-nobody]
credentials=nobody
[auth-libvirt-empty]
[auth-libvirt-dangling]
credentials=gone
[auth-esx-default]
credentials=al
`

func TestLookup(t *testing.T) {
	tests := map[string]struct {
		file    string
		host    string
		want    Credentials
		wantErr error
		says    string
	}{
		"by host":            {sample, "kvm01.example.com", Credentials{Username: "jo", Password: " geheim=#;", Source: "f"}, nil, ""},
		"local":              {sample, "", Credentials{Username: "al", Source: "f"}, nil, ""},
		"authname, username": {sample, "two", Credentials{Username: "jo", AuthorizeAs: "al", Source: "f"}, nil, ""},
		"default":            {sample + "[auth-libvirt-default]\ncredentials=al\n", "other", Credentials{Username: "al", Source: "f"}, nil, ""},
		"no default":         {sample, "other", Credentials{}, ErrNoCredentials, "neither group [auth-libvirt-other] nor [auth-libvirt-default]"},
		"no name":            {sample, "nobody", Credentials{}, ErrNoCredentials, "has neither username= nor authname="},
		"no credentials":     {sample, "empty", Credentials{}, ErrSyntax, "group [auth-libvirt-empty] has no credentials="},
		"dangling":           {sample, "dangling", Credentials{}, ErrSyntax, "names group [credentials-gone], which is missing"},
		"CRLF":               {"[credentials-a]\r\nusername=al\r\n[auth-libvirt-default]\r\ncredentials=a\r\n", "x", Credentials{Username: "al", Source: "f"}, nil, ""},
		"no newline at end":  {"[credentials-a]\nusername=al\n[auth-libvirt-default]\ncredentials=a", "x", Credentials{Username: "al", Source: "f"}, nil, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			file, err := ParseFile("f", []byte(tc.file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := file.Lookup(Service, tc.host)
			if !errors.Is(err, tc.wantErr) || (err != nil && !strings.Contains(err.Error(), tc.says)) {
				t.Fatalf("got %v, want %v that says %q", err, tc.wantErr, tc.says)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Lookup (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseFileErrors(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"key before group":      {"\n\nusername=x\n", "f:3: a key stands before the first group"},
		"space before =":        {"[a]\nusername =x\n", `f:2: '=' must follow key "username" at once`},
		"no =":                  {"[a]\nusername", `f:2: '=' must follow key "username" at once`},
		"odd key":               {"[a]\nuser-name=x\n", `f:2: '=' must follow key "user" at once`},
		"odd start":             {"[a]\n=x\n", "f:2: a line begins with"},
		"indented":              {"[a]\n  username=x\n", "f:2: space at the beginning of a line"},
		"comment after a group": {"[a] # x\n", "f:1: space at the beginning of a line or after ']'"},
		"open group":            {"\n[a\n", "f:2: the group's name has no closing ']'"},
		"group not ASCII":       {"[ä]\n", "f:1: the group's name"},
		"group twice":           {"[a]\n[b]\n[a]\n", `f:3: group "a" is there twice`},
		"key twice":             {"[a]\nx=1\nx=2\n", `f:3: key "x" is there twice`},
		"too large":             {strings.Repeat("#", maxFile+1), "f is larger than 1048576 bytes"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFile("f", []byte(tc.in))
			if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want ErrSyntax that says %q", err, tc.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(path, user string) string {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		text := "[credentials-x]\nusername=" + user + "\n[auth-libvirt-default]\ncredentials=x\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	find := func(authFile, want string) {
		t.Helper()
		got, err := Find(authFile, "h")
		if err != nil || got.Username != want {
			t.Errorf("got %q, %v, want %s", got.Username, err, want)
		}
	}
	t.Setenv("LIBVIRT_AUTH_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", filepath.Join(dir, "home"))
	write("home/.config/libvirt/auth.conf", "home")
	find("", "home")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	write("xdg/libvirt/auth.conf", "xdg")
	find("", "xdg")
	t.Setenv("LIBVIRT_AUTH_FILE", write("env", "env"))
	find("", "env")
	find(write("uri", "uri"), "uri")

	if _, err := Find(filepath.Join(dir, "gone"), "h"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing: got %v, want ErrNotExist", err)
	}
	t.Setenv("LIBVIRT_AUTH_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "empty"))
	if _, err := os.Stat(systemFile); errors.Is(err, os.ErrNotExist) {
		if _, err := Find("", "h"); !errors.Is(err, ErrNoCredentials) || !strings.Contains(err.Error(), systemFile) {
			t.Errorf("no file: got %v, want ErrNoCredentials", err)
		}
	} else if got, err := locate(""); err != nil || got != systemFile {
		t.Errorf("got %s, %v, want %s", got, err, systemFile)
	}
}

// TestFindIgnoresTheWorkingDirectory holds that a user who can write where virtcast was
// started cannot choose its login.
func TestFindIgnoresTheWorkingDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{".config/libvirt", "rel/.config/libvirt", "rel/libvirt", "libvirt"} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "auth.conf"), []byte("[auth-libvirt-default]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("LIBVIRT_AUTH_FILE", "")
	for _, env := range []struct{ home, config string }{{"", ""}, {".", ""}, {"rel", ""}, {"", "rel"}, {"", "."}, {"rel", "rel"}} {
		t.Run("HOME="+env.home+" XDG_CONFIG_HOME="+env.config, func(t *testing.T) {
			t.Setenv("HOME", env.home)
			t.Setenv("XDG_CONFIG_HOME", env.config)
			if got, err := locate(""); !filepath.IsAbs(got) && !errors.Is(err, ErrNoCredentials) {
				t.Errorf("got %q, %v, want %s or ErrNoCredentials", got, err, systemFile)
			}
		})
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "rel")
	if got, want := configDir(), filepath.Join(home, ".config"); got != want {
		t.Errorf("a relative XDG_CONFIG_HOME: got %q, want it ignored for %q", got, want)
	}
}

// FuzzAuthFile holds that no file breaks the parser, and that what it accepts is what its
// lines say.
func FuzzAuthFile(f *testing.F) {
	for _, seed := range []string{sample, "[a]b=c", "[a]\nb=\r\n;x", "[]", "[a", " \t\n#"} {
		f.Add(seed, "h")
	}
	f.Fuzz(func(t *testing.T, text, host string) {
		file, err := ParseFile("f", []byte(text))
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("not ErrSyntax: %v", err)
			}
			return
		}
		for name, group := range file.groups {
			if !strings.Contains(text, "["+name+"]") {
				t.Fatalf("group %q is not in the text", name)
			}
			for key, value := range group {
				if !strings.Contains(text, key+"="+value) {
					t.Fatalf("entry %q=%q is not in the text", key, value)
				}
			}
		}
		creds, err := file.Lookup(Service, host)
		if err == nil && creds.Username == "" {
			t.Fatal("credentials without a user name")
		}
		if err != nil && !errors.Is(err, ErrNoCredentials) && !errors.Is(err, ErrSyntax) {
			t.Fatalf("neither ErrNoCredentials nor ErrSyntax: %v", err)
		}
	})
}
