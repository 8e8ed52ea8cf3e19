package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// MinIO is a running MinIO server.
type MinIO struct {
	Endpoint  string // "127.0.0.1:port", without TLS
	AccessKey string
	SecretKey string

	dir     string
	process *process
}

// StartMinIO starts the MinIO server program binary, or the one that the environment
// variable CLIPLEASE_TEST_MINIO names when binary is empty.
func StartMinIO(ctx context.Context, binary string) (*MinIO, error) {
	if binary == "" {
		binary = os.Getenv("CLIPLEASE_TEST_MINIO")
	}
	if binary == "" {
		return nil, errors.New("no MinIO server: set CLIPLEASE_TEST_MINIO to the path of one (make test builds it and does that)")
	}
	if !executable(binary) {
		return nil, fmt.Errorf("MinIO server %s is no program; make test builds one", binary)
	}
	return retry(func() (*MinIO, error) { return startMinIO(ctx, binary) })
}

func startMinIO(ctx context.Context, binary string) (_ *MinIO, err error) {
	m := &MinIO{AccessKey: strings.ToLower(rand.Text()[:16]), SecretKey: rand.Text()}
	if m.Endpoint, err = freePort(); err != nil {
		return nil, err
	}
	if m.dir, err = os.MkdirTemp("", "cliplease-minio-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.Stop()
		}
	}()
	cmd := exec.Command(binary, "server", "--quiet", "--address", m.Endpoint, m.dir+"/data")
	cmd.Dir = m.dir
	cmd.Env = []string{"HOME=" + m.dir, "MINIO_ROOT_USER=" + m.AccessKey, "MINIO_ROOT_PASSWORD=" + m.SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off"}
	if m.process, err = start(cmd, syscall.SysProcAttr{}); err != nil {
		return nil, err
	}
	return m, m.process.await(ctx, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.Endpoint+"/minio/health/cluster", nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// Pause stops the server from answering, as a machine that hangs; Resume undoes it.
func (m *MinIO) Pause() error { return m.process.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (m *MinIO) Resume() error { return m.process.cmd.Process.Signal(syscall.SIGCONT) }

// Data returns the folder in which the server keeps its objects.
func (m *MinIO) Data() string { return m.dir + "/data" }

// Stop ends the server and removes what it kept.
func (m *MinIO) Stop() {
	if m.process != nil {
		m.process.cmd.Process.Signal(syscall.SIGCONT)
		m.process.stop(syscall.SIGTERM)
	}
	os.RemoveAll(m.dir)
}
