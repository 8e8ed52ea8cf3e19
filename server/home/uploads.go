package home

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"

	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	expslog "golang.org/x/exp/slog"
)

// newTus makes the handler of the tus 1.0 protocol, by which browsers bring clips piece by piece:
// POST /uploads makes an upload, HEAD says how much of it is there, PATCH adds to it. The last
// piece makes it a clip. What is kept, and whose it is, this package says.
func (s *Server) newTus() (*handler.UnroutedHandler, error) {
	composer := handler.NewStoreComposer()
	composer.UseCore(uploads{s})
	composer.UseLocker(memorylocker.New()) // one relay at a time has the data folder
	return handler.NewUnroutedHandler(handler.Config{
		StoreComposer: composer, BasePath: s.site.Home + "/uploads/", MaxSize: s.maxUpload,
		DisableDownload: true, DisableTermination: true, DisableConcatenation: true,
		Cors:   &handler.CorsConfig{Disable: true},
		Logger: expslog.New(expslog.NewTextHandler(io.Discard, nil)), // it would log addresses of uploads
	})
}

// exchange is one request of the protocol. What fails on our side is answered as everywhere else,
// so the library's words for it are not sent.
type exchange struct {
	http.ResponseWriter
	by  relay.Member
	err error
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

func (e *exchange) fail(err error) error {
	e.err = err
	return handler.ErrUploadRejectedByServer
}

func (e *exchange) WriteHeader(code int) {
	if e.err == nil {
		e.ResponseWriter.WriteHeader(code)
	}
}

func (e *exchange) Write(b []byte) (int, error) {
	if e.err != nil {
		return len(b), nil
	}
	return e.ResponseWriter.Write(b)
}

// Unwrap lets deadlines of the connection be set.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// speak lets the library answer a request with what one of its functions does.
func (s *Server) speak(c *gin.Context, does http.HandlerFunc) error {
	e := &exchange{ResponseWriter: c.Writer, by: member(c)}
	r := c.Request.WithContext(context.WithValue(c.Request.Context(), exchangeKey{}, e))
	there := *r.URL
	there.Path = "/" + c.Param("id") // the library takes the whole path for the id
	r.URL = &there
	s.tus.Middleware(does).ServeHTTP(e, r)
	if e.err != nil {
		c.Writer.Header().Del("Content-Type")
		c.Writer.Header().Del("Content-Length")
	}
	return e.err
}

// BeginUpload handles POST /uploads. Upload-Length is the size of the file; Upload-Metadata tells
// camera, name, start and modified: start is RFC 3339, or the camera's local time, and empty when
// the name of the file tells it. The same file again is the upload that was begun.
func (s *Server) BeginUpload(c *gin.Context) error {
	if size, err := strconv.ParseInt(c.GetHeader("Upload-Length"), 10, 64); err == nil && size > s.maxUpload {
		_, _, err := relay.Upload{Size: size}.Begin(nil, s.maxUpload, s.now())
		return err
	}
	return s.speak(c, s.tus.PostFile)
}

// UploadState handles HEAD /uploads/:id.
func (s *Server) UploadState(c *gin.Context) error { return s.speak(c, s.tus.HeadFile) }

// ContinueUpload handles PATCH /uploads/:id. Of an upload whose bytes are all there it takes in the
// clip, should the relay have been stopped before it could.
func (s *Server) ContinueUpload(c *gin.Context) error {
	ctx := c.Request.Context()
	u, err := s.db.Upload(ctx, c.Param("id"), member(c).ID, s.now())
	if err != nil {
		return err
	}
	if have, err := s.store.UploadedBytes(u); err != nil {
		return err
	} else if have == u.Size && u.ClipID == "" {
		if err := s.takeIn(ctx, u); err != nil {
			return err
		}
	}
	return s.speak(c, s.tus.PatchFile)
}

// DropUpload handles POST /uploads/:id/drop: what has come of the file is destroyed.
func (s *Server) DropUpload(c *gin.Context) error {
	ctx, now := c.Request.Context(), s.now()
	u, err := s.db.Upload(ctx, c.Param("id"), member(c).ID, now)
	if err != nil {
		return err
	}
	if err := s.store.DropUpload(ctx, u, u.MemberID, "given up", now); err != nil {
		return err
	}
	return follow(c, "/clips")
}

// takeIn makes an upload whose bytes are all there a clip. What can never become one is given up.
func (s *Server) takeIn(ctx context.Context, u relay.Upload) error {
	ctx = context.WithoutCancel(ctx) // all has come: nobody needs to wait for it
	body, err := s.store.OpenUpload(ctx, u)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = source.Receive(ctx, storage.Uploaded{Store: s.store, Upload: u}, source.Incoming{
		CameraID: u.CameraID, Name: u.Name, Start: u.Start, Body: body, MaxBytes: s.maxUpload, Actor: u.MemberID,
	}, s.now())
	var invalid *relay.InvalidError
	switch {
	case errors.Is(err, relay.ErrConflict):
		return s.refuse(ctx, u, relay.Invalid("file", "This footage of this camera and moment is here already."))
	case errors.Is(err, storage.ErrTampered):
		s.log.Error("the pieces of an upload are not what was sealed", "upload", u.ID, "error", err)
		return s.refuse(ctx, u, relay.Invalid("file", "What had come of this file is damaged. Upload it again."))
	case errors.As(err, &invalid):
		return s.refuse(ctx, u, err)
	case errors.Is(err, relay.ErrState): // another request was faster
		if now, err := s.db.Upload(ctx, u.ID, u.MemberID, s.now()); err != nil || now.ClipID != "" {
			return err
		}
	}
	return err
}

// refuse gives an upload up for a reason that its member is told.
func (s *Server) refuse(ctx context.Context, u relay.Upload, reason error) error {
	if err := s.store.DropUpload(ctx, u, "relay", "refused", s.now()); err != nil {
		s.log.Error("what has come of an upload could not be destroyed; it is at the latest when its time is over", "upload", u.ID, slog.Any("error", err))
	}
	return reason
}

// uploads is where the library keeps uploads.
type uploads struct{ *Server }

// NewUpload begins an upload of the member whose request it is.
func (s uploads) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	e, told, now := exchangeOf(ctx), info.MetaData, s.now()
	camera, err := s.db.Camera(ctx, told["camera"])
	if errors.Is(err, relay.ErrNotFound) {
		return nil, e.fail(relay.Invalid("camera", "Choose the camera that took this clip."))
	}
	if err != nil {
		return nil, e.fail(err)
	}
	in := source.Incoming{CameraID: camera.ID, Name: told["name"]}
	if text := told["start"]; text != "" {
		if in.Start, err = moment("start", text, location(camera.Zone), relay.Clip{}); err != nil {
			return nil, e.fail(err)
		}
	} else if at, ok := source.StartIn(filepath.Base(in.Name), location(camera.Zone)); ok {
		in.Start = at
	} else {
		return nil, e.fail(relay.Invalid("start", "Say when the clip starts: the name of its file does not tell it."))
	}
	if in.Name, err = in.Check(now); err != nil {
		return nil, e.fail(err)
	}
	modified, _ := strconv.ParseInt(told["modified"], 10, 64) // a browser that does not tell is served as well
	u, err := s.store.BeginUpload(ctx, relay.Upload{MemberID: e.by.ID, CameraID: in.CameraID, Name: in.Name, Start: in.Start, Size: info.Size, Modified: modified}, s.maxUpload, now)
	if err != nil {
		return nil, e.fail(err)
	}
	return underWay{s.Server, u}, nil
}

// GetUpload finds an upload of the member whose request it is.
func (s uploads) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	e := exchangeOf(ctx)
	u, err := s.db.Upload(ctx, id, e.by.ID, s.now())
	if err != nil {
		return nil, e.fail(err)
	}
	return underWay{s.Server, u}, nil
}

// underWay is one upload as the library knows it.
type underWay struct {
	*Server
	upload relay.Upload
}

// GetInfo says how much of it is there.
func (u underWay) GetInfo(ctx context.Context) (handler.FileInfo, error) {
	have, err := u.store.UploadedBytes(u.upload)
	if err != nil {
		return handler.FileInfo{}, exchangeOf(ctx).fail(err)
	}
	return handler.FileInfo{ID: u.upload.ID, Size: u.upload.Size, Offset: have}, nil
}

// WriteChunk adds to it. What is no video by its first bytes is refused before the rest comes.
func (u underWay) WriteChunk(ctx context.Context, offset int64, body io.Reader) (int64, error) {
	e := exchangeOf(ctx)
	if offset == 0 {
		start := bufio.NewReaderSize(body, 64<<10)
		want := int(min(source.HeadBytes, u.upload.Size))
		head, err := start.Peek(want)
		if len(head) < want {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrNoProgress) {
				err = nil // it broke off, or brings no bytes: the next request does
			}
			return 0, err
		}
		if err := source.Sniff(head); err != nil {
			return 0, e.fail(u.refuse(ctx, u.upload, err))
		}
		body = start
	}
	n, err := u.store.AppendUpload(ctx, u.upload, offset, body)
	if err != nil {
		return n, e.fail(err)
	}
	return n, nil
}

// GetReader gives nothing back: a clip that was brought is seen as any other.
func (underWay) GetReader(context.Context) (io.ReadCloser, error) { return nil, handler.ErrNotFound }

// FinishUpload takes in the clip, once its last piece has come.
func (u underWay) FinishUpload(ctx context.Context) error {
	if err := u.takeIn(ctx, u.upload); err != nil {
		return exchangeOf(ctx).fail(err)
	}
	return nil
}

// unfinished lists the uploads that a member may go on with.
func (s *Server) unfinished(ctx context.Context, memberID string, cameras map[string]relay.Camera) (rows []templates.Unfinished, err error) {
	all, err := s.db.Uploads(ctx, memberID, s.now())
	if err != nil {
		return nil, err
	}
	for _, u := range all {
		have, err := s.store.UploadedBytes(u)
		if err != nil {
			return nil, err
		}
		zone := location(cameras[u.CameraID].Zone)
		rows = append(rows, templates.Unfinished{
			ID: u.ID, Name: u.Name, Camera: cameras[u.CameraID].Name, Size: u.Size, Modified: u.Modified, Percent: int(100 * have / u.Size),
			Start: u.Start.In(zone), Until: u.ExpiresAt.In(zone),
		})
	}
	return rows, nil
}
