// Package strictyaml reads a configuration from YAML and ignores nothing in it. It
// reports every fault at once, each with file, line, column and cure: wrong syntax,
// unknown keys (with the nearest known one), repeated keys, wrong types, missing
// environment variables, and the faults that the configuration's own validation finds
// ([field.Error]).
package strictyaml
