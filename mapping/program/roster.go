package program

import (
	"strconv"
	"strings"

	"remit/profiles/r4"
)

// Patients lists the ids of the patients that a resource refers to, in its
// order, repeated as there.
func Patients(r *r4.Resource) []string {
	reference := r4.Lookup("Reference").Element("reference")
	var ids []string
	for n := r4.Root; int(n) < r.Len(); n++ {
		if r.ElementOf(n) != reference {
			continue
		}
		if id, ok := strings.CutPrefix(string(r.Value(n)), "Patient/"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// Strike takes out of a roster resource every part (Group.member) that refers to
// a patient of out, and corrects its count (Group.quantity) where it tells one.
// It returns how many parts went. What is left need not satisfy the resource's
// profile; the caller validates it.
func Strike(r *r4.Resource, out func(patientID string) bool) int {
	reference := r4.Lookup("Reference").Element("reference")
	var struck []r4.Node
	for n := r4.Root; int(n) < r.Len(); n++ {
		if r.ElementOf(n) != reference {
			continue
		}
		id, ok := strings.CutPrefix(string(r.Value(n)), "Patient/")
		if !ok || !out(id) {
			continue
		}
		part := n
		for r.Parent(part) != r4.Root && r.Parent(part) != r4.None {
			part = r.Parent(part)
		}
		if r.Parent(part) == r4.None {
			continue // taken out before
		}
		if len(struck) == 0 || struck[len(struck)-1] != part {
			struck = append(struck, part)
		}
	}
	for _, part := range struck {
		r.Remove(part)
	}
	if len(struck) == 0 {
		return 0
	}
	if count := r.Type().Element("quantity"); count != nil {
		if n := r.Find(r4.Root, count); n != r4.None {
			if v, err := strconv.Atoi(string(r.Value(n))); err == nil {
				r.SetString(n, strconv.Itoa(max(0, v-len(struck))))
			}
		}
	}
	return len(struck)
}
