package storage

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"cliplease/relay"
)

// S3Config says where the bucket is.
type S3Config struct {
	Endpoint  string // "host:port" or "host", without "http://"
	Bucket    string // made when it is missing
	Region    string // empty: the server's default
	AccessKey string
	SecretKey Secret
	TLS       bool // speak HTTPS; without it only a server on this machine or a private network will do
}

// S3 is the object store in a bucket of MinIO or anything that speaks S3. It uses plain
// object calls alone: no presigned address (it would outlive a revocation), no lifecycle
// rule, no encryption by the server.
type S3 struct {
	core   minio.Core
	bucket string
	region string
	at     string // "bucket B on HOST", for errors
}

// ErrKeeps means that an object store keeps what is deleted from it. The keys are destroyed all
// the same, but sealed bytes stay.
var ErrKeeps = errors.New("deleted footage would be kept")

const (
	partSize  = 8 << 20 // bytes of one part of a large object; 10,000 parts make 80 GB
	stallFor  = 15 * time.Second
	dialFor   = 3 * time.Second
	answerFor = 10 * time.Second
	tries     = 2 // minio-go's own retries of one request
)

// OpenS3 connects to the bucket, makes it when it is missing and refuses one that keeps old
// versions or locks objects, since deleting must delete. A server that is down or silent
// fails within seconds.
func OpenS3(ctx context.Context, cfg S3Config) (*S3, error) {
	if strings.Contains(cfg.Endpoint, "/") || cfg.Endpoint == "" {
		return nil, fmt.Errorf("object store endpoint %q: write host:port without http://, and say by the TLS setting whether it is https", cfg.Endpoint)
	}
	if cfg.AccessKey == "" || cfg.SecretKey == "" {
		return nil, errors.New("object store: set both its access key and its secret key")
	}
	dialer := &net.Dialer{Timeout: dialFor, KeepAlive: dialFor}
	core, err := minio.NewCore(cfg.Endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(cfg.AccessKey, string(cfg.SecretKey), ""),
		Secure: cfg.TLS,
		Region: cfg.Region,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return &stallConn{Conn: conn}, nil
			},
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   dialFor,
			ResponseHeaderTimeout: answerFor,
			IdleConnTimeout:       answerFor, // before stallFor ends them
			MaxIdleConnsPerHost:   16,
			DisableCompression:    true,
		},
		// Trailing checksums fail on some servers; signatures cover the parts anyway.
		TrailingHeaders: false,
		MaxRetries:      tries,
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", cfg.Endpoint, err)
	}
	s := &S3{core: *core, bucket: cfg.Bucket, region: cfg.Region, at: fmt.Sprintf("bucket %s on %s", cfg.Bucket, cfg.Endpoint)}
	if err := s.makeBucket(ctx); err != nil {
		return nil, err
	}
	return s, s.Check(ctx)
}

func (s *S3) makeBucket(ctx context.Context) error {
	exists, err := s.core.BucketExists(ctx, s.bucket)
	if err != nil {
		return s.explain("look for", err)
	}
	if exists {
		return nil
	}
	err = s.core.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.region})
	return s.explain("make", ignore(err, "BucketAlreadyOwnedByYou")) // another process of ours was faster
}

// Put implements [Objects]. An object up to 8 MiB is one request; a larger one is uploaded
// in parts, which a crash leaves for the server or for Delete to remove.
func (s *S3) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	body := &sized{ctx: ctx, r: r, want: size}
	room := int64(partSize)
	if 0 <= size && size < room {
		room = size + 1 // one more, to see the end
	}
	part := make([]byte, room)
	n, err := io.ReadFull(body, part)
	if last(err) {
		err = s.putSmall(ctx, name, part[:n])
	} else if err == nil {
		err = s.putParts(ctx, name, part, body)
	}
	switch {
	case err == nil:
		return nil
	case answer(err).StatusCode == http.StatusPreconditionFailed:
		return taken(name)
	}
	return fmt.Errorf("store object %s: %w", name, s.explain("write to", err))
}

// last reports whether err is how [io.ReadFull] says that the source ended cleanly. A source
// that broke off says [io.ErrUnexpectedEOF] wrapped, never bare.
func last(err error) bool {
	return err == io.EOF || err == io.ErrUnexpectedEOF //nolint:errorlint // io.ReadFull returns them bare; wrapped, they are a source's failure
}

// once makes a write fail where the name exists.
func once() minio.PutObjectOptions {
	opts := minio.PutObjectOptions{DisableMultipart: true}
	opts.SetMatchETagExcept("*")
	return opts
}

func (s *S3) putSmall(ctx context.Context, name string, b []byte) error {
	_, err := s.core.Client.PutObject(ctx, s.bucket, name, bytes.NewReader(b), int64(len(b)), once())
	return err
}

// putParts uploads first, which is one whole part, and the rest of body. Parts are sent one
// after the other from one buffer; the library's own upload would not guard the name when
// it completes.
func (s *S3) putParts(ctx context.Context, name string, first []byte, body io.Reader) (err error) {
	upload, err := s.core.NewMultipartUpload(ctx, s.bucket, name, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // also when ctx has ended
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkFor)
			defer cancel()
			if aborted := ignore(s.core.AbortMultipartUpload(ctx, s.bucket, name, upload), "NoSuchUpload"); aborted != nil {
				err = fmt.Errorf("%w (and its parts stay until the object is deleted: %w)", err, aborted)
			}
		}
	}()
	var parts []minio.CompletePart
	buf, n := first, len(first)
	for end := false; n > 0; {
		part, err := s.core.PutObjectPart(ctx, s.bucket, name, upload, len(parts)+1, bytes.NewReader(buf[:n]), int64(n), minio.PutObjectPartOptions{})
		if err != nil {
			return err
		}
		parts = append(parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
		if end {
			break
		}
		n, err = io.ReadFull(body, buf)
		if end = last(err); err != nil && !end {
			return err
		}
	}
	_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, name, upload, parts, once())
	return err
}

// Get implements [Objects].
func (s *S3) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := errors.Join(checkName(name), checkRange(offset, length)); err != nil {
		return nil, err
	}
	var opts minio.GetObjectOptions
	ranged := offset > 0 || length > 0
	if length > 0 {
		opts.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	} else if ranged {
		opts.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	body, _, header, err := s.core.GetObject(ctx, s.bucket, name, opts)
	switch a := answer(err); {
	case err == nil:
	case a.Code == "NoSuchKey":
		return nil, missing(name)
	case a.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return http.NoBody, nil // the object ends before offset
	default:
		return nil, fmt.Errorf("read object %s: %w", name, s.explain("read from", err))
	}
	if ranged && !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
		body.Close()
		return nil, fmt.Errorf("read object %s: %s does not answer range requests; use a server that does", name, s.at)
	}
	return body, nil
}

// Delete implements [Objects]. Old versions exist only where versioning was turned on behind
// our back, but then a plain delete would hide the object and keep it.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	for version := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: name, Recursive: true, WithVersions: true}) {
		err := version.Err
		if err == nil && version.Key != name {
			continue
		}
		if err == nil {
			err = s.core.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{VersionID: version.VersionID})
		} else if answer(err).Code == "NotImplemented" { // the server knows no versions
			err = s.core.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{})
		}
		if err = ignore(err, "NoSuchKey", "NoSuchVersion"); err != nil {
			return fmt.Errorf("delete object %s: %w", name, s.explain("delete from", err))
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	if err := ignore(s.core.RemoveIncompleteUpload(ctx, s.bucket, name), "NoSuchUpload"); err != nil {
		return fmt.Errorf("delete unfinished uploads of object %s: %w", name, s.explain("delete from", err))
	}
	return nil
}

// List implements [Objects].
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if info.Err != nil {
				yield(Object{}, fmt.Errorf("list objects: %w", s.explain("list", info.Err)))
				return
			}
			if validName(info.Key) && !yield(Object{info.Key, info.Size, info.LastModified.UTC()}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Object{}, err)
		}
	}
}

// Check implements [Objects]: it stores and deletes a small object. A crash in between
// leaves one named "check-…".
func (s *S3) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	versioning, err := s.core.GetBucketVersioning(ctx, s.bucket)
	if err = ignore(err, "NotImplemented"); err != nil {
		return s.explain("read the versioning of", err)
	}
	if versioning.Status != "" {
		return fmt.Errorf("%s has versioning (%s), so %w; use a bucket that never had it", s.at, strings.ToLower(versioning.Status), ErrKeeps)
	}
	lock, _, _, _, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	if err = ignore(err, "NotImplemented", "ObjectLockConfigurationNotFoundError"); err != nil {
		return s.explain("read the object lock of", err)
	}
	if lock == "Enabled" {
		return fmt.Errorf("%s locks its objects, so %w; use a bucket made without object lock", s.at, ErrKeeps)
	}
	name := "check-" + relay.NewID()
	if err := s.putSmall(ctx, name, []byte("check")); err != nil {
		return s.explain("write to", err)
	}
	return s.explain("delete from", s.core.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{}))
}

// answer returns what the server said, or nothing when err is none of its answers.
func answer(err error) minio.ErrorResponse {
	var a minio.ErrorResponse
	errors.As(err, &a)
	return a
}

// ignore returns err, or nil when it is one of the S3 error codes.
func ignore(err error, codes ...string) error {
	for _, code := range codes {
		if err != nil && answer(err).Code == code {
			return nil
		}
	}
	return err
}

// explain says of an error at the bucket what to do about it. No error stays none.
func (s *S3) explain(doing string, err error) error {
	var network net.Error
	switch a := answer(err); {
	case err == nil:
		return nil
	case a.Code == "InvalidAccessKeyId", a.Code == "SignatureDoesNotMatch":
		return fmt.Errorf("%s refuses the access key or secret key; check both: %w", s.at, err)
	case a.Code == "AccessDenied", a.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: the access key may not %s it; allow it to list, get, put and delete objects and their versions and to read the bucket's versioning and object lock: %w", s.at, doing, err)
	case a.Code == "NoSuchBucket":
		return fmt.Errorf("%s has vanished; start again to make a new one, or restore it: %w", s.at, err)
	case a.Code == "XMinioStorageFull":
		return fmt.Errorf("%s: the server's disk is full; make room there: %w", s.at, err)
	case errors.As(err, &network):
		return fmt.Errorf("%s does not answer; check that the server runs and can be reached: %w", s.at, err)
	}
	return fmt.Errorf("%s %s: %w", doing, s.at, err)
}

// stallConn is a connection on which nothing may stand still: a server that dies in the
// middle of a body ends the read or write after stallFor.
type stallConn struct{ net.Conn }

func (c *stallConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stallFor)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write also puts off the deadline of the read that waits for the answer.
func (c *stallConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stallFor)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
