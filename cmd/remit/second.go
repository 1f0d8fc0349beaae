//go:build !lean

package main

import (
	"errors"

	"remit/profiles/opinion"
)

// secondOpinion asks google/fhir/go about one resource after another. It belongs
// to one goroutine at a time.
//
// Linking it costs every verb some 50 ms of start-up, for the library reads all
// descriptors of two FHIR versions before main begins; a build with the tag lean
// leaves it out.
type secondOpinion struct{ o *opinion.Opinion }

func newSecondOpinion() (*secondOpinion, error) {
	o, err := opinion.New()
	if err != nil {
		return nil, err
	}
	return &secondOpinion{o}, nil
}

// judge gives path and message of each complaint; none if data is accepted.
func (s *secondOpinion) judge(data []byte) (complaints [][2]string) {
	err := s.o.Judge(data)
	if err == nil {
		return nil
	}
	var r *opinion.Rejection
	if !errors.As(err, &r) {
		return [][2]string{{"", "not accepted"}}
	}
	for _, c := range r.Complaints {
		complaints = append(complaints, [2]string{c.Path, c.Message})
	}
	return complaints
}
