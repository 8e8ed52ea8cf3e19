//go:build !fault

package fault

// Point is a moment with a name.
func Point(string) {}

// Before is the moment just before the change commits that event records.
func Before[E ~string](E) {}

// After is the moment right after that.
func After[E ~string](E) {}
