"""File formats by the names of `STORED AS`, and the classes that Hive knows them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

LAZY_SIMPLE_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPEN_CSV_SERDE = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
OPENX_JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"
HIVE_JSON_SERDE = "org.apache.hive.hcatalog.data.JsonSerDe"
REGEX_SERDE = "org.apache.hadoop.hive.serde2.RegexSerDe"
GROK_SERDE = "com.amazonaws.glue.serde.GrokSerDe"
PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
ORC_SERDE = "org.apache.hadoop.hive.ql.io.orc.OrcSerde"
AVRO_SERDE = "org.apache.hadoop.hive.serde2.avro.AvroSerDe"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The three classes of a format."""

    input_format: str
    output_format: str
    serde: str


FORMATS: Mapping[str, FileFormat] = {
    "TEXTFILE": FileFormat(TEXT_INPUT, TEXT_OUTPUT, LAZY_SIMPLE_SERDE),
    "JSON": FileFormat(TEXT_INPUT, TEXT_OUTPUT, OPENX_JSON_SERDE),
    "SEQUENCEFILE": FileFormat(
        "org.apache.hadoop.mapred.SequenceFileInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
        LAZY_SIMPLE_SERDE,
    ),
    "RCFILE": FileFormat(
        "org.apache.hadoop.hive.ql.io.RCFileInputFormat",
        "org.apache.hadoop.hive.ql.io.RCFileOutputFormat",
        "org.apache.hadoop.hive.serde2.columnar.LazyBinaryColumnarSerDe",
    ),
    "PARQUET": FileFormat(
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        PARQUET_SERDE,
    ),
    "ORC": FileFormat(
        "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
        "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
        ORC_SERDE,
    ),
    "AVRO": FileFormat(
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
        AVRO_SERDE,
    ),
    "ION": FileFormat(
        "com.amazon.ionhiveserde.formats.IonInputFormat",
        "com.amazon.ionhiveserde.formats.IonOutputFormat",
        "com.amazon.ionhiveserde.IonHiveSerDe",
    ),
}


def format_of_serde(serde: str) -> FileFormat:
    """The classes that go with a SerDe that is named alone: text, except for the binary formats."""
    for file_format in FORMATS.values():
        if file_format.serde == serde and file_format.input_format != TEXT_INPUT and serde != LAZY_SIMPLE_SERDE:
            return file_format
    return FileFormat(TEXT_INPUT, TEXT_OUTPUT, serde)
