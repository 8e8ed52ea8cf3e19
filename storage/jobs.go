package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// The queues: footage is worked on one job at a time, everything else beside it.
const (
	QueueMedia  = "media"
	QueueOffice = river.QueueDefault
)

// ClipJob probes a clip that arrived and makes its thumbnails.
type ClipJob struct {
	ClipID string `json:"clip_id"`
}

// Kind names the job for River.
func (ClipJob) Kind() string { return "clip.probe" }

// InsertOpts puts the job in its queue.
func (ClipJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueMedia, MaxAttempts: 5}
}

// PrepareJob makes the release copies of one round of a release.
type PrepareJob struct {
	ReleaseID string `json:"release_id"`
	Round     int    `json:"round"`
}

// Kind names the job for River.
func (PrepareJob) Kind() string { return "release.prepare" }

// InsertOpts puts the job in its queue, before clips that only wait to be looked at.
func (PrepareJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueMedia, MaxAttempts: 4, Priority: 1}
}

// MailJob sends one mail of the outbox.
type MailJob struct {
	MailID string `json:"mail_id"`
}

// Kind names the job for River.
func (MailJob) Kind() string { return "mail.send" }

// InsertOpts lets a mail be tried until its time is over.
func (MailJob) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 60, Priority: 1} }

// ShredJob destroys the keys and objects of an ended release.
type ShredJob struct {
	ReleaseID string `json:"release_id"`
}

// Kind names the job for River.
func (ShredJob) Kind() string { return "release.shred" }

// InsertOpts tries for as long as it takes: an object store may be away for days.
func (ShredJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 1000, Priority: 1}
}

// DisposeJob destroys keys and objects that nothing refers to any more, such as the copies
// of an earlier round.
type DisposeJob struct {
	Keys    []string `json:"keys"`
	Objects []string `json:"objects"`
}

// Kind names the job for River.
func (DisposeJob) Kind() string { return "objects.dispose" }

// InsertOpts tries for as long as it takes.
func (DisposeJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 1000, Priority: 2}
}

// NotifyJob tells the members that a request has come. It runs after the agency has its
// receipt, so that nothing about the home can show in the answer.
type NotifyJob struct {
	RequestID string `json:"request_id"`
}

// Kind names the job for River.
func (NotifyJob) Kind() string { return "request.notify" }

// queue is River on one of the two databases.
type queue interface {
	insert(ctx context.Context, tx *Tx, args river.JobArgs) error
	workers(config *river.Config) (Jobs, error)
	executor() riverdriver.Executor
}

// Jobs is a running River client.
type Jobs interface {
	Start(ctx context.Context) error
	// Stop waits for running jobs until ctx ends.
	Stop(ctx context.Context) error
	// StopAndCancel cancels running jobs and waits for them until ctx ends.
	StopAndCancel(ctx context.Context) error
}

// enqueue adds a job that runs once the transaction has committed.
func (tx *Tx) enqueue(args river.JobArgs) error {
	if err := tx.db.queue.insert(tx.ctx, tx, args); err != nil {
		return fmt.Errorf("enqueue %s: %w", args.Kind(), err)
	}
	return nil
}

// Enqueue adds a job in a transaction of its own.
func (db *DB) Enqueue(ctx context.Context, args river.JobArgs) error {
	return db.update(ctx, func(tx *Tx) error { return tx.enqueue(args) })
}

// Workers makes the client that works off the jobs as config says.
func (db *DB) Workers(config *river.Config) (Jobs, error) { return db.queue.workers(config) }

// RecoverJobs puts the jobs that a process named name left running when it was killed back
// into their queues, ends its time as leader, and returns how many jobs it found. Without it
// they wait until River takes them for stuck. The caller makes sure that no process of that
// name is running; name is the ID of its River client.
func (db *DB) RecoverJobs(ctx context.Context, name string, now time.Time) (n int, err error) {
	defer wrap(&err, "recover jobs")
	exec := db.queue.executor()
	leader, err := exec.LeaderGetElectedLeader(ctx, &riverdriver.LeaderGetElectedLeaderParams{})
	switch {
	case errors.Is(err, rivertype.ErrNotFound):
	case err != nil:
		return 0, err
	case leader.LeaderID == name:
		// On PostgreSQL the topic tells other processes that there is no leader.
		if _, err := exec.LeaderResign(ctx, &riverdriver.LeaderResignParams{ElectedAt: leader.ElectedAt, LeaderID: name, LeadershipTopic: "river_leadership"}); err != nil {
			return 0, err
		}
	}
	horizon := now.Add(100 * 365 * 24 * time.Hour) // whenever they were started, by whatever clock
	for after := int64(0); ; {
		const batch = 100
		stuck, err := exec.JobGetStuck(ctx, &riverdriver.JobGetStuckParams{AfterID: after, Max: batch, StuckHorizon: horizon})
		if err != nil {
			return n, err
		}
		params := riverdriver.JobRescueManyParams{StuckHorizon: horizon}
		for _, job := range stuck {
			after = job.ID
			if len(job.AttemptedBy) == 0 || job.AttemptedBy[len(job.AttemptedBy)-1] != name {
				continue
			}
			params.ID = append(params.ID, job.ID)
			params.Error = append(params.Error, []byte(text(rivertype.AttemptError{At: now, Attempt: max(job.Attempt, 0), Error: "the process ended during the job"})))
			params.FinalizedAt = append(params.FinalizedAt, nil)
			params.ScheduledAt = append(params.ScheduledAt, now)
			params.State = append(params.State, string(rivertype.JobStateAvailable))
		}
		if len(params.ID) > 0 {
			if _, err := exec.JobRescueMany(ctx, &params); err != nil {
				return n, err
			}
			n += len(params.ID)
		}
		if len(stuck) < batch {
			return n, nil
		}
	}
}

// WakeJobs lets every job of a kind that waits for its next attempt run now.
func (db *DB) WakeJobs(ctx context.Context, kind string, now time.Time) (err error) {
	defer wrap(&err, "wake %s jobs", kind)
	ids, err := list(ctx, db.read, func(r scanner) (id int64, err error) { err = r.Scan(&id); return },
		"SELECT id FROM river_job WHERE kind = $1 AND state IN ('scheduled', 'retryable') ORDER BY id", kind)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := db.queue.executor().JobRetry(ctx, &riverdriver.JobRetryParams{ID: id, Now: &now}); err != nil && !errors.Is(err, rivertype.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (db *DB) openQueue(ctx context.Context) error {
	quiet := &river.Config{Logger: slog.New(slog.DiscardHandler)}
	if db.pool != nil {
		driver := riverpgxv5.New(db.pool)
		m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet.Logger})
		if err != nil {
			return err
		}
		if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return err
		}
		client, err := river.NewClient(driver, quiet)
		db.queue = postgresQueue{client, driver}
		return err
	}
	driver := riversqlite.New(db.write)
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet.Logger})
	if err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	client, err := river.NewClient(driver, quiet)
	db.queue = sqliteQueue{client, driver}
	return err
}

type sqliteQueue struct {
	client *river.Client[*sql.Tx]
	driver *riversqlite.Driver
}

func (q sqliteQueue) insert(ctx context.Context, tx *Tx, args river.JobArgs) error {
	_, err := q.client.InsertTx(ctx, tx.Tx, args, nil)
	return err
}

func (q sqliteQueue) workers(config *river.Config) (Jobs, error) {
	config.FetchPollInterval = 250 * time.Millisecond // there is no LISTEN
	return river.NewClient(q.driver, config)
}

func (q sqliteQueue) executor() riverdriver.Executor { return q.driver.GetExecutor() }

type postgresQueue struct {
	client *river.Client[pgx.Tx]
	driver *riverpgxv5.Driver
}

func (q postgresQueue) insert(ctx context.Context, tx *Tx, args river.JobArgs) error {
	_, err := q.client.InsertTx(ctx, pgxTx{conn: tx.pg}, args, nil)
	return err
}

func (q postgresQueue) workers(config *river.Config) (Jobs, error) {
	return river.NewClient(q.driver, config)
}

func (q postgresQueue) executor() riverdriver.Executor { return q.driver.GetExecutor() }

// pgxTx lets River write on the connection of a transaction that database/sql began. Only
// database/sql commits or rolls it back.
type pgxTx struct {
	pgx.Tx // nil: what River does not call on an insert panics
	conn   *pgx.Conn
}

func (t pgxTx) Begin(context.Context) (pgx.Tx, error) { return t, nil }
func (t pgxTx) Commit(context.Context) error          { return nil }
func (t pgxTx) Rollback(context.Context) error        { return nil }
func (t pgxTx) Conn() *pgx.Conn                       { return t.conn }
func (t pgxTx) Exec(ctx context.Context, q string, args ...any) (pgconn.CommandTag, error) {
	return t.conn.Exec(ctx, q, args...)
}
func (t pgxTx) Query(ctx context.Context, q string, args ...any) (pgx.Rows, error) {
	return t.conn.Query(ctx, q, args...)
}
func (t pgxTx) QueryRow(ctx context.Context, q string, args ...any) pgx.Row {
	return t.conn.QueryRow(ctx, q, args...)
}
