//go:build lean

package main

// secondOpinion is not in a build with the tag lean.
type secondOpinion struct{}

func newSecondOpinion() (*secondOpinion, error) {
	return nil, usagef("this is a lean build, without a second opinion")
}

func (*secondOpinion) judge([]byte) [][2]string { return nil }
