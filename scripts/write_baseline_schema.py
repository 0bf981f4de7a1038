"""Writes docs/baseline.schema.json from the types that read a baseline. Run it after a change of those."""

from __future__ import annotations

from pathlib import Path

from registry_client.baseline_schema import schema_text

PATH = Path(__file__).parent.parent / "docs" / "baseline.schema.json"


def main() -> None:
    """The script."""
    PATH.write_text(schema_text(), encoding="utf-8")
    print(f"wrote {PATH.name}")


if __name__ == "__main__":
    main()
