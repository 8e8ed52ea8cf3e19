package storage

import (
	"context"

	"cliplease/relay"
)

// UsedObjects returns the names of all objects that a record needs, in one read. It is for the
// sweeper of orphans, which asks [DB.ObjectInUse] again before it deletes what is not among
// them.
func (db *DB) UsedObjects(ctx context.Context) (used map[string]bool, err error) {
	defer wrap(&err, "list the objects in use")
	used = map[string]bool{}
	clips, err := list(ctx, db.read, func(r scanner) (c relay.Clip, err error) { return c, r.Scan(&c.Object, document{&c.Stills}) },
		"SELECT object, stills FROM clips WHERE state <> 'disposed'")
	if err != nil {
		return nil, err
	}
	for _, c := range clips {
		used[c.Object] = true
		for _, s := range c.Stills {
			used[s] = true
		}
	}
	searches, err := list(ctx, db.read, func(r scanner) (name string, err error) { err = r.Scan(&name); return }, "SELECT object FROM searches")
	if err != nil {
		return nil, err
	}
	for _, name := range searches {
		used[name] = true
	}
	releases, err := list(ctx, db.read, func(r scanner) (rel relay.Release, err error) { return rel, r.Scan(&rel.Proxy, document{&rel.Copies}) },
		"SELECT proxy, copies FROM releases WHERE shredded_at = 0")
	if err != nil {
		return nil, err
	}
	for _, rel := range releases {
		used[rel.Proxy] = true
		for _, c := range rel.Copies {
			used[c.Object] = true
		}
	}
	return used, nil
}
