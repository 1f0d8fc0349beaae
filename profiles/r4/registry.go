package r4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	apb "github.com/google/fhir/go/proto/google/fhir/proto/annotations_go_proto"
	bpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/bundle_and_contained_resource_go_proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The room for ids of types and elements. All of R4 needs 680 types and 8,234
// elements; TestShapeFits watches over it.
const (
	maxTypes    = 1 << 10
	maxElements = 1 << 14
)

// registry is the memory of shapes already made. A Type and its Elements come
// to be when they are first asked for, so that a program that needs four
// resources does not pay for 146.
//
// types and elements are read without the lock: an id is only known to who
// holds the Type or Element that bears it, and the entry was written before
// that was handed out.
type registry struct {
	mu       sync.RWMutex
	byName   map[string]*Type                // nil entry: no such type
	byDesc   map[protoreflect.FullName]*Type // message -> type, enums of codes included
	nTypes   int                             // 0 is "none"
	nElems   int                             // 0 is "none"
	types    [maxTypes]*Type
	elements [maxElements]*Element
}

// shapes is a cache of constants: what it answers never changes.
var shapes registry

const protoPackage = "google.fhir.r4.core."

// Lookup finds a type by name: "Patient", "HumanName", "dateTime",
// "ExplanationOfBenefit.item". The path of an element defined by reference to
// another ("ExplanationOfBenefit.item.detail.adjudication") finds the type it
// refers to. It returns nil for an unknown name, and for the abstract types
// Resource and DomainResource.
func Lookup(name string) *Type {
	shapes.mu.RLock()
	t, ok := shapes.byName[name]
	shapes.mu.RUnlock()
	if ok {
		return t
	}
	return shapes.find(name)
}

// lookupBytes is Lookup for a name that lies in a byte slice.
func lookupBytes(name []byte) *Type {
	shapes.mu.RLock()
	t, ok := shapes.byName[string(name)]
	shapes.mu.RUnlock()
	if ok {
		return t
	}
	return shapes.find(string(name))
}

// Resources returns the names of all R4 resource types, sorted. The caller
// must not change the slice.
func Resources() []string { return resourceNames() }

var resourceNames = sync.OnceValue(func() []string {
	var names []string
	fields := (*bpb.ContainedResource)(nil).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		names = append(names, string(fields.Get(i).Message().Name()))
	}
	slices.Sort(names)
	return names
})

// find makes the type of a name not met before.
func (g *registry) find(name string) *Type {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		owner := Lookup(name[:i])
		if owner == nil {
			return nil
		}
		e := owner.Element(name[i+1:])
		if e == nil || e.typ == nil || e.typ.kind != KindBackbone {
			return nil
		}
		return e.typ
	}
	if !typeName(name) {
		return nil
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(protoPackage + upperFirst(name)))
	if err != nil {
		return nil
	}
	md, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil
	}
	// Among the messages are also helpers of the protocol buffers' own
	// (ReferenceId, ContainedResource) and profiles (SimpleQuantity).
	if definedName(md) != name || profileBase(md) != "" || abstract(name) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.typeOf(md)
}

// typeName says that name could be a type's: it is put together with a package
// name and must not reach outside of it.
func typeName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func abstract(name string) bool { return name == "Resource" || name == "DomainResource" }

// typeOf returns the type that a message stands for, nil where it stands for
// any resource. The caller holds the lock.
func (g *registry) typeOf(md protoreflect.MessageDescriptor) *Type {
	full := md.FullName()
	if full == "google.protobuf.Any" || full == protoPackage+"ContainedResource" {
		return nil
	}
	if t, ok := g.byDesc[full]; ok {
		return t
	}
	desc := md
	name := definedName(md)
	if base := profileBase(md); base != "" {
		// A code bound to a value set is its own message; so is SimpleQuantity.
		name = base
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(protoPackage + upperFirst(base)))
		if err != nil {
			panic(fmt.Sprintf("r4: base of %s: %v", full, err))
		}
		desc = d.(protoreflect.MessageDescriptor)
	}
	if name == "" {
		name = backboneName(md)
	}
	t := g.byName[name]
	if t == nil {
		t = &Type{name: name, desc: desc, kind: kindOf(desc)}
		switch t.kind {
		case KindPrimitive:
			t.form, t.valid = formOf(name), lexical(name)
		case KindResource:
			t.head = `{"resourceType":"` + name + `"`
		}
		g.nTypes++
		t.id = uint16(g.nTypes)
		g.types[t.id] = t
		if g.byName == nil {
			g.byName = make(map[string]*Type)
			g.byDesc = make(map[protoreflect.FullName]*Type)
		}
		g.byName[name] = t
	}
	g.byDesc[full] = t
	return t
}

// load makes the elements of t; it runs once per type.
func (t *Type) load() {
	g := &shapes
	g.mu.Lock()
	defer g.mu.Unlock()
	t.byName = make(map[string]*Element)
	add := func(name, base string, typ *Type, repeats bool) *Element {
		e := &Element{name: name, base: base, owner: t, typ: typ, index: len(t.elements), repeats: repeats}
		e.key = `,"` + name + `":`
		if typ != nil && typ.kind == KindPrimitive {
			e.form = typ.form
			e.under = `,"_` + name + `":`
			if typ.form == FormString {
				e.key += `"`
			}
		}
		if len(e.key) <= keySize {
			e.keyLen = uint8(copy(e.short[:], e.key))
		}
		g.nElems++
		e.id = uint16(g.nElems)
		g.elements[e.id] = e
		t.elements = append(t.elements, e)
		t.byName[name] = e
		return e
	}
	for _, f := range t.fields() {
		name := f.JSONName()
		repeats := f.Cardinality() == protoreflect.Repeated
		if t.kind == KindPrimitive && (f.Message() == nil || name != "id" && name != "extension") {
			continue // the value itself, in the protocol buffers' own encoding
		}
		if t.name == "Reference" {
			if name == "type" {
				// The specification has the literal reference first, here it is an
				// alternative that comes later.
				add("reference", "reference", g.named("string"), false)
			} else if f.ContainingOneof() != nil {
				continue
			}
		}
		md := f.Message()
		if !isChoice(md) {
			e := add(name, name, g.typeOf(md), repeats)
			e.bare = t.kind != KindResource && name == "id" || t.name == "Extension" && name == "url"
			continue
		}
		first := len(t.elements)
		alts := md.Fields()
		for j := range alts.Len() {
			typ := g.typeOf(alts.Get(j).Message())
			add(name+upperFirst(typ.name), name, typ, repeats)
		}
		if t.name == "Extension" {
			// R4 lets an open type be a Meta, the message does not.
			add(name+"Meta", name, g.named("Meta"), repeats)
		}
		if t.choices == nil {
			t.choices = make(map[string][]*Element)
		}
		t.choices[name] = t.elements[first:len(t.elements):len(t.elements)]
	}
}

// fields are the fields of t's message in the specification's order. That is
// the order of declaration, but for Extension, which has its url too early.
func (t *Type) fields() []protoreflect.FieldDescriptor {
	declared := t.desc.Fields()
	fields := make([]protoreflect.FieldDescriptor, declared.Len())
	for i := range fields {
		fields[i] = declared.Get(i)
	}
	if t.name == "Extension" {
		slices.SortStableFunc(fields, func(a, b protoreflect.FieldDescriptor) int {
			return cmp.Compare(extensionOrder(a), extensionOrder(b))
		})
	}
	return fields
}

func extensionOrder(f protoreflect.FieldDescriptor) int {
	return slices.Index([]string{"id", "extension", "url", "value"}, f.JSONName())
}

// named returns the type with a name of the messages' own package; the caller
// holds the lock.
func (g *registry) named(name string) *Type {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(protoPackage + upperFirst(name)))
	if err != nil {
		panic(fmt.Sprintf("r4: type %s: %v", name, err))
	}
	return g.typeOf(d.(protoreflect.MessageDescriptor))
}

// definedName is the name in the URL of the message's StructureDefinition, ""
// if it has none of its own.
func definedName(md protoreflect.MessageDescriptor) string {
	url, _ := proto.GetExtension(md.Options(), apb.E_FhirStructureDefinitionUrl).(string)
	return lastSegment(url)
}

// profileBase is the type that a message narrows (code for an enumeration,
// Quantity for SimpleQuantity), "" for a type of its own.
func profileBase(md protoreflect.MessageDescriptor) string {
	bases, _ := proto.GetExtension(md.Options(), apb.E_FhirProfileBase).([]string)
	if len(bases) == 0 {
		return ""
	}
	return lastSegment(bases[0])
}

func lastSegment(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func isChoice(md protoreflect.MessageDescriptor) bool {
	is, _ := proto.GetExtension(md.Options(), apb.E_IsChoiceType).(bool)
	return is
}

func kindOf(md protoreflect.MessageDescriptor) Kind {
	switch k, _ := proto.GetExtension(md.Options(), apb.E_StructureDefinitionKind).(apb.StructureDefinitionKindValue); k {
	case apb.StructureDefinitionKindValue_KIND_PRIMITIVE_TYPE:
		return KindPrimitive
	case apb.StructureDefinitionKindValue_KIND_COMPLEX_TYPE:
		return KindComplex
	case apb.StructureDefinitionKindValue_KIND_RESOURCE:
		return KindResource
	}
	return KindBackbone
}

func formOf(primitive string) JSONForm {
	switch primitive {
	case "boolean":
		return FormBool
	case "decimal", "integer", "positiveInt", "unsignedInt":
		return FormNumber
	}
	return FormString
}

// backboneName is the path of the element that a nested message defines.
func backboneName(md protoreflect.MessageDescriptor) string {
	outer, ok := md.Parent().(protoreflect.MessageDescriptor)
	if !ok {
		panic(fmt.Sprintf("r4: %s is neither a type nor part of one", md.FullName()))
	}
	name := definedName(outer)
	if name == "" {
		name = backboneName(outer)
	}
	fields := outer.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if m := f.Message(); m != nil && m.FullName() == md.FullName() {
			return name + "." + f.JSONName()
		}
	}
	panic(fmt.Sprintf("r4: no element has the type %s", md.FullName()))
}

func upperFirst(s string) string {
	c, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(c)) + s[n:]
}
