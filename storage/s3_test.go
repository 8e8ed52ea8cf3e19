package storage

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

func TestS3RefusesBucketsThatKeep(t *testing.T) {
	m := startMinIO(t)
	ctx := t.Context()
	admin := openS3(t, m)
	for _, tt := range []struct {
		name, want string
		opts       minio.MakeBucketOptions
		prepare    func(bucket string) error
	}{
		{"versioned", "versioning (enabled)", minio.MakeBucketOptions{}, func(b string) error { return admin.core.EnableVersioning(ctx, b) }},
		{"once versioned", "versioning (suspended)", minio.MakeBucketOptions{}, func(b string) error {
			return errors.Join(admin.core.EnableVersioning(ctx, b), admin.core.SuspendVersioning(ctx, b))
		}},
		{"locked", "never had it", minio.MakeBucketOptions{ObjectLocking: true}, func(string) error { return nil }},
	} {
		cfg := s3Config(m)
		if err := errors.Join(admin.core.MakeBucket(ctx, cfg.Bucket, tt.opts), tt.prepare(cfg.Bucket)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenS3(ctx, cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v; want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestS3DeletesEveryVersion(t *testing.T) {
	m := startMinIO(t)
	s, ctx := openS3(t, m), t.Context()
	put := func() {
		if _, err := s.core.Client.PutObject(ctx, s.bucket, "o", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if err := s.core.EnableVersioning(ctx, s.bucket); err != nil { // behind our back
		t.Fatal(err)
	}
	put()
	if err := s.core.RemoveObject(ctx, s.bucket, "o", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	put()
	upload, err := s.core.NewMultipartUpload(ctx, s.bucket, "o", minio.PutObjectOptions{}) // a crash in a Put
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.core.PutObjectPart(ctx, s.bucket, "o", upload, 1, strings.NewReader("half"), 4, minio.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(ctx); err == nil {
		t.Error("Check accepts a bucket that became versioned")
	}
	if err := s.Delete(ctx, "o"); err != nil {
		t.Fatal(err)
	}
	for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		t.Errorf("after Delete there is still %s version %s, marker %t, error %v", info.Key, info.VersionID, info.IsDeleteMarker, info.Err)
	}
	if _, err := s.core.ListObjectParts(ctx, s.bucket, "o", upload, 0, 10); answer(err).Code != "NoSuchUpload" {
		t.Errorf("the unfinished upload: %v", err)
	}
}

func TestS3SaysWhatIsWrong(t *testing.T) {
	m := startMinIO(t)
	for _, tt := range []struct {
		name, want string
		change     func(*S3Config)
	}{
		{"URL for an endpoint", "without http://", func(c *S3Config) { c.Endpoint = "http://" + c.Endpoint }},
		{"no secret", "set both", func(c *S3Config) { c.SecretKey = "" }},
		{"wrong secret", "check both", func(c *S3Config) { c.SecretKey = "wrong-and-secret" }},
		{"unknown access key", "check both", func(c *S3Config) { c.AccessKey = "nobody" }},
		{"nobody there", "does not answer", func(c *S3Config) { c.Endpoint = "127.0.0.1:1" }},
		{"TLS where there is none", "HTTPS", func(c *S3Config) { c.TLS = true }},
	} {
		cfg := s3Config(m)
		tt.change(&cfg)
		start := time.Now()
		_, err := OpenS3(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v; want one with %q", tt.name, err, tt.want)
		}
		if err != nil && cfg.SecretKey != "" && strings.Contains(err.Error(), string(cfg.SecretKey)) {
			t.Errorf("%s: the error tells the secret: %v", tt.name, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", tt.name, took)
		}
	}
}

func TestS3ServerThatHangs(t *testing.T) {
	m := startMinIO(t)
	s := openS3(t, m)
	if err := m.Pause(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("Check: %v", err)
	}
	if took := time.Since(start); took > checkFor+time.Second {
		t.Errorf("Check took %v", took)
	}
	if err := m.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("after the server went on: %v", err)
	}
}
