"""Protobuf messages without a compiler: a class from the names and types of a message's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_TYPES = descriptor_pb2.FieldDescriptorProto.Type


def message_class(name: str, fields: Mapping[str, str], *, each: str = "") -> Any:
    """Make the class that ``protoc`` would make of a message with these fields, numbered from 1.

    Args:
        name: of the message, such as ``"Todo"``.
        fields: the type of each field by its name: ``"int32"``, ``"double"``, ``"string"`` and so on.
        each: if given, the name of a second message, which has these messages as its field ``items``; the class
            is that one's then.

    Raises:
        ValueError: there is no such type.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", syntax="proto3")
    message = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields.items(), start=1):
        of_type = _TYPES.Value(f"TYPE_{kind.upper()}")
        message.field.add(name=field, number=number, type=of_type, label="LABEL_OPTIONAL")
    if each:
        items = file.message_type.add(name=each).field
        items.add(name="items", number=1, type="TYPE_MESSAGE", type_name=f".{name}", label="LABEL_REPEATED")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(each or name))
