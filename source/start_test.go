package source

import (
	"testing"
	"time"
)

func TestStartIn(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Amsterdam") // an hour ahead in winter, two in summer
	if err != nil {
		t.Fatal(err)
	}
	winter := time.Date(2026, 11, 26, 12, 15, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		want time.Time // zero: none
	}{
		{"20261126_131500.mp4", winter},
		{"20261126131500.mp4", winter},
		{"20261126131500123.mp4", winter},
		{"20261126T131500.mkv", winter},
		{"20261126-131500.mp4", winter},
		{"2026-11-26_13-15-00.mp4", winter},
		{"2026-11-26T13.15.00.mp4", winter},
		{"2026-11-26 13-15-00.mp4", winter},
		{"2026-11-26 at 13.15.00.mp4", winter},
		{"2026.11.26-13.15.00.avi", winter},
		{"2026_11_26_13_15_00.mp4", winter},
		{"2026-11-26T13:15:00.mp4", winter},
		{"20261126T121500Z.mp4", winter},
		{"2026-11-26T12-15-00Z.mp4", winter},
		{"Front_00_20261126131500.mp4", winter},
		{"hiv_ch1_20261126131500_20261126132000.mp4", winter},
		{"192.168.1.20_01_20261126131500_MOTION.mp4", winter},
		{"1795695300.mp4", time.Unix(1795695300, 0)},
		{"cam-1795695300250-ab.mp4", time.UnixMilli(1795695300250)},
		{"2026/11/26/13-15-00.mp4", winter},
		{"2026-11-26/001/13.15.00.mp4", winter},
		{"20261126/rec_131500.mp4", winter},
		{"2026-07-01_14-00-00.mp4", time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)},
		{"2026-10-25_02-30-00.mp4", time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)}, // twice; the first

		{"clip.mp4", time.Time{}},
		{"20261326_131500.mp4", time.Time{}},
		{"20260231_131500.mp4", time.Time{}},
		{"20261126_251500.mp4", time.Time{}},
		{"20261126.mp4", time.Time{}},
		{"123456789012345.mp4", time.Time{}},
	} {
		at, ok := StartIn(tt.name, zone)
		if ok != !tt.want.IsZero() || ok && !at.Equal(tt.want) {
			t.Errorf("%s: %s, %v; want %s", tt.name, at, ok, tt.want)
		}
	}
}
