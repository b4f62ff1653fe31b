package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Age is a duration that may be given in days: "400d", "36h".
type Age time.Duration

const day = 24 * time.Hour

// UnmarshalText reads days, or what time.ParseDuration does.
func (a *Age) UnmarshalText(text []byte) error {
	if number, days := strings.CutSuffix(string(text), "d"); days {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no number of days", text)
		}
		*a = Age(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time such as 400d or 36h", text)
	}
	*a = Age(d)
	return nil
}

// String is days where it is whole days.
func (a Age) String() string {
	if d := time.Duration(a); d%day != 0 || d == 0 {
		return d.String()
	}
	return strconv.FormatInt(int64(time.Duration(a)/day), 10) + "d"
}

// Size is a number of bytes, given in units of 1024: "512MiB", "4GiB".
type Size int64

// UnmarshalText reads a number with one of the units KiB, MiB, GiB, TiB; without a unit, bytes.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, found := strings.CutSuffix(number, suffix); found {
			number, unit = n, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size such as 512MiB or 4GiB", text)
	}
	*s = Size(n * unit)
	return nil
}
