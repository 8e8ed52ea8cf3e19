package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/storage"
	"cliplease/worker"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Config is every setting of the relay. Each can be given in the file as it is named here,
// and as an environment variable: CLIPLEASE_ and the names joined by underscores, in
// capitals, such as CLIPLEASE_SMTP_HOST. The environment wins over the file.
// deploy/cliplease.example.yaml is the manual.
type Config struct {
	Data     string `yaml:"data"`     // data folder
	Listen   string `yaml:"listen"`   // host:port to listen on
	Domain   string `yaml:"domain"`   // the relay is home., api. and view. of it
	Port     string `yaml:"port"`     // port that stands in addresses; empty: 443 or 80 when TLS or a proxy serves, else the port of listen
	Proxy    bool   `yaml:"proxy"`    // a reverse proxy in front speaks TLS
	Database string `yaml:"database"` // "postgres://…"; empty: SQLite in the data folder

	TLS struct {
		Certificate string `yaml:"certificate"` // PEM file
		Key         string `yaml:"key"`         // PEM file
	} `yaml:"tls"`

	S3 struct {
		Endpoint  string         `yaml:"endpoint"` // host:port; empty: a folder in the data folder
		Bucket    string         `yaml:"bucket"`
		Region    string         `yaml:"region"`
		AccessKey string         `yaml:"access_key"`
		SecretKey storage.Secret `yaml:"secret_key"`
		Insecure  bool           `yaml:"insecure"` // plain HTTP
	} `yaml:"s3"`

	SMTP struct {
		Host     string         `yaml:"host"` // empty: mail waits
		Port     int            `yaml:"port"`
		Security string         `yaml:"security"` // "starttls", "tls" or "none" (loopback only)
		Username string         `yaml:"username"`
		Password storage.Secret `yaml:"password"`
		From     string         `yaml:"from"`
		CA       string         `yaml:"ca"` // PEM file of a certificate authority besides the system's
	} `yaml:"smtp"`

	Redaction struct {
		FFmpeg  string `yaml:"ffmpeg"`
		FFprobe string `yaml:"ffprobe"`
		Bwrap   string `yaml:"bwrap"`
		Models  string `yaml:"models"`
		Threads int    `yaml:"threads"`
	} `yaml:"redaction"`

	Upload struct {
		MaxMB int `yaml:"max_mb"`
	} `yaml:"upload"`

	Watch struct {
		Folder string `yaml:"folder"` // holds one folder per camera; empty: "watch" in the data folder
		Quiet  int    `yaml:"quiet"`  // seconds for which a file must be still before it is taken in
	} `yaml:"watch"`

	Notify struct {
		Hosts string `yaml:"hosts"` // of push and chat services that may be on a private network, with commas between them
	} `yaml:"notify"`

	Witness struct {
		Folder string `yaml:"folder"` // keeps checkpoints of the public log; empty: none
		URL    string `yaml:"url"`    // takes checkpoints by POST; empty: none
		Leaves int    `yaml:"leaves"` // of the public log an hour
	} `yaml:"witness"`

	Transparency struct {
		Public bool `yaml:"public"` // whether reports on transparency are on the recipients' host
	} `yaml:"transparency"`

	Log struct {
		Level  string `yaml:"level"`  // "debug", "info", "warn" or "error"
		Format string `yaml:"format"` // "text" or "json"
	} `yaml:"log"`
}

// defaults are the settings of a relay that nobody configured.
func defaults() Config {
	var c Config
	c.Data = defaultData()
	c.Listen = "localhost:8080"
	c.Domain = "localhost"
	c.S3.Bucket = "cliplease"
	c.S3.Region = "us-east-1"
	c.SMTP.Port = 587
	c.SMTP.Security = "starttls"
	c.SMTP.From = "cliplease@localhost"
	c.Upload.MaxMB = 500
	c.Watch.Quiet = 20
	c.Witness.Leaves = relay.PublicRate
	c.Log.Level = "info"
	c.Log.Format = "text"
	return c
}

func defaultData() string {
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "cliplease")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "cliplease-data"
	}
	return filepath.Join(home, ".local", "share", "cliplease")
}

// wrongSetting is a setting that cannot be used, and where it was given.
type wrongSetting struct {
	where  string // "cliplease.yaml:12" or "CLIPLEASE_SMTP_PORT"
	name   string // "smtp.port"
	reason string
}

func (e *wrongSetting) Error() string { return e.where + ": " + e.name + ": " + e.reason }

// loadConfig reads the file (none when path is empty), lets environ override it, and checks
// everything. All wrong settings are reported together.
func loadConfig(path string, environ []string) (Config, error) {
	c := defaults()
	var doc *ast.File
	if path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("configuration: %w", err)
		}
		if err := yaml.UnmarshalWithOptions(raw, &c, yaml.Strict()); err != nil {
			return c, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
		}
		if doc, err = parser.ParseBytes(raw, 0); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	from := map[string]string{} // setting → environment variable that gave it
	if err := overrideFrom(environ, &c, from); err != nil {
		return c, err
	}
	var wrong []error
	c.check(func(name, format string, args ...any) {
		where := from[name]
		if where == "" {
			where = lineOf(doc, path, name)
		}
		wrong = append(wrong, &wrongSetting{where, name, fmt.Sprintf(format, args...)})
	})
	return c, errors.Join(wrong...)
}

// lineOf says in which line of the file a setting stands.
func lineOf(doc *ast.File, path, name string) string {
	if doc == nil {
		return "settings"
	}
	if p, err := yaml.PathString("$." + name); err == nil {
		if node, err := p.FilterFile(doc); err == nil {
			return path + ":" + strconv.Itoa(node.GetToken().Position.Line)
		}
	}
	return path
}

// settings calls visit for every setting with its dotted name.
func settings(v reflect.Value, prefix string, visit func(name string, field reflect.Value) error) error {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Tag.Get("yaml")
		var err error
		if f := v.Field(i); f.Kind() == reflect.Struct {
			err = settings(f, name+".", visit)
		} else {
			err = visit(name, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const envPrefix = "CLIPLEASE_"

// envName is the environment variable of a setting.
func envName(setting string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
}

func overrideFrom(environ []string, c *Config, from map[string]string) error {
	values := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, envPrefix) {
			values[k] = v
		}
	}
	return settings(reflect.ValueOf(c).Elem(), "", func(name string, f reflect.Value) error {
		env := envName(name)
		value, ok := values[env]
		if !ok {
			return nil
		}
		from[name] = env
		switch f.Kind() {
		case reflect.String:
			f.SetString(value)
		case reflect.Int:
			n, err := strconv.Atoi(value)
			if err != nil {
				return &wrongSetting{env, name, fmt.Sprintf("%q is no whole number", value)}
			}
			f.SetInt(int64(n))
		case reflect.Bool:
			b, err := strconv.ParseBool(value)
			if err != nil {
				return &wrongSetting{env, name, fmt.Sprintf("%q is neither true nor false", value)}
			}
			f.SetBool(b)
		default:
			panic("setting of a kind that is not handled: " + name)
		}
		return nil
	})
}

// check reports every setting that cannot be used, with what would be right.
func (c Config) check(wrong func(name, format string, args ...any)) {
	if c.Data == "" {
		wrong("data", "name a folder")
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || !isPort(port, 0) {
		wrong("listen", "%q is no address; write host:port, such as localhost:8080 or 0.0.0.0:443", c.Listen)
	}
	if c.Domain == "" || strings.ContainsAny(c.Domain, "/: \t") || c.Domain != strings.ToLower(c.Domain) || net.ParseIP(c.Domain) != nil {
		wrong("domain", "%q is no domain; write it in small letters and without https://, such as relay.example.org, or localhost", c.Domain)
	}
	if c.Port != "" && !isPort(c.Port, 1) {
		wrong("port", "%q is no port; write a number from 1 to 65535", c.Port)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		wrong("tls", "certificate and key go together; give both files, or neither")
	}
	for name, file := range map[string]string{"tls.certificate": c.TLS.Certificate, "tls.key": c.TLS.Key, "smtp.ca": c.SMTP.CA} {
		if file != "" {
			if _, err := os.Stat(file); err != nil {
				wrong(name, "%v", err)
			}
		}
	}
	if c.TLS.Certificate != "" && c.Proxy {
		wrong("proxy", "either the relay speaks TLS itself (tls) or a proxy in front does (proxy), not both")
	}
	if c.Domain != "localhost" && c.TLS.Certificate == "" && !c.Proxy {
		wrong("domain", "a relay that others can reach needs TLS: give tls.certificate and tls.key, or say proxy: true when a reverse proxy in front speaks TLS")
	}
	if ip := net.ParseIP(host); c.Domain == "localhost" && err == nil && host != "localhost" && !ip.IsLoopback() {
		wrong("listen", "%q can be reached from other machines, but the domain is localhost; set domain, or listen on localhost", c.Listen)
	}
	if c.Database != "" && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		wrong("database", "write a PostgreSQL address such as postgres://cliplease@/cliplease?host=/var/run/postgresql, or leave it out for SQLite")
	}
	if c.S3.Endpoint != "" {
		if strings.Contains(c.S3.Endpoint, "/") {
			wrong("s3.endpoint", "%q: write host:port without http:// and without a path", c.S3.Endpoint)
		}
		if c.S3.AccessKey == "" || c.S3.SecretKey == "" {
			wrong("s3.access_key", "s3.access_key and s3.secret_key are both needed")
		}
	}
	if c.SMTP.Port < 1 || c.SMTP.Port > 65535 {
		wrong("smtp.port", "%d is no port; usual are 587 (starttls), 465 (tls) and 25", c.SMTP.Port)
	}
	if !slices.Contains([]string{"starttls", "tls", "none"}, c.SMTP.Security) {
		wrong("smtp.security", "%q: write starttls, tls or none", c.SMTP.Security)
	}
	if ip := net.ParseIP(c.SMTP.Host); c.SMTP.Security == "none" && c.SMTP.Host != "" && c.SMTP.Host != "localhost" && !ip.IsLoopback() {
		wrong("smtp.security", "none is only for a mail server on this machine; write starttls or tls")
	}
	if _, err := mail.ParseAddress(c.SMTP.From); err != nil {
		wrong("smtp.from", "%q is no mail address; write one such as cliplease@example.org", c.SMTP.From)
	}
	if c.Redaction.Threads < 0 || c.Redaction.Threads > 64 {
		wrong("redaction.threads", "%d: write 1 to 64, or 0 for all cores", c.Redaction.Threads)
	}
	if c.Upload.MaxMB < 1 || c.Upload.MaxMB > 500 {
		wrong("upload.max_mb", "%d: write 1 to 500", c.Upload.MaxMB)
	}
	if c.Watch.Folder != "" && !filepath.IsAbs(c.Watch.Folder) {
		wrong("watch.folder", "%q: write the whole path, such as /srv/cameras", c.Watch.Folder)
	}
	if c.Watch.Quiet < 1 || c.Watch.Quiet > 3600 {
		wrong("watch.quiet", "%d: write 1 to 3600 seconds", c.Watch.Quiet)
	}
	for _, h := range c.noticeHosts() {
		if u, err := url.Parse("https://" + h); err != nil || u.Host != h || u.Hostname() == "" || h != strings.ToLower(h) {
			wrong("notify.hosts", "%q: write names or addresses in small letters, with a port if need be and commas between them, such as ntfy.lan:8080, matrix.example.org", h)
		}
	}
	if err := c.witness().Check(); err != nil {
		wrong("witness.url", "%v", err)
	}
	if c.Witness.Leaves < 2 || c.Witness.Leaves > 1000 {
		wrong("witness.leaves", "%d: write 2 to 1000", c.Witness.Leaves)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		wrong("log.level", "%q: write debug, info, warn or error", c.Log.Level)
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		wrong("log.format", "%q: write text or json", c.Log.Format)
	}
}

func isPort(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535
}

// site is where the relay is reached. listening is the port that was really opened.
func (c Config) site(listening string) relay.Site {
	https := c.TLS.Certificate != "" || c.Proxy
	port := c.Port
	if port == "" && !https {
		port = listening
	}
	if https && port == "443" || !https && port == "80" {
		port = ""
	}
	return relay.NewSite(c.Domain, port, https)
}

func (c Config) storage(site relay.Site) storage.Config {
	s := storage.Config{Dir: c.Data, Database: c.Database, Site: site}
	if c.S3.Endpoint != "" {
		s.S3 = &storage.S3Config{Endpoint: c.S3.Endpoint, Bucket: c.S3.Bucket, Region: c.S3.Region,
			AccessKey: c.S3.AccessKey, SecretKey: c.S3.SecretKey, TLS: !c.S3.Insecure}
	}
	return s
}

func (c Config) redaction() redact.Config {
	r := c.Redaction
	return redact.Config{FFmpeg: r.FFmpeg, FFprobe: r.FFprobe, Bwrap: r.Bwrap, Models: r.Models, Threads: r.Threads, MaxSize: int64(c.Upload.MaxMB) << 20}
}

// watched is the folder that holds one folder per camera.
func (c Config) watched() string { return cmp.Or(c.Watch.Folder, filepath.Join(c.Data, "watch")) }

// noticeHosts are the hosts that members' notices may go to although they are private.
func (c Config) noticeHosts() []string {
	return strings.FieldsFunc(c.Notify.Hosts, func(r rune) bool { return r == ',' || r == ' ' })
}

func (c Config) witness() worker.WitnessConfig {
	return worker.WitnessConfig{Folder: c.Witness.Folder, URL: c.Witness.URL, Rate: c.Witness.Leaves}
}

func (c Config) smtp() worker.SMTPConfig {
	m := c.SMTP
	return worker.SMTPConfig{Host: m.Host, Port: m.Port, Security: m.Security, Username: m.Username, Password: string(m.Password), From: m.From, CA: m.CA}
}
