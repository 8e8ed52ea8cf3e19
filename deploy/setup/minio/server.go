//go:build tools

// Package minio pins the MinIO server that tests and the demo start as a process of its own.
// It is a module apart, so that the server's AGPL code is never linked into the product.
package minio

import _ "github.com/minio/minio"
