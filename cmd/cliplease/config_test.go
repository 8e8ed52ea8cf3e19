package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const example = "../../deploy/cliplease.example.yaml"

// The example names every setting, and is right both as it is and with every line in force.
func TestExampleConfiguration(t *testing.T) {
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := loadConfig(example, nil); err != nil {
		t.Fatalf("as it is: %v", err)
	} else if want := defaults(); !reflect.DeepEqual(c, want) {
		t.Errorf("as it is: got %+v, want the defaults", c)
	}
	dir := t.TempDir()
	full := regexp.MustCompile(`(?m)^( *)#([a-z_0-9]+:)`).ReplaceAllString(string(raw), "$1$2")
	for _, name := range []string{"tls.crt", "tls.key", "mail-ca.pem"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		full = strings.ReplaceAll(full, "/etc/cliplease/"+name, file)
	}
	path := filepath.Join(dir, "full.yaml")
	if err := os.WriteFile(path, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(path, nil)
	if err != nil {
		t.Fatalf("with every line in force: %v", err)
	}
	if err := settings(reflect.ValueOf(&c).Elem(), "", func(name string, _ reflect.Value) error {
		key := name[strings.LastIndexByte(name, '.')+1:]
		if !regexp.MustCompile(`(?m)^ *#` + key + `:`).Match(raw) {
			t.Errorf("the example does not name %s", name)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if c.S3.SecretKey != "change-me" || c.SMTP.Port != 587 || c.Port != "8443" {
		t.Errorf("read %+v", c)
	}
}

func TestWrongConfiguration(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		env        []string
		want       string // in the error
	}{
		{"unknown setting", "liste: localhost:80\n", nil, `unknown field "liste"`},
		{"wrong kind", "smtp:\n  port: many\n", nil, "smtp:\n>  2 |   port: many"},
		{"wrong value, with its line", "data: /d\nsmtp:\n  security: ssl\n", nil, `cliplease.yaml:3: smtp.security: "ssl": write starttls, tls or none`},
		{"wrong value from the environment", "", []string{"CLIPLEASE_SMTP_PORT=0"}, "CLIPLEASE_SMTP_PORT: smtp.port: 0 is no port"},
		{"not a number", "", []string{"CLIPLEASE_SMTP_PORT=x"}, `CLIPLEASE_SMTP_PORT: smtp.port: "x" is no whole number`},
		{"open to the network without TLS", "domain: relay.example\n", nil, "cliplease.yaml:1: domain: a relay that others can reach needs TLS"},
		{"localhost for others", "listen: 0.0.0.0:80\n", nil, "cliplease.yaml:1: listen:"},
		{"mail in clear over the network", "smtp:\n  host: mail.example\n  security: none\n", nil, "smtp.security: none is only for"},
		{"half of TLS", "tls:\n  key: /none\n", nil, "certificate and key go together"},
		{"bucket without keys", "s3:\n  endpoint: localhost:9000\n", nil, "s3.secret_key are both needed"},
		{"endpoint with a scheme", "s3:\n  endpoint: http://localhost\n", nil, "without http://"},
		{"no database", "database: mysql://x\n", nil, "cliplease.yaml:1: database:"},
		{"a host of notices with a scheme", "notify:\n  hosts: ntfy.lan, http://ntfy.lan\n", nil, `cliplease.yaml:2: notify.hosts: "http://ntfy.lan": write names`},
		{"two at once", "log:\n  level: loud\n  format: xml\n", nil, "cliplease.yaml:3: log.format"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cliplease.yaml")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(path, tt.env)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestEnvironmentWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("smtp:\n  host: a.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(path, []string{"CLIPLEASE_SMTP_HOST=b.example", "CLIPLEASE_S3_INSECURE=true", "PATH=/"})
	if err != nil {
		t.Fatal(err)
	}
	if c.SMTP.Host != "b.example" || !c.S3.Insecure {
		t.Errorf("got host %q, insecure %t", c.SMTP.Host, c.S3.Insecure)
	}
}

func TestSite(t *testing.T) {
	for _, tt := range []struct {
		name                string
		change              func(*Config)
		home, api, homeHost string
	}{
		{"as installed", func(*Config) {}, "http://localhost:8080", "http://api.localhost:8080", "localhost"},
		{"behind a proxy", func(c *Config) { c.Domain, c.Proxy = "r.example", true }, "https://home.r.example", "https://api.r.example", "home.r.example"},
		{"proxy on another port", func(c *Config) { c.Domain, c.Proxy, c.Port = "r.example", true, "8443" }, "https://home.r.example:8443", "https://api.r.example:8443", "home.r.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := defaults()
			tt.change(&c)
			s := c.site("8080")
			if s.Home != tt.home || s.API != tt.api || s.HomeHost() != tt.homeHost {
				t.Errorf("got %+v with home host %s", s, s.HomeHost())
			}
		})
	}
}

func TestSecondLockNamesTheProcess(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockFolder(dir, "relay.pid")
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockFolder(dir, "relay.pid")
	if err == nil || !strings.Contains(err.Error(), "in use by process ") {
		t.Fatalf("a second lock: %v", err)
	}
	unlock()
	again, err := lockFolder(dir, "relay.pid")
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	again()
}

func TestExitCodes(t *testing.T) {
	err := exitWith(exitLook, errors.New("look"))
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != 3 || exitWith(exitLook, nil) != nil {
		t.Errorf("got %v", err)
	}
}
