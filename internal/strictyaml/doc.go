// Package strictyaml reads configuration from YAML such that nothing in it is
// ignored, and that every fault is reported at once with its file, line, column and
// cure: syntax, unknown and repeated keys (with the nearest known one), wrong
// types, missing environment variables, and what the configuration's own
// validation finds ([field.Error]).
package strictyaml
