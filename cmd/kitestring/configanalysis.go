package main

import (
	"encoding/json"
	"errors"

	"kitestring/actors/analysis"
	"kitestring/actors/bars"
	"kitestring/supervisor/tree"
)

var errClassicIsFixed = errors.New("thresholds are for profile calibrated: classic reproduces the predecessor's fixed numbers")

func (r *configReader) analysis(path string, cfg *tree.Reloadable) error {
	err := r.object(path, fields{
		{"profile", func(path string) error {
			name, err := r.oneOf(path, string(analysis.Calibrated), string(analysis.Classic))
			cfg.AnalysisProfile = analysis.Profile(name)
			return err
		}},
		{"interval", func(path string) error {
			name, err := r.oneOf(path, "1m", "3m", "5m", "15m")
			cfg.BarInterval, _ = bars.ParseInterval(name)
			return err
		}},
		{"thresholds", func(path string) error { return r.thresholds(path, &cfg.Thresholds) }},
	})
	if err == nil && cfg.AnalysisProfile == analysis.Classic && len(cfg.Thresholds) > 0 {
		err = r.errorf("%s: %w", path, errClassicIsFixed)
	}
	return err
}

// thresholds reads what is chosen of the analyses' parameters. What may be
// chosen, and within which bounds, each analysis declares itself.
func (r *configReader) thresholds(path string, into *analysis.Thresholds) error {
	all := analysis.Thresholds{}
	var kinds fields
	for _, a := range analysis.All() {
		kinds = append(kinds, field{a.Kind, func(path string) error {
			chosen := analysis.Chosen{}
			all[a.Kind] = chosen
			var names fields
			for _, p := range a.Parameters {
				names = append(names, field{p.Name, func(path string) (err error) {
					chosen[p.Name], err = r.parameter(path, p)
					return err
				}})
			}
			if err := r.object(path, names); err != nil {
				return err
			}
			if err := a.Check(chosen); err != nil {
				return r.errorf("%s: %w", path, err)
			}
			return nil
		}})
	}
	*into = all
	return r.object(path, kinds)
}

func (r *configReader) parameter(path string, p *analysis.Parameter) (float64, error) {
	v, err := r.token()
	if err != nil {
		return 0, err
	}
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil && p.Allows(f) {
			return f, nil
		}
	}
	what := "number"
	if p.Whole {
		what = "whole number"
	}
	return 0, r.errorf("%s %s: it is a %s from %g to %g (%s); left out, it is %g", path, shownValue(v), what, p.Least, p.Most, p.Unit, p.Default)
}
