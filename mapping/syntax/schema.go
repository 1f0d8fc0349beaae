package syntax

import (
	"encoding/json"
	"fmt"
	"strings"
)

// SchemaOf is the JSON Schema (draft 2020-12) of "sources" (sources.yaml) or
// "mapping" (a mapping file), for editors: it knows keys, forms and words; what
// names mean is for the checker. The error says that there is no such file.
func SchemaOf(file string) ([]byte, error) {
	if file != "sources" && file != "mapping" {
		return nil, fmt.Errorf("no schema for %q; expected sources or mapping", file)
	}
	defs := object{
		"text":      object{"type": []string{"string", "number", "boolean"}},
		"texts":     object{"anyOf": []object{ref("text"), {"type": "array", "items": ref("text"), "minItems": 1}}},
		"textPairs": object{"type": "object", "additionalProperties": ref("text")},
		"values":    object{"anyOf": []object{ref("node"), {"type": "array", "items": ref("node"), "minItems": 1}}},
		"node":      object{"anyOf": []object{ref("text"), {"type": "array", "items": ref("node"), "minItems": 1}, ref("value")}},
		"keyList":   object{"anyOf": []object{ref("texts"), ref("textPairs")}},
	}
	var top Block
	for _, b := range Describe() {
		if b.Name == file {
			top = b
			continue
		}
		defs[b.Name] = blockSchema(b)
	}
	for name := range defs {
		if !reaches(top, name) {
			delete(defs, name)
		}
	}
	out := blockSchema(top)
	out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	out["title"] = "Remit: " + top.Title
	out["$defs"] = defs
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(data, '\n'), nil
}

type object = map[string]any

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

func blockSchema(b Block) object {
	properties := object{}
	var required []string
	for _, k := range b.Keys {
		properties[k.Name] = keySchema(k)
		if k.Required {
			required = append(required, k.Name)
		}
	}
	out := object{"type": "object", "description": b.Doc, "properties": properties}
	switch {
	case b.Other == "":
		out["additionalProperties"] = false
	case b.Name == "map":
		out["additionalProperties"] = ref("text")
	default:
		out["patternProperties"] = object{`^[A-Za-z][A-Za-z0-9_]*(\[[^\]]+\])?(\.[A-Za-z][A-Za-z0-9_]*(\[[^\]]+\])?)*$`: ref("node")}
		out["additionalProperties"] = false
	}
	if required != nil {
		out["required"] = required
	}
	return out
}

func keySchema(k Key) object {
	doc := k.Doc
	if k.Example != "" {
		doc += " Example: " + k.Name + ": " + k.Example
	}
	if len(k.Rules) > 0 {
		doc += " (" + rulesText(k.Rules) + ")"
	}
	out := object{"description": strings.ReplaceAll(doc, "`", "")}
	switch k.Form {
	case AText, SomeSQL:
		out["$ref"] = "#/$defs/text"
	case Texts:
		out["$ref"] = "#/$defs/texts"
	case ASwitch:
		out["enum"] = []any{true, false, "true", "false"}
	case AWord:
		out["enum"] = k.Words
	case AValue:
		out["$ref"] = "#/$defs/node"
	case Values:
		out["$ref"] = "#/$defs/values"
	case OneBlock:
		out["$ref"] = "#/$defs/" + k.Block
	case Named:
		out["type"], out["additionalProperties"] = "object", ref(k.Block)
	case TextPairs:
		out["$ref"] = "#/$defs/textPairs"
	case KeyList:
		out["$ref"] = "#/$defs/keyList"
	}
	return out
}

// reaches says that a schema of top needs a definition.
func reaches(top Block, name string) bool {
	seen := map[string]bool{"text": true, "texts": true, "textPairs": true}
	var visit func(b Block)
	visit = func(b Block) {
		for _, k := range b.Keys {
			switch k.Form {
			case AValue, Values:
				seen["node"], seen["values"], seen["value"] = true, true, true
			case KeyList:
				seen["keyList"] = true
			}
			if k.Block == "" || seen[k.Block] {
				continue
			}
			seen[k.Block] = true
			if inner, ok := BlockNamed(k.Block); ok {
				visit(inner)
			}
		}
	}
	visit(top)
	return seen[name]
}

func rulesText(rules []int) string {
	if len(rules) == 1 {
		return fmt.Sprintf("rule %d", rules[0])
	}
	texts := make([]string, len(rules))
	for i, r := range rules {
		texts[i] = fmt.Sprint(r)
	}
	return "rules " + strings.Join(texts, ", ")
}
