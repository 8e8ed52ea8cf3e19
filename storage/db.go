package storage

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage/fault"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB keeps all state of the relay but bytes and keys: in a SQLite file or in PostgreSQL,
// through the same statements. Every change of state goes with its audit event and its jobs
// in one transaction.
type DB struct {
	write *sql.DB // one connection, so that writers queue instead of failing
	read  *sql.DB
	pool  *pgxpool.Pool // PostgreSQL only, for River
	keys  *Keys
	queue queue
}

// DBConfig says where the state is.
type DBConfig struct {
	// Source is "sqlite:" and a file's path, or a PostgreSQL URL ("postgres://user@host/name").
	Source string
	// Keys seals what waits in the outbox: links and codes.
	Keys *Keys
}

// OpenDB opens the database, brings its schema up to date and returns it. A database that a
// newer version of cliplease has changed is refused.
func OpenDB(ctx context.Context, cfg DBConfig) (_ *DB, err error) {
	defer wrap(&err, "open the database")
	db := &DB{keys: cfg.Keys}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	var dialect goose.Dialect
	if path, ok := strings.CutPrefix(cfg.Source, "sqlite:"); ok {
		dialect = goose.DialectSQLite3
		if err := db.openSQLite(path); err != nil {
			return nil, err
		}
	} else if strings.HasPrefix(cfg.Source, "postgres://") || strings.HasPrefix(cfg.Source, "postgresql://") {
		dialect = goose.DialectPostgres
		if db.pool, err = pgxpool.New(ctx, cfg.Source); err != nil {
			return nil, err
		}
		db.write, db.read = stdlib.OpenDBFromPool(db.pool), stdlib.OpenDBFromPool(db.pool)
		db.write.SetMaxOpenConns(1)
	} else {
		return nil, fmt.Errorf(`%q is no database: write "sqlite:" and a path, or "postgres://…"`, cfg.Source)
	}
	if err := db.write.PingContext(ctx); err != nil {
		return nil, err
	}
	if err := db.prepare(ctx, dialect); err != nil {
		return nil, err
	}
	return db, nil
}

// schemaLock is the number under which PostgreSQL keeps the lock on the schema.
const schemaLock = 0x636c6970 // "clip"

// prepare brings the tables up to date. On PostgreSQL, processes that start at once do so one
// after another, also on several machines; on SQLite, [Open] sees to that.
func (db *DB) prepare(ctx context.Context, dialect goose.Dialect) (err error) {
	if db.pool != nil {
		conn, err := db.read.Conn(ctx) // migrations need the one that writes
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(schemaLock)); err != nil {
			return err
		}
		defer func() {
			_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(schemaLock))
			err = errors.Join(err, unlockErr)
		}()
	}
	if err := migrate(ctx, dialect, db.write); err != nil {
		return err
	}
	return db.openQueue(ctx)
}

func (db *DB) openSQLite(path string) error {
	q := url.Values{"_time_format": {"sqlite"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)",
	}}
	u := func(extra string) string {
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode() + extra
	}
	var err error
	if db.write, err = sql.Open("sqlite", u("&_txlock=immediate")); err != nil {
		return err
	}
	db.write.SetMaxOpenConns(1)
	if err := db.write.Ping(); err != nil { // makes the file and its WAL before readers come
		return err
	}
	if db.read, err = sql.Open("sqlite", u("&_pragma=query_only(1)")); err != nil {
		return err
	}
	db.read.SetMaxOpenConns(4)
	return nil
}

func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db, dir)
	if err != nil {
		return err
	}
	current, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; current > newest {
		return fmt.Errorf("the database has version %d, this program knows %d: install the newer cliplease that was run on it, or restore a backup", current, newest)
	}
	_, err = p.Up(ctx)
	return err
}

// Close ends all connections. A transaction under way is rolled back.
func (db *DB) Close() error {
	var errs []error
	if db.read != nil {
		errs = append(errs, db.read.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	if db.pool != nil {
		db.pool.Close()
	}
	return errors.Join(errs...)
}

// Check reports whether the database answers.
func (db *DB) Check(ctx context.Context) error {
	var n int
	return db.read.QueryRowContext(ctx, "SELECT size FROM log_state WHERE id = 1").Scan(&n)
}

// Tx is one transaction. Its methods are those of this package that change state.
type Tx struct {
	*sql.Tx
	db  *DB
	ctx context.Context
	pg  *pgx.Conn // the connection under the transaction, on PostgreSQL

	records relay.EventKind // the event that was logged last; empty: none
}

// update runs change in one transaction and commits it unless change fails. Transactions run one
// after another on both engines, also those of several processes, so what change has read still
// holds when it writes. On PostgreSQL one that deadlocks with the job queue is run again.
func (db *DB) update(ctx context.Context, change func(*Tx) error) error {
	for try := 0; ; try++ {
		err := db.updateOnce(ctx, change)
		var pg *pgconn.PgError
		if try < 4 && errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") {
			continue
		}
		return err
	}
}

func (db *DB) updateOnce(ctx context.Context, change func(*Tx) error) error {
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx := &Tx{db: db, ctx: ctx}
	if db.pool != nil {
		if err := conn.Raw(func(c any) error { tx.pg = c.(*stdlib.Conn).Conn(); return nil }); err != nil {
			return err
		}
	}
	if tx.Tx, err = conn.BeginTx(ctx, nil); err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if tx.pg != nil {   // what BEGIN IMMEDIATE is to SQLite
		if _, err := tx.ExecContext(ctx, "SELECT 1 FROM log_state WHERE id = 1 FOR UPDATE"); err != nil {
			return err
		}
	}
	if err := change(tx); err != nil {
		return err
	}
	fault.Before(tx.records)
	if err := tx.Commit(); err != nil {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			return ctx.Err() // database/sql rolled back by itself when ctx ended
		}
		return err
	}
	fault.After(tx.records)
	return nil
}

// exec runs a statement and fails with [relay.ErrConflict] unless it changed exactly one row.
func (tx *Tx) exec(statement string, args ...any) error {
	res, err := tx.ExecContext(tx.ctx, statement, args...)
	if err != nil {
		return conflict(err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n != 1 {
		return relay.ErrConflict
	}
	return nil
}

// execAny runs a statement that may change any number of rows.
func (tx *Tx) execAny(statement string, args ...any) error {
	_, err := tx.ExecContext(tx.ctx, statement, args...)
	return conflict(err)
}

// conflict turns a violated UNIQUE constraint into [relay.ErrConflict].
func conflict(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return fmt.Errorf("%w (%s)", relay.ErrConflict, pg.ConstraintName)
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) && (lite.Code() == 2067 || lite.Code() == 1555) { // SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY
		return fmt.Errorf("%w (%s)", relay.ErrConflict, lite.Error())
	}
	return err
}

// querier is what reads need: a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

type scanner interface{ Scan(dest ...any) error }

func get[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	v, err := scan(q.QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return v, relay.ErrNotFound
	}
	return v, err
}

func list[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// at scans milliseconds since 1970 into a time in UTC; 0 is the zero time.
type at struct{ t *time.Time }

func (a at) Scan(v any) error {
	ms, ok := v.(int64)
	if !ok {
		return fmt.Errorf("%T is no time", v)
	}
	if *a.t = (time.Time{}); ms != 0 {
		*a.t = time.UnixMilli(ms).UTC()
	}
	return nil
}

// ms is t as it is stored.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// document scans a JSON column.
type document struct{ v any }

func (d document) Scan(v any) error {
	switch s := v.(type) {
	case string:
		return json.Unmarshal([]byte(s), d.v)
	case []byte:
		return json.Unmarshal(s, d.v)
	}
	return fmt.Errorf("%T is no document", v)
}

// text is v as a JSON column. Our own types always marshal.
func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("storage: %T does not marshal: %v", v, err))
	}
	return string(raw)
}

func wrap(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf(format+": %w", append(args, *err)...)
	}
}

// Set stores value under name, whatever was there.
func (db *DB) Set(ctx context.Context, name, value string) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.execAny("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	})
}

// Setting returns the value that [DB.Set] or [DB.SetOnce] stored under name, or
// [relay.ErrNotFound].
func (db *DB) Setting(ctx context.Context, name string) (string, error) {
	return get(ctx, db.read, func(r scanner) (v string, err error) { err = r.Scan(&v); return },
		"SELECT value FROM meta WHERE name = $1", name)
}

// SetOnce stores value under name unless something is there, and returns what is there.
func (db *DB) SetOnce(ctx context.Context, name, value string) (string, error) {
	err := db.update(ctx, func(tx *Tx) error {
		return tx.execAny("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, value)
	})
	if err != nil {
		return "", err
	}
	return db.Setting(ctx, name)
}
