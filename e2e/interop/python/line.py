"""How an event is printed."""

import json

from cloudevents.core.base import BaseCloudEvent


def print_line(event: BaseCloudEvent, key: str, partition: int | None) -> None:
    """Prints an event, and where it was found, as one line of JSON."""
    attributes = event.get_attributes()
    known = {"specversion", "id", "type", "source", "subject", "time", "dataschema", "datacontenttype"}
    line = {name: attributes.get(name) for name in known}
    line["time"] = attributes["time"].isoformat()
    line["extensions"] = {
        name: value if isinstance(value, str) else json.dumps(value)  # true is a boolean in structured mode
        for name, value in attributes.items()
        if name not in known
    }
    line["data"] = event.get_data()
    line["key"] = key
    line["partition"] = partition
    print(json.dumps(line))
