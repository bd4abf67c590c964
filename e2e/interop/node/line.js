const known = ["specversion", "id", "type", "source", "subject", "time", "dataschema", "datacontenttype", "data"];

// printLine prints an event, and where it was found, as one line of JSON.
export function printLine(event, key, partition) {
  const { specversion, id, type, source, subject, time, dataschema, datacontenttype, data } = event;
  const extensions = {};
  for (const [name, value] of Object.entries(event)) {
    if (!known.includes(name) && value !== undefined) extensions[name] = String(value);
  }
  const line = { specversion, id, type, source, subject, time, dataschema, datacontenttype, data, extensions, key, partition };
  console.log(JSON.stringify(line));
}
